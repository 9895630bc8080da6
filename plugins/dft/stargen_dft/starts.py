"""Moments to start a spin-polarised calculation from."""

from __future__ import annotations

from collections.abc import Iterable

_MOMENTS_D, _MOMENT_OTHER = 5.0, 0.6


def moments(numbers: Iterable[int]) -> list[float]:
    """Bohr magnetons; high spin for the 3d to 5d and f elements."""
    return [_MOMENTS_D if _is_open(z) else _MOMENT_OTHER for z in numbers]


def _is_open(z: int) -> bool:
    return z in range(21, 30) or z in range(39, 48) or z in range(57, 80) or z in range(89, 104)
