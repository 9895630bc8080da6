"""Numbers that say how good a set of crystals is, with their uncertainty."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stargen import Crystal
from stargen.elements import SYMBOLS

Floats = NDArray[np.float64]

_Z95 = 1.959964
_RESAMPLES = 200
_NEIGHBOURS = 16


class Interval(NamedTuple):
    """A value and its 95 % confidence interval."""

    value: float
    low: float
    high: float


def share(hits: int, of: int) -> Interval:
    """A part of a whole, with Wilson's interval."""
    if of == 0:
        return Interval(float("nan"), 0.0, 1.0)
    p, z2 = hits / of, _Z95**2
    middle = (p + z2 / (2 * of)) / (1 + z2 / of)
    half = _Z95 * sqrt(p * (1 - p) / of + z2 / (4 * of**2)) / (1 + z2 / of)
    return Interval(p, max(middle - half, 0.0), min(middle + half, 1.0))


def resampled(values: Floats, statistic: Callable[[Floats], float]) -> Interval:
    """A statistic of a sample, with the interval of its bootstrap."""
    if len(values) == 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    rng = np.random.default_rng(0)
    drawn = [statistic(rng.choice(values, len(values))) for _ in range(_RESAMPLES)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(statistic(values), float(low), float(high))


def wasserstein(values: Floats, truth: Floats) -> Interval:
    """Earth mover's distance of two samples of numbers."""
    from scipy.stats import wasserstein_distance

    return resampled(values, lambda each: float(wasserstein_distance(each, truth)))


def density(crystal: Crystal) -> float:
    """In g/cm^3."""
    from pymatgen.core import Element

    mass = sum(float(Element(symbol).atomic_mass) for symbol in crystal.symbols)
    return mass / crystal.volume * 1.66053907


class Coverage(NamedTuple):
    """Recall: the truth that some sample is near to. Precision: samples near to some truth."""

    recall: Interval
    precision: Interval


def coverage(samples: Sequence[Crystal], truth: Sequence[Crystal]) -> Coverage:
    """Of a set of crystals by another, by structure and composition at once.

    Not CDVAE's COV, whose fingerprints and bounds are of other software: near is what lies closer
    than nine in ten members of the truth lie to their nearest neighbour within it.
    """
    arrays = [(_structures(each), _compositions(each)) for each in (samples, truth)]
    middle, spread = arrays[1][1].mean(0), arrays[1][1].std(0) + 1e-9
    (s, s_comp), (t, t_comp) = ((a, (b - middle) / spread) for a, b in arrays)
    within = [_distances(each, each) for each in (t, t_comp)]
    for each in within:
        np.fill_diagonal(each, np.inf)
    bounds = [float(np.quantile(each.min(1), 0.9)) for each in within]
    near = (_distances(s, t) <= bounds[0]) & (_distances(s_comp, t_comp) <= bounds[1])
    recall = share(int(near.any(0).sum()), len(truth))
    return Coverage(recall, share(int(near.any(1).sum()), len(samples)))


def _structures(crystals: Sequence[Crystal]) -> Floats:
    """Mean distances to the nearest neighbours in order, per cube root of the volume per atom.

    Source: Widdowson et al. 2022 (average minimum distances), doi:10.46793/match.87-3.529W.
    """
    return np.array([_neighbour_distances(crystal) for crystal in crystals])


def _neighbour_distances(crystal: Crystal) -> Floats:
    heights = crystal.volume / np.linalg.norm(
        np.cross(np.roll(crystal.lattice, -1, 0), np.roll(crystal.lattice, -2, 0)), axis=1
    )
    length = (crystal.volume / crystal.n_atoms) ** (1 / 3)
    reach = np.clip(np.ceil(2.5 * length / heights).astype(int), 1, 5)
    axes = [np.arange(-r, r + 1) for r in reach]
    images = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    apart = crystal.frac_coords[None] - crystal.frac_coords[:, None]
    vectors = (apart[:, :, None] + images) @ crystal.lattice
    lengths = np.sort(np.linalg.norm(vectors, axis=-1).reshape(crystal.n_atoms, -1), 1)
    return lengths[:, 1 : _NEIGHBOURS + 1].mean(0) / length


def _compositions(crystals: Sequence[Crystal]) -> Floats:
    """Mean and spread over the atoms of row, group, electronegativity."""
    from pymatgen.core import Element

    table = np.zeros((len(SYMBOLS), 3))
    for z in {int(z) for crystal in crystals for z in crystal.numbers}:
        element = Element(SYMBOLS[z])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # noble gases have none
            chi = float(element.X)
        table[z] = element.row, element.group, 0.0 if np.isnan(chi) else chi
    values = [table[crystal.numbers] for crystal in crystals]
    return np.array([np.concatenate([v.mean(0), v.std(0)]) for v in values])


def _distances(one: Floats, other: Floats) -> Floats:
    from scipy.spatial.distance import cdist

    return cdist(one, other)
