"""How much a cell grows when its ions are replaced.

Source: reference lattice scaling, Chu et al., Comput. Mater. Sci. 146, 184 (2018),
doi 10.1016/j.commatsci.2018.01.040, as in pymatgen's `RLSVolumePredictor`: lengths go as the sum of
radius times the cube root of the number of atoms.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from stargen_structures.species import Floats, SpeciesTable


class Radii:
    """Ionic radii of the table's species and atomic radii of their elements, Å; NaN if unknown."""

    def __init__(self, table: SpeciesTable) -> None:
        from pymatgen.core import Species

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one for each ion without a radius
            ions = [Species.from_str(name) for name in table.names]
            self._ionic = np.array([_number(ion.ionic_radius) for ion in ions])
            self._atomic = np.array([_number(ion.element.atomic_radius) for ion in ions])

    def length_ratio(
        self, new: NDArray[np.intp], old: NDArray[np.intp], amounts: NDArray[np.intp]
    ) -> Floats:
        """By how much the lattice vectors grow.

        Atomic radii are used where the ionic radius of one of the ions is not known; the result is
        NaN where neither serves.

        Parameters
        ----------
        new : (n, n_elements) species put in
        old : (n_elements,) species replaced
        amounts : (n_elements,) atoms of each
        """
        roots = np.cbrt(amounts)
        ionic, atomic = (
            (radii[new] @ roots) / (radii[old] @ roots) for radii in (self._ionic, self._atomic)
        )
        return np.where(np.isfinite(ionic), ionic, atomic)


def _number(radius: float | None) -> float:
    return float("nan") if radius is None else float(radius)
