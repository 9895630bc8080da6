"""Space groups, at a tolerance that judges and at one that is only stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stargen.calculators.contract import Context
from stargen.crystal import Candidate, Crystal, Drop
from stargen_filters.cells import TOOL, VERSION, symmetry
from stargen_filters.params import SymmetryParams


class Symmetry:
    """P1 at 0.1 Å after a relaxation marks a crystal without order."""

    def open(self, context: Context) -> None:
        self._params: SymmetryParams = context.params
        self._tool = {
            "tool": TOOL,
            "version": VERSION,
            "symprec_ang": self._params.symprec_ang,
            "strict_symprec_ang": self._params.strict_symprec_ang,
        }

    def run(self, candidates: Sequence[Candidate], context: Context) -> Iterator[Candidate | Drop]:
        for candidate in candidates:
            number = _number(candidate.crystal, self._params.symprec_ang)
            if self._params.drop_p1 and number is None:
                yield candidate.drop("symmetry not found", f"symprec {self._params.symprec_ang} Å")
            elif self._params.drop_p1 and number == 1:
                yield candidate.drop("P1", f"symprec {self._params.symprec_ang} Å")
            else:
                yield candidate.with_(
                    data={"symmetry": self._tool},
                    spacegroup=number,
                    spacegroup_strict=_number(candidate.crystal, self._params.strict_symprec_ang),
                )

    def close(self) -> None:
        """Nothing is held."""


def _number(crystal: Crystal, symprec_ang: float) -> int | None:
    found = symmetry(crystal, symprec_ang)
    return None if found is None else found.number
