"""The calculator itself; only a worker process imports this module."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from stargen import Candidate, Context, Crystal, Drop


class Mean:
    """The mean over all atoms of the distance to the nearest neighbour, Å."""

    def open(self, context: Context) -> None:
        """Nothing to load. A model would read its weights here, once per worker."""

    def run(self, candidates: Sequence[Candidate], context: Context) -> Iterable[Candidate | Drop]:
        longest = context.params.max_ang
        for candidate in candidates:
            mean_ang = float(nearest_distances(candidate.crystal).mean())
            if longest is not None and mean_ang > longest:
                yield candidate.drop("sparse", f"mean bond {mean_ang:.2f} Å")
            else:
                yield candidate.with_(mean_bond_ang=mean_ang)

    def close(self) -> None:
        """Nothing to give back."""


def nearest_distances(crystal: Crystal) -> NDArray[np.float64]:
    """Distance from each atom to its nearest neighbour, periodic images of itself included.

    Returns
    -------
    (n_atoms,) float64, Å
    """
    lattice = crystal.lattice
    # An atom's own image lies one lattice vector away, so no search needs to go farther.
    reach = float(np.linalg.norm(lattice, axis=1).min())
    coords = crystal.frac_coords % 1.0
    between = coords[None, :, :] - coords[:, None, :]
    shortest = np.full((crystal.n_atoms, crystal.n_atoms), np.inf)
    for image in _images(lattice, reach):
        distances = np.linalg.norm((between + image) @ lattice, axis=2)
        if not image.any():
            np.fill_diagonal(distances, np.inf)
        shortest = np.minimum(shortest, distances)
    return shortest.min(axis=1)


def _images(lattice: NDArray[np.float64], reach_ang: float) -> Iterator[NDArray[np.float64]]:
    """Every cell that can hold a point within reach of a point of the home cell."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    most = np.ceil(reach_ang / heights).astype(int) + 1
    for index in np.ndindex(*(2 * most + 1)):
        yield np.asarray(index, dtype=float) - most
