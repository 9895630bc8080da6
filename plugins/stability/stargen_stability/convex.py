"""The lower convex hull of the phases of one chemical system.

The hull's energy is the largest of its supporting planes, so that after qhull has found them the
energy at any composition is one matrix product. The number of planes explodes with the number of
elements; beyond `PLANES_UP_TO` a linear program per composition is asked instead, over those
phases alone that are stable in their own subsystem, which changes nothing: a phase above the hull
of its own elements is above any hull with more.

Source: Barber, Dobkin & Huhdanpaa (1996), qhull; Ong et al., Chem. Mater. 20, 1798 (2008).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.spatial import ConvexHull

Floats = NDArray[np.float64]

PLANES_UP_TO = 6
_PRUNED_UP_TO = 4  # subsystems this small cost little beside one linear program
_FLAT_EV = 1e-12  # what is not below the elements by more cannot shape the hull
_CHUNK = 4096


class LowerHull:
    """Energies of the hull of given phases.

    Parameters
    ----------
    fractions : (n, d) float64, rows sum to 1; each element must be among the phases
    energies : (n,) float64, eV/atom
    planes_up_to : more elements than this are solved by linear programs

    Raises
    ------
    ValueError : if the phases leave out an element
    """

    def __init__(
        self, fractions: Floats, energies: Floats, *, planes_up_to: int = PLANES_UP_TO
    ) -> None:
        self._elements = _element_energies(fractions, energies)
        lowered = energies - fractions @ self._elements
        below = lowered < -_FLAT_EV
        shape, depths = fractions[below], lowered[below]
        self._columns: tuple[Floats, Floats] | None = None
        self._planes = np.zeros((1, fractions.shape[1]))
        if not below.any():
            return
        if fractions.shape[1] <= planes_up_to:
            self._planes = _supporting_planes(shape, depths)
            if (self._lowered(shape) <= depths + 1e-9).all():
                return
        self._columns = _candidates_for_programs(shape, depths)

    def energy(self, fractions: Floats) -> Floats:
        """Energy of the hull, eV/atom, at compositions (m, d)."""
        return self._lowered(fractions) + fractions @ self._elements

    def _lowered(self, fractions: Floats) -> Floats:
        if self._columns is not None:
            return np.array([_least_energy(*self._columns, x) for x in fractions])
        parts = [
            (fractions[at : at + _CHUNK] @ self._planes.T).max(axis=1)
            for at in range(0, len(fractions), _CHUNK)
        ]
        return np.concatenate(parts) if parts else np.zeros(0)


def _element_energies(fractions: Floats, energies: Floats) -> Floats:
    pure = np.where(fractions > 1 - 1e-9, energies[:, None], np.inf).min(axis=0)
    if not np.isfinite(pure).all():
        raise ValueError("an element is missing among the phases")
    return pure


def _supporting_planes(fractions: Floats, depths: Floats) -> Floats:
    """Chemical potentials of the lower facets, (n_facets, d) eV, elements at 0.

    One point above the middle closes the hull from above; the facets that touch it are its roof,
    and walls have no downward normal.
    """
    n, d = fractions.shape
    points = np.zeros((n + d + 1, d))  # composition without its last element, then the energy
    points[:n, :-1], points[:n, -1] = fractions[:, :-1], depths
    points[n : n + d, :-1] = np.eye(d)[:, :-1]
    points[-1, :-1], points[-1, -1] = 1 / d, 1.0
    hull = ConvexHull(points)
    normal, offset = hull.equations[:, :-1], hull.equations[:, -1]
    lower = (normal[:, -1] < -1e-9) & (hull.simplices != n + d).all(axis=1)
    slopes = -normal[lower] / normal[lower, -1:]
    last = -offset[lower] / normal[lower, -1]
    return np.column_stack([slopes[:, :-1] + last[:, None], last])


def _candidates_for_programs(fractions: Floats, depths: Floats) -> tuple[Floats, Floats]:
    """The elements, and the phases that are stable in their own subsystem."""
    d = fractions.shape[1]
    support = fractions > 0
    keep = np.ones(len(fractions), dtype=bool)
    for mask in np.unique(support, axis=0):
        size = int(mask.sum())
        if size == d or size > _PRUNED_UP_TO:
            continue
        own = (support == mask).all(axis=1)
        within = ~support[:, ~mask].any(axis=1)
        corners = np.vstack([fractions[within][:, mask], np.eye(size)])
        hull = LowerHull(corners, np.concatenate([depths[within], np.zeros(size)]))
        keep[own] = depths[own] <= hull.energy(fractions[own][:, mask]) + 1e-9
    columns = np.vstack([np.eye(d), fractions[keep]]).T
    return columns, np.concatenate([np.zeros(d), depths[keep]])


def _least_energy(columns: Floats, costs: Floats, composition: Floats) -> float:
    """Energy of the cheapest mixture with this composition, eV/atom."""
    solved = linprog(
        costs,
        A_eq=columns,
        b_eq=composition,
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    if not solved.success:  # the elements alone are a solution, so this is a numerical breakdown
        raise ArithmeticError(f"no decomposition of {composition.tolist()}: {solved.message}")
    return float(solved.fun)
