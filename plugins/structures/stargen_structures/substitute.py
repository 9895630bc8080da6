"""The classical baseline: known structure types, other ions, cells scaled by radii.

Everything that may be made is listed when a worker opens, and put in an order that the seed alone
decides: a weighted shuffle in which likely substitutions come early and every prototype weighs as
much as the next. Ordinal n is the n-th of that order, so nothing is made twice and no ordinal
depends on another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from stargen.calculators.contract import Context
from stargen.crystal import Candidate, Crystal, Drop
from stargen.elements import ATOMIC_NUMBERS
from stargen.errors import UserTaskError
from stargen_structures.params import SubstituteParams
from stargen_structures.prototypes import Prototype, load_prototypes, select_prototypes
from stargen_structures.species import load_species
from stargen_structures.substitutions import ionic_prototypes, shuffled, substitutions
from stargen_structures.volumes import Radii


class Substitute:
    """Source: Hautier et al., Inorg. Chem. 50, 656 (2011), on the AFLOW prototypes."""

    def open(self, context: Context) -> None:
        params: SubstituteParams = context.params
        self._table = load_species()
        self._numbers = np.array([ATOMIC_NUMBERS[s] for s in self._table.symbols.tolist()])
        radii = Radii(self._table)
        found = [
            substitution
            for origin in ionic_prototypes(_selected(params), self._table)
            for substitution in substitutions(
                origin, self._table, radii, context.chemistry, params.threshold
            )
        ]
        if not found:
            raise UserTaskError(
                "no prototype admits a substitution of this chemistry; widen `chemistry`,"
                " `prototypes` or `max_atoms`, or lower `threshold`"
            )
        self._order = shuffled(found, context.rng("order"))

    def run(self, candidates: Sequence[Candidate], context: Context) -> Iterator[Candidate | Drop]:
        for ordinal in context.ordinals:
            if ordinal < len(self._order):
                yield self._make(ordinal, context)
            else:
                detail = f"{len(self._order)} are as likely as asked for"
                yield context.stillborn(ordinal, "no substitution left", detail)

    def close(self) -> None:
        """The tables go with the process."""

    def _make(self, ordinal: int, context: Context) -> Candidate:
        substitution = self._order[ordinal]
        prototype, old = substitution.origin.prototype, substitution.origin.species
        crystal = Crystal.of(
            prototype.crystal.lattice * substitution.length_ratio,
            prototype.crystal.frac_coords,
            self._numbers[substitution.species[prototype.kinds]],
        )
        names = self._table.names
        pairs = zip(old.tolist(), substitution.species.tolist(), strict=True)
        return context.birth(
            ordinal,
            crystal,
            prototype=prototype.label,
            substitution=" ".join(f"{names[was]}>{names[now]}" for was, now in pairs),
            substitution_probability=substitution.probability,
        )


def _selected(params: SubstituteParams) -> list[Prototype]:
    try:
        return select_prototypes(load_prototypes(), params.prototypes, params.max_atoms)
    except ValueError as error:
        raise UserTaskError(str(error)) from error
