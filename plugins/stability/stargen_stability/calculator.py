"""Places candidates on the convex hull of the phases that compete with them.

`stability.hull` by energies that were computed, `stability.predicted` by those that were predicted.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stargen import Candidate, Context
from stargen.crystal import Scalar
from stargen.elements import SYMBOLS, counts
from stargen.errors import UserTaskError
from stargen_stability import elemental, reference
from stargen_stability.convex import Floats, LowerHull
from stargen_stability.elemental import ElementalReference
from stargen_stability.info import HullParams, PredictedParams, ReferenceParams
from stargen_stability.phases import Phases, System, fractions_in, system_of
from stargen_stability.reference import Reference
from stargen_stability.schemes import require_scale, single_scheme

_ON_HULL_EV = 1e-9  # rounding is not to keep a phase of the hull from being found at 0
_SQLITE = "sqlite:///"
_SCALES_OF_68 = -math.log(1 - 0.68)


@dataclass(frozen=True, slots=True)
class _Placed:
    """A candidate whose formation energy is known, eV/atom."""

    at: int
    amounts: dict[str, int]
    formation_energy: float


@dataclass(frozen=True, slots=True)
class _Energies:
    """Which of the candidates' properties are their energies.

    Parameters
    ----------
    name : of the energy, eV/atom
    are_total : else formation energies
    scheme_name : of the property that states their scheme
    scheme : of candidates that do not state it
    """

    name: str
    are_total: bool
    scheme_name: str
    scheme: str | None

    def of(self, candidate: Candidate) -> float | None:
        return _number(candidate.properties.get(self.name))

    def scheme_of(self, candidate: Candidate) -> str | None:
        stated = candidate.properties.get(self.scheme_name)
        return str(stated) if stated is not None else self.scheme


class Hull:
    """Formation energy, energy above the reference's hull, and above that with the campaign's own.

    Nothing is dropped: a candidate that cannot be placed carries the reason as `hull_note`.
    """

    def open(self, context: Context) -> None:
        params: ReferenceParams = context.params
        self._energies = self._energies_of(params)
        self._elements = _elements(context, params)
        self._reference = _reference(context, params, self._elements)
        self._database = _database(context, params, self._elements)

    def run(self, candidates: Sequence[Candidate], context: Context) -> Iterable[Candidate]:
        self._refuse_mixed(candidates)
        notes: dict[int, str] = {}
        placed: list[_Placed] = []
        for at, candidate in enumerate(candidates):
            found = self._place(at, candidate)
            if isinstance(found, str):
                notes[at] = found
            else:
                placed.append(found)
        outside, own = self._heights(placed)
        by_place = {one.at: i for i, one in enumerate(placed)}
        name = self._name()
        for at, candidate in enumerate(candidates):
            i = by_place.get(at)
            found = {
                "formation_energy_per_atom": None if i is None else placed[i].formation_energy,
                "e_above_hull": None if i is None else float(outside[i]),
                "e_above_hull_self": None if i is None else float(own[i]),
                "hull_reference": name,
                "hull_note": notes.get(at),
                "energy_scheme": self._energies.scheme_of(candidate),
            }
            yield candidate.with_(**self._named(found))

    def close(self) -> None:
        """Nothing is held that needs it."""

    def _energies_of(self, params: Any) -> _Energies:
        own: HullParams = params
        are_total = own.energy_is == "total"
        return _Energies(own.energy, are_total, "energy_scheme", own.energy_scheme)

    def _named(self, found: dict[str, Scalar]) -> dict[str, Scalar]:
        """Results under the names that they get."""
        return found

    def _refuse_mixed(self, candidates: Sequence[Candidate]) -> None:
        energies = self._energies
        schemes = [energies.scheme_of(c) for c in candidates if energies.of(c) is not None]
        silent = schemes.count(None)
        if silent:
            raise UserTaskError(
                f"{silent} candidates with {energies.name} do not state their "
                f"{energies.scheme_name}; a campaign can say it of computed energies: "
                'energy_scheme = "method/corrections"'
            )
        scheme = single_scheme(scheme for scheme in schemes if scheme is not None)
        if scheme is None:
            return
        if energies.are_total:
            require_scale(scheme, self._elements.scale, f"elements {self._elements.name}")
        for other in (self._reference, self._database):
            if other is not None:
                require_scale(scheme, other.scale, other.name)

    def _place(self, at: int, candidate: Candidate) -> _Placed | str:
        energy = self._energies.of(candidate)
        if energy is None:
            return f"no {self._energies.name}"
        numbers = counts(candidate.crystal.numbers.tobytes())
        amounts = {SYMBOLS[z]: n for z, n in numbers.items()}
        lacking = sorted(set(amounts) - set(self._elements.energies))
        if lacking:
            return f"{self._elements.name} has no energy of {', '.join(lacking)}"
        if self._energies.are_total:
            energy = self._elements.formation_energy(amounts, energy)
        return _Placed(at, amounts, energy)

    def _heights(self, placed: Sequence[_Placed]) -> tuple[Floats, Floats]:
        """Energies above both hulls, eV/atom.

        Own phases that are not below the reference's hull cannot change it, so the second hull
        takes in only those that are, and is the first where there are none.
        """
        known = self._reference.phases if self._reference is not None else Phases()
        groups: dict[System, list[int]] = defaultdict(list)
        for i, one in enumerate(placed):
            groups[system_of(one.amounts)].append(i)
        outside = np.zeros(len(placed))
        for system, members in groups.items():
            outside[members] = _above(placed, members, known.hull(system), system)
        added = Phases()
        for one, height in zip(placed, outside, strict=True):
            if height < 0:
                added.add(one.amounts, one.formation_energy)
        if self._database is not None:
            added.update(self._database.phases)
        own = outside.copy()
        for system, members in groups.items():
            if added.within(system):
                own[members] = _above(placed, members, known.hull(system, added), system)
        return (outside if self._reference is not None else own), own

    def _name(self) -> str:
        """What the energies above hull are above of."""
        parts = [] if self._reference is None else [self._reference.name]
        parts.append(f"elements {self._elements.name}")
        if self._reference is None:
            parts.append("own candidates")
            if self._database is not None:
                parts.append(self._database.name)
        return " + ".join(parts)


class PredictedHull(Hull):
    """The same from predicted formation energies, under names of their own: ``e_above_hull_pred``.

    Predictions meet none but each other and the reference. What is computed for a candidate later
    stands beside them.

    Where a prediction states its error, ``stable_probability_pred`` is the probability that the
    energy above the hull is at most `stable_below`. What competes counts as exact.
    """

    def open(self, context: Context) -> None:
        super().open(context)
        params: PredictedParams = context.params
        self._stable_below = params.stable_below

    def run(self, candidates: Sequence[Candidate], context: Context) -> Iterable[Candidate]:
        for found in super().run(candidates, context):
            likely = _probability_below(
                self._stable_below,
                _number(found.properties["e_above_hull_pred"]),
                _number(found.properties.get("formation_energy_std")),
            )
            yield found.with_(stable_probability_pred=likely)

    def _energies_of(self, params: Any) -> _Energies:
        return _Energies("formation_energy_pred", False, "energy_scheme_pred", None)

    def _named(self, found: dict[str, Scalar]) -> dict[str, Scalar]:
        names = ("e_above_hull", "e_above_hull_self", "hull_reference", "hull_note")
        return {f"{name}_pred": found[name] for name in names}


def _probability_below(
    limit: float, centre: float | None, half_width: float | None
) -> float | None:
    """Of a Laplace distribution, by half the width of the interval that holds 68 % of it.

    Errors of networks have heavier tails than a normal distribution. None where one is unknown.
    """
    if centre is None or half_width is None or half_width <= 0:
        return None
    away = (limit - centre) / (half_width / _SCALES_OF_68)
    return 1 - math.exp(-away) / 2 if away > 0 else math.exp(away) / 2


def _above(
    placed: Sequence[_Placed], members: Sequence[int], hull: LowerHull, system: System
) -> Floats:
    fractions = np.array([fractions_in(system, placed[i].amounts) for i in members])
    energies = np.array([placed[i].formation_energy for i in members])
    heights = energies - hull.energy(fractions)
    return np.where(abs(heights) < _ON_HULL_EV, 0.0, heights)


def _elements(context: Context, params: ReferenceParams) -> ElementalReference:
    if params.elements in elemental.SHIPPED:
        return elemental.shipped(params.elements)
    try:
        path = context.input_file(params.elements)
        return elemental.from_file(path, params.elements_scheme)
    except (ValueError, OSError) as error:
        raise UserTaskError(f"elements {params.elements}: {error}") from error


def _reference(
    context: Context, params: ReferenceParams, elements: ElementalReference
) -> Reference | None:
    if params.reference is None:
        return None
    path = context.input_file(params.reference)
    return reference.from_file(path, params.reference_scheme, elements)


def _database(
    context: Context, params: ReferenceParams, elements: ElementalReference
) -> Reference | None:
    url = params.database
    if url is None:
        return None
    if url.startswith(_SQLITE):
        path = context.input_file(url.removeprefix(_SQLITE))
        if not path.exists():
            raise UserTaskError(f"database {url}: there is no such file")
        url = f"{_SQLITE}{path}"
    name = "database " + params.database.rsplit("/", 1)[-1]
    return reference.from_database(url, name, params.reference_scheme, elements)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, float | int) or not math.isfinite(value):
        return None
    return float(value)
