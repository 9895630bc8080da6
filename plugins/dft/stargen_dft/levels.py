"""What eigenvalues come to: gap, density of states, and the packed forms that results are kept in.

Energies are eV; eigenvalues and occupations are (spin, k-point, band), occupations between 0 and 1.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_HALF = 0.5
_SAME_EV = 1e-6


class Gap(NamedTuple):
    """Band gap, eV; 0 for a metal. `direct_ev` is the least gap at one k-point."""

    gap_ev: float
    direct_ev: float
    is_direct: bool


def gap_of(eigenvalues: Floats, occupations: Floats) -> Gap:
    """Bands count as full above half their occupation.

    If their number differs between k-points of a spin, the Fermi energy cuts a band.
    """
    full = occupations > _HALF
    highest, lowest, direct = -np.inf, np.inf, np.inf
    for energies, is_full in zip(eigenvalues, full, strict=True):
        counts = is_full.sum(axis=1)
        if counts.min() != counts.max():
            return Gap(0.0, 0.0, False)
        top = np.where(is_full, energies, -np.inf).max(axis=1)
        bottom = np.where(is_full, np.inf, energies).min(axis=1)
        highest, lowest = max(highest, top.max()), min(lowest, bottom.min())
        direct = min(direct, (bottom - top).min())
    gap = lowest - highest
    if not np.isfinite(gap) or gap <= 0:
        return Gap(0.0, 0.0, False)
    return Gap(float(gap), float(direct), bool(direct - gap < _SAME_EV))


def broadened(
    eigenvalues: Floats, weights: Floats, energies: Floats, width_ev: float
) -> tuple[Floats, Floats]:
    """Density of states and its integral, a Gaussian for each level.

    Parameters
    ----------
    weights : (k,), of the k-points; their sum does not matter
    energies : (e,) where to
    width_ev : standard deviation

    Returns
    -------
    (spin, e) states/eV and (spin, e) states, for two electrons in a band where there is one spin
    """
    from scipy.special import erf

    share = weights / weights.sum() * (2.0 / len(eigenvalues))
    densities, integrals = [], []
    for levels in eigenvalues:
        distance = (energies[:, None, None] - levels[None]) / width_ev
        gauss = np.exp(-0.5 * distance**2) / (width_ev * np.sqrt(2 * np.pi))
        densities.append(np.einsum("ekn,k->e", gauss, share))
        integrals.append(np.einsum("ekn,k->e", 0.5 * (1 + erf(distance / np.sqrt(2))), share))
    return np.stack(densities), np.stack(integrals)


def packed_dos(
    energies: Floats, densities: Floats, integrated: Floats, fermi_ev: float | None
) -> bytes:
    """Total density of states as npz; its arrays are listed in the README."""
    return npz(
        energies_ev=energies,
        densities=densities,
        integrated=integrated,
        fermi_ev=_or_nan(fermi_ev),
    )


def packed_bands(
    kpoints: Floats,
    eigenvalues: Floats,
    occupations: Floats,
    reciprocal: Floats,
    *,
    labels: Mapping[int, str],
    starts: Sequence[int],
    fermi_ev: float | None,
) -> bytes:
    """Bands along a path as npz; its arrays are listed in the README."""
    steps = np.linalg.norm(np.diff(kpoints, axis=0) @ reciprocal, axis=1)
    steps[[start - 1 for start in starts if start]] = 0.0
    return npz(
        kpoints=kpoints,
        distances=np.concatenate([[0.0], np.cumsum(steps)]),
        eigenvalues_ev=eigenvalues,
        occupations=occupations,
        label_indices=np.array(list(labels), dtype=int),
        labels=np.array(list(labels.values())),
        starts=np.array(starts, dtype=int),
        reciprocal=reciprocal,
        fermi_ev=_or_nan(fermi_ev),
    )


def npz(**arrays: NDArray[Any]) -> bytes:
    """Named arrays in numpy's own compressed form."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _or_nan(value: float | None) -> NDArray[Any]:
    return np.asarray(np.nan if value is None else value, dtype=float)
