"""What is kept of a crystal for comparing it: a profile of neighbours and a standard cell.

Both are computed once, travel in the candidate's data, and say which crystal they belong to, so a
profile from before a relaxation is never taken for one from after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stargen.crystal import Candidate, Crystal
from stargen_filters.cells import primitive_cell
from stargen_filters.distances import neighbour_distances
from stargen_filters.params import UniqueParams

KEY = "fingerprint"
"""Where it lies in a candidate's data."""


def neighbour_profile(crystal: Crystal, k: int) -> NDArray[np.float32]:
    """Mean distance from the atoms of one element to the 1st, 2nd, ... k-th nearest of another.

    The average minimum distances of Widdowson et al. (arXiv:2009.02488), resolved by pairs of
    elements, since the plain ones do not see two elements change places. In units of (volume per
    atom)^(1/3): like StructureMatcher it does not see the volume. Independent of the choice of
    cell and continuous under small displacements.

    Returns
    -------
    (n_elements^2 k,) float32; pairs of elements in order of atomic number
    """
    distances, amounts = neighbour_distances(crystal, k)
    starts = np.cumsum(amounts) - amounts
    means = np.add.reduceat(distances, starts, axis=0) / amounts[:, None, None]
    unit = (crystal.volume / crystal.n_atoms) ** (1 / 3)
    return (means / unit).astype(np.float32).ravel()


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Profile and primitive Niggli cell of one crystal, at given settings."""

    crystal: Crystal
    profile: NDArray[np.float32]
    cell: Crystal

    @classmethod
    def of(cls, crystal: Crystal, params: UniqueParams) -> Self:
        """Computed afresh.

        Raises
        ------
        ValueError : if the cell is singular
        """
        profile = neighbour_profile(crystal, params.neighbours)
        return cls(crystal, profile, primitive_cell(crystal, params.symprec_ang))

    @classmethod
    def carried(cls, candidate: Candidate, params: UniqueParams) -> Self:
        """From the candidate's data where it is there and fits, else computed.

        Raises
        ------
        ValueError : if the cell is singular
        """
        found = candidate.data.get(KEY)
        if found is None or found["of"] != _settings(candidate.crystal, params):
            return cls.of(candidate.crystal, params)
        cell = Crystal.of(found["lattice"], found["frac_coords"], found["numbers"])
        return cls(candidate.crystal, found["profile"], cell)

    def as_data(self, params: UniqueParams) -> Mapping[str, Any]:
        """For the candidate's data."""
        return {
            KEY: {
                "of": _settings(self.crystal, params),
                "profile": self.profile,
                "lattice": self.cell.lattice,
                "frac_coords": self.cell.frac_coords,
                "numbers": self.cell.numbers,
            }
        }


def _settings(crystal: Crystal, params: UniqueParams) -> list[Any]:
    """What a carried fingerprint must agree with to be of use."""
    return [crystal.content_hash(), params.neighbours, params.symprec_ang]
