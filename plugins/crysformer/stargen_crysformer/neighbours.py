"""The k nearest neighbours of every atom in a periodic crystal, ties kept, compiled.

The radius of the search is guessed from the density and grown, atom by atom, until k neighbours
and the shell around the k-th lie inside it: nothing that belongs to the list can then be outside.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

TIE_ANG = 1e-3
"""Neighbours that are farther than the k-th by no more than this belong to its shell."""

_GROWTH = 1.35
_LARGEST_ANG = 1e4  # beyond it a cell is no crystal any more; keeps the search finite


@numba.njit(cache=True)
def _reduced(lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """A short basis of the same lattice, so that few images lie within a radius.

    Repeats the shortening of one vector by another until none gets shorter; with the sums and
    differences of pairs that is enough in three dimensions for this purpose (any basis is correct,
    a short one is fast).
    """
    basis = lattice.copy()
    for _ in range(100):
        changed = False
        for i in range(3):
            for j in range(3):
                if i == j:
                    continue
                other = basis[j]
                times = np.round((basis[i] * other).sum() / (other * other).sum())
                if times != 0.0:
                    shorter = basis[i] - times * other
                    if (shorter * shorter).sum() < (basis[i] * basis[i]).sum() * (1 - 1e-9):
                        basis[i] = shorter
                        changed = True
            j, k = (i + 1) % 3, (i + 2) % 3
            for sign in (-1.0, 1.0):
                other = basis[j] + sign * basis[k]
                times = np.round((basis[i] * other).sum() / (other * other).sum())
                if times != 0.0:
                    shorter = basis[i] - times * other
                    if (shorter * shorter).sum() < (basis[i] * basis[i]).sum() * (1 - 1e-9):
                        basis[i] = shorter
                        changed = True
        if not changed:
            break
    return basis


@numba.njit(cache=True)
def _within(basis, heights, frac, i, radius, where, squares, vectors):  # noqa: ANN001, ANN202 (numba infers)
    """Fill in all images within `radius` of atom `i`; how many, or -1 if there is no room."""
    found, limit = 0, radius * radius
    reach_a, reach_b, reach_c = radius / heights[0], radius / heights[1], radius / heights[2]
    for j in range(len(frac)):
        da, db, dc = frac[j, 0] - frac[i, 0], frac[j, 1] - frac[i, 1], frac[j, 2] - frac[i, 2]
        for na in range(math.ceil(-reach_a - da), math.floor(reach_a - da) + 1):
            for nb in range(math.ceil(-reach_b - db), math.floor(reach_b - db) + 1):
                fa, fb = da + na, db + nb
                xab = fa * basis[0, 0] + fb * basis[1, 0]
                yab = fa * basis[0, 1] + fb * basis[1, 1]
                zab = fa * basis[0, 2] + fb * basis[1, 2]
                for nc in range(math.ceil(-reach_c - dc), math.floor(reach_c - dc) + 1):
                    fc = dc + nc
                    x = xab + fc * basis[2, 0]
                    y = yab + fc * basis[2, 1]
                    z = zab + fc * basis[2, 2]
                    square = x * x + y * y + z * z
                    if square > limit or (i == j and na == 0 and nb == 0 and nc == 0):
                        continue
                    if found == len(where):
                        return -1
                    where[found], squares[found] = j, square
                    vectors[found, 0], vectors[found, 1], vectors[found, 2] = x, y, z
                    found += 1
    return found


@numba.njit(cache=True)
def _kth(squares, found, k, smallest):  # noqa: ANN001, ANN202 (numba infers)
    """The k-th smallest of the first `found`."""
    held = 0
    for n in range(found):
        value = squares[n]
        if held == k and value >= smallest[k - 1]:
            continue
        at = held if held < k else k - 1
        while at > 0 and smallest[at - 1] > value:
            smallest[at] = smallest[at - 1]
            at -= 1
        smallest[at] = value
        held = min(held + 1, k)
    return smallest[k - 1]


@numba.njit(cache=True)
def nearest(lattices, frac_coords, n_atoms, k, tie):  # noqa: ANN001, ANN201 (numba infers)
    """Neighbour lists of many crystals.

    Parameters
    ----------
    lattices : (n_crystals, 3, 3) float64, Å
    frac_coords : (n_all, 3) float64, the crystals' atoms one after another
    n_atoms : (n_crystals,) int64
    k : neighbours an atom, at least
    tie : Å

    Returns
    -------
    degrees : (n_all,) int64, how many each atom has; 0 for all atoms of a crystal that has none
        (two atoms in one place, or a cell without volume)
    sources : (n_edges,) int64, the neighbour, counted through all crystals
    vectors : (n_edges, 3) float64, Å, from the atom to its neighbour
    """
    total = len(frac_coords)
    degrees = np.zeros(total, np.int64)
    sources = np.empty(total * (k + 4), np.int64)
    out = np.empty((total * (k + 4), 3), np.float64)
    room = 256
    where, squares = np.empty(room, np.int64), np.empty(room)
    vectors, smallest = np.empty((room, 3)), np.empty(k)
    edges, first = 0, 0
    for crystal in range(len(n_atoms)):
        n = n_atoms[crystal]
        lattice = lattices[crystal]
        volume = abs(np.linalg.det(lattice))
        edges_before, sound = edges, volume > 1e-6
        if sound:
            basis = _reduced(lattice)
            inverse = np.linalg.inv(basis)
            frac = (frac_coords[first : first + n] @ lattice) @ inverse
            frac -= np.floor(frac)
            heights = 1.0 / np.sqrt((inverse * inverse).sum(axis=0))
            guess = 1.25 * (3 * k * volume / (4 * math.pi * n)) ** (1 / 3)
        for i in range(n):
            if not sound:
                break
            radius = guess
            while True:
                found = _within(basis, heights, frac, i, radius, where, squares, vectors)
                if found < 0:
                    room *= 2
                    where, squares = np.empty(room, np.int64), np.empty(room)
                    vectors = np.empty((room, 3))
                    continue
                if found >= k:
                    shell = math.sqrt(_kth(squares, found, k, smallest)) + tie
                    if shell <= radius:
                        break
                radius *= _GROWTH
                if radius > _LARGEST_ANG:
                    sound = False
                    break
            if not sound or math.sqrt(smallest[0]) < 1e-3:
                sound = False
                break
            kept = 0
            for m in range(found):
                if math.sqrt(squares[m]) <= shell:
                    if edges == len(sources):
                        sources = np.append(sources, np.empty(len(sources), np.int64))
                        out = np.append(out, np.empty((len(out), 3)), axis=0)
                    sources[edges] = first + where[m]
                    out[edges] = vectors[m]
                    edges += 1
                    kept += 1
            degrees[first + i] = kept
        if not sound:
            edges = edges_before
            degrees[first : first + n] = 0
        first += n
    return degrees, sources[:edges], out[:edges]
