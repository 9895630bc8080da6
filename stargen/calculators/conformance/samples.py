"""A few crystals that calculators are tried on."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from stargen.crystal import Candidate, Crystal

_FCC = [[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]]


def sample_crystals() -> dict[str, Crystal]:
    """Well-known structures, and one without any symmetry; lengths in Å."""
    return {
        "copper": _scaled(_FCC, 3.61, [[0, 0, 0]], [29]),
        "silicon": _scaled(_FCC, 5.43, [[0, 0, 0], [0.25, 0.25, 0.25]], [14, 14]),
        "rock salt": _scaled(_FCC, 5.64, [[0, 0, 0], [0.5, 0.5, 0.5]], [11, 17]),
        "caesium chloride": _scaled(np.eye(3), 4.12, [[0, 0, 0], [0.5, 0.5, 0.5]], [55, 17]),
        "perovskite": _scaled(
            np.eye(3),
            3.905,
            [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
            [38, 22, 8, 8, 8],
        ),
        "triclinic": Crystal.of(
            [[4.9, 0.3, 0.1], [-1.1, 5.3, 0.4], [0.7, -0.9, 6.1]],
            [[0.03, 0.08, 0.11], [0.52, 0.47, 0.09], [0.48, 0.05, 0.55], [0.07, 0.56, 0.61]],
            [3, 3, 15, 8],
        ),
    }


def sample_candidates(job: str = "sample") -> list[Candidate]:
    """The sample crystals as candidates, the last one a copy of the first."""
    crystals = [*sample_crystals().values()]
    return [Candidate(f"{job}/{i}", crystal) for i, crystal in enumerate([*crystals, crystals[0]])]


def _scaled(lattice: ArrayLike, edge_ang: float, coords: ArrayLike, numbers: ArrayLike) -> Crystal:
    return Crystal.of(edge_ang * np.asarray(lattice), coords, numbers)
