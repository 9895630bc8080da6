"""Distances in a periodic crystal, by numpy alone, for any cell however skewed.

Both kernels first take a Minkowski-reduced basis of the same lattice. Its lengths a, b, c are the
three shortest independent ones and their product is at most sqrt(2) times the volume, so no height
of the cell is below a / sqrt(2).
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import moyopy
import numpy as np
from numpy.typing import NDArray

from stargen.crystal import Crystal

Floats = NDArray[np.float64]

_HALF_SHELL = np.array([s for s in product((-1, 0, 1), repeat=3) if s > (0, 0, 0)], dtype=float)
"""One of each pair +s, -s of the 26 neighbouring cells."""
_BLOCK = 200_000
"""Pairs looked at in one go, to bound the memory of large cells."""
_SEARCH_MARGIN = 1.3
"""First guess of the radius that holds k neighbours, over that of a homogeneous gas."""


def reduced_lattice(lattice: Floats) -> Floats:
    """A Minkowski-reduced basis of the same lattice, shortest vector first.

    Raises
    ------
    ValueError : if the cell is singular
    """
    basis, _ = moyopy.minkowski_reduce(lattice.tolist())
    return np.array(basis)


def shortest_distance(crystal: Crystal) -> float:
    """Smallest distance between any two atoms, periodic images of one atom among them, in Å.

    The 27 neighbouring cells suffice: beyond them, with differences wrapped to [-1/2, 1/2], a pair
    is at least 3/2 heights apart, which is more than the shortest lattice vector, and that is a
    distance too.

    Raises
    ------
    ValueError : if the cell is singular
    """
    basis = reduced_lattice(crystal.lattice)
    shifts = _HALF_SHELL @ basis
    shift_squares = np.einsum("ij,ij->i", shifts, shifts)
    best = float(shift_squares.min())
    frac = crystal.frac_coords @ (crystal.lattice @ np.linalg.inv(basis))
    one, other = _pairs(crystal.n_atoms)
    for start in range(0, len(one), _BLOCK):
        block = slice(start, start + _BLOCK)
        gaps = frac[one[block]] - frac[other[block]]
        vectors = (gaps - np.rint(gaps)) @ basis
        squares = np.einsum("ij,ij->i", vectors, vectors)
        # |v + s|^2 = v^2 + s^2 + 2 v.s, and the nearer of +s and -s has -2 |v.s|
        gains = (shift_squares - 2 * np.abs(vectors @ shifts.T)).min(axis=1)
        best = min(best, float((squares + np.minimum(gains, 0)).min()))
    return max(best, 0.0) ** 0.5


def neighbour_distances(crystal: Crystal, k: int) -> tuple[Floats, NDArray[np.intp]]:
    """Distances to the k nearest atoms of each element, from each atom.

    Returns
    -------
    (n_atoms, n_elements, k) float64, Å; ascending. Atoms and elements are in order of atomic number
    (n_elements,) how many atoms of each element the cell has

    Raises
    ------
    ValueError : if the cell is singular
    """
    basis = reduced_lattice(crystal.lattice)
    order = np.argsort(crystal.numbers, kind="stable")
    _, amounts = np.unique(crystal.numbers, return_counts=True)
    frac = crystal.frac_coords[order] @ (crystal.lattice @ np.linalg.inv(basis))
    rarest = crystal.volume / amounts.min()
    radius = _SEARCH_MARGIN * (3 * (k + 0.5) * rarest / (4 * np.pi)) ** (1 / 3)
    n = len(frac)
    rows = max(1, _BLOCK // (10 * n))
    squares = np.concatenate(
        [
            _nearest_squares(frac, slice(start, start + rows), basis, amounts, k, radius)
            for start in range(0, n, rows)
        ]
    )
    return np.sqrt(np.sort(squares, axis=2)), amounts


def _nearest_squares(
    frac: Floats,
    rows: slice,
    basis: Floats,
    amounts: NDArray[np.intp],
    k: int,
    radius: float,
) -> Floats:
    """Squared distances of some atoms to the k nearest of each element; `radius` is a first guess.

    The answer is exact once it lies within the radius up to which the images are complete.
    """
    gaps = frac[rows, None] - frac[None]
    vectors = (gaps - np.rint(gaps)) @ basis
    itself = np.arange(len(frac))[rows]
    while True:
        squares = _image_squares(vectors, itself, basis, radius)
        nearest = _smallest(squares, amounts, k)
        if nearest is not None and nearest.max() <= radius**2:
            return nearest
        radius *= _SEARCH_MARGIN


@lru_cache(maxsize=256)
def _pairs(n: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return np.triu_indices(n, 1)


def _image_squares(
    vectors: Floats, itself: NDArray[np.intp], basis: Floats, radius: float
) -> Floats:
    """Squared distances from some atoms to the images of all.

    Parameters
    ----------
    vectors : (n_rows, n_atoms, 3) Å; to each atom's image nearest in the reduced basis
    itself : (n_rows,) which of the atoms each row is

    Returns
    -------
    (n_rows, n_atoms, n_images) float64, Å^2; complete up to `radius`, inf for an atom to itself
    """
    heights = 1 / np.linalg.norm(np.linalg.inv(basis), axis=0)
    reach = np.ceil(radius / heights - 0.5).astype(int)
    cells = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), axis=-1)
    shifts = cells.reshape(-1, 3) @ basis
    shift_squares = np.einsum("ij,ij->i", shifts, shifts)
    squares = np.einsum("ijk,ijk->ij", vectors, vectors)
    useful = shift_squares <= (radius + squares.max() ** 0.5) ** 2
    shifts, shift_squares = shifts[useful], shift_squares[useful]
    images = vectors @ (2 * shifts.T)
    images += squares[:, :, None]
    images += shift_squares
    np.maximum(images, 0, out=images)
    images[np.arange(len(itself)), itself, shift_squares.argmin()] = np.inf
    return images


def _smallest(squares: Floats, amounts: NDArray[np.intp], k: int) -> Floats | None:
    """The k smallest per row and element, unsorted; None if there are fewer than k."""
    found = np.empty((len(squares), len(amounts), k))
    ends = np.cumsum(amounts)
    for e, (start, end) in enumerate(zip(ends - amounts, ends, strict=True)):
        images = squares[:, start:end].reshape(len(squares), -1)
        if images.shape[1] < k:
            return None
        found[:, e] = np.partition(images, k - 1, axis=1)[:, :k]
    return found
