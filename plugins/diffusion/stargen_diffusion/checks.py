"""A look at a few samples, cheap enough to be taken while a network is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from stargen import Crystal
from stargen_diffusion.config import N_TYPES
from stargen_diffusion.making import Order, Refused, Workshop
from stargen_diffusion.model import Model
from stargen_diffusion.revealing import Palette
from stargen_diffusion.sampling import Plan, Sampler

SHORTEST_ANG = 0.5
"""Structural validity: atoms at least so far apart, volume above 0.1 Å^3 (CDVAE's rule)."""

_FEW_STEPS = Plan(steps=25, correctors=0)


def sample_checks(
    model: Model, count: int, compositions: Sequence[NDArray[np.uint8]]
) -> Mapping[str, float]:
    """Shares and means over a few quick samples, the same noise each time."""
    palette = Palette(np.ones(N_TYPES, dtype=bool))
    known = model.config.types == "known"
    shares = np.array(model.statistics.n_atoms, float) / sum(model.statistics.n_atoms)
    sizes = np.random.default_rng(0).choice(len(shares), count, p=shares)
    orders = [
        Order(
            len(compositions[at % len(compositions)]) if known else int(sizes[at]),
            partial(_draw, at),
            palette,
            compositions[at % len(compositions)].astype(np.int64) - 1 if known else None,
        )
        for at in range(count)
    ]
    made = Workshop(Sampler(model, _FEW_STEPS)).make(orders)
    crystals = [each for each in made if not isinstance(each, Refused)]
    valid = sum(shortest_distance(each) > SHORTEST_ANG for each in crystals)
    elements = [len(np.unique(each.numbers)) for each in crystals]
    return {
        "samples/valid": valid / count,
        "samples/elements": float(np.mean(elements)) if elements else 0.0,
    }


def shortest_distance(crystal: Crystal) -> float:
    """Between two different atoms, or an atom and its image in a neighbouring cell, Å."""
    shifts = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), -1).reshape(-1, 3)
    apart = crystal.frac_coords[:, None] - crystal.frac_coords[None]
    apart -= np.round(apart)
    vectors = (apart[:, :, None] + shifts) @ crystal.lattice
    lengths = np.linalg.norm(vectors, axis=-1)
    lengths[np.arange(crystal.n_atoms), np.arange(crystal.n_atoms), 13] = np.inf
    return float(lengths.min())


def _draw(number: int, *key: int | str) -> np.random.Generator:
    words = [number, *(len(k) if isinstance(k, str) else k for k in key)]
    return np.random.default_rng(words)
