"""What GPAW's potentials of the elements ask for."""

from __future__ import annotations

from collections.abc import Iterable

from stargen.elements import SYMBOLS

_SOFT_EV, _USUAL_EV, _HARD_EV = 350.0, 500.0, 800.0

_SOFT = frozenset({"Al", "Si", "P", "S", "Ge", "As", "Se", "Sn", "Sb", "Te", "Pb", "Bi"})
_HARD = frozenset(
    {"H", "B", "C", "N", "O", "F", "Na", "Mg"}
    | {"Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga"}
)
"""First-row elements, and those whose semicore states are treated as valence."""

_WITHOUT = frozenset({"Tc", "Po", "At"})
_LAST = "Rn"


def has_potential(symbol: str) -> bool:
    """Whether the PAW data sets of PBE have that element."""
    return symbol not in _WITHOUT and SYMBOLS.index(symbol) <= SYMBOLS.index(_LAST)


def cutoff_for(symbols: Iterable[str]) -> float:
    """Plane-wave cut-off (eV) at which a cell of these elements can be relaxed.

    Where it is too low, the basis grows with the cell: MgO comes out 8 % short at 400 eV. The
    hardest element decides; the check after a relaxation finds what this table does not know.
    """
    found = set(symbols)
    if found & _HARD:
        return _HARD_EV
    return _SOFT_EV if found <= _SOFT else _USUAL_EV
