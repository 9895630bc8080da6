"""Lattices as numbers that diffuse: raw, scaled or polar.

`raw` is the paper's: the rows of L in Å. `scaled` divides by c N^(1/3), so that the numbers have
unit variance, as the prior has. `polar` is what L does to lengths and angles and nothing else
(DiffCSP++, Jiao et al. 2024, arXiv:2402.03992): L = exp(S) Q with S symmetric and Q a rotation; six
numbers, standardised, that cannot describe a singular or left-handed cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LatticeForm = Literal["raw", "scaled", "polar"]

_ROOT_HALF, _ROOT_SIXTH, _ROOT_THIRD = 1 / np.sqrt(2), 1 / np.sqrt(6), 1 / np.sqrt(3)
_OFF = np.array([[1, 2], [0, 2], [0, 1]])
_DIAGONALS = np.array(
    [
        [_ROOT_HALF, -_ROOT_HALF, 0.0],
        [_ROOT_SIXTH, _ROOT_SIXTH, -2 * _ROOT_SIXTH],
        [_ROOT_THIRD, _ROOT_THIRD, _ROOT_THIRD],
    ]
)
_BASIS = np.zeros((6, 3, 3))
for _at, (_i, _j) in enumerate(_OFF):
    _BASIS[_at, _i, _j] = _BASIS[_at, _j, _i] = _ROOT_HALF
_BASIS[3:, range(3), range(3)] = _DIAGONALS
"""Orthonormal basis of the symmetric matrices; the last one is the volume."""

_LARGEST_LOG_LENGTH = 7.0
"""Beyond e^7 = 1,100 Å (or below 0.001 Å) there is no cell to be read from S."""


class NoCellError(ValueError):
    """The numbers describe no cell."""


@dataclass(frozen=True, slots=True)
class LatticeCode:
    """To numbers and back.

    Parameters
    ----------
    mean, std : of each number over the training data, after the dependence on N is taken out
    """

    form: LatticeForm
    mean: Floats
    std: Floats

    @classmethod
    def fitted(cls, form: LatticeForm, lattices: Floats, n_atoms: NDArray[np.int64]) -> LatticeCode:
        """The code whose numbers have mean 0 and variance 1 on these cells (as far as `form` asks).

        Raises
        ------
        NoCellError : if one of them is singular
        """
        if form == "raw":
            return cls(form, np.zeros(9), np.ones(9))
        bare = _bare(form, lattices, n_atoms)
        if form == "scaled":  # one number for all: rotations must not see a difference
            return cls(form, np.zeros(9), np.full(9, np.sqrt((bare**2).mean())))
        return cls(form, bare.mean(0), np.maximum(bare.std(0), 1e-3))

    @property
    def size(self) -> int:
        """How many numbers."""
        return len(self.mean)

    def encode(self, lattices: Floats, n_atoms: NDArray[np.int64]) -> Floats:
        """(B, 3, 3) Å -> (B, size)."""
        return (_bare(self.form, lattices, n_atoms) - self.mean) / self.std

    def decode(self, numbers: Floats, n_atoms: int) -> Floats:
        """(size,) -> (3, 3) Å, right-handed.

        Raises
        ------
        NoCellError : if it is none, or has no volume
        """
        bare = numbers * self.std + self.mean
        if not np.isfinite(bare).all():
            raise NoCellError("the lattice is not finite")
        if self.form != "polar":
            scale = 1.0 if self.form == "raw" else n_atoms ** (1 / 3)
            return _right_handed(bare.reshape(3, 3) * scale)
        values, vectors = np.linalg.eigh(np.tensordot(bare, _BASIS, 1))
        values = values + np.log(n_atoms) / 3
        if np.abs(values).max() > _LARGEST_LOG_LENGTH:
            raise NoCellError(f"a length of exp({values.max():.1f}) Å")
        return (vectors * np.exp(values)) @ vectors.T


def _right_handed(lattice: Floats) -> Floats:
    """The mirror image of a left-handed cell: lengths and angles do not tell them apart."""
    volume = np.linalg.det(lattice)
    if abs(volume) < 1e-6:
        raise NoCellError(f"the cell is singular: {volume:.1e} Å^3")
    return lattice if volume > 0 else lattice * [1.0, 1.0, -1.0]


def _bare(form: LatticeForm, lattices: Floats, n_atoms: NDArray[np.int64]) -> Floats:
    if form == "raw":
        return lattices.reshape(-1, 9)
    if form == "scaled":
        return (lattices / n_atoms[:, None, None] ** (1 / 3)).reshape(-1, 9)
    squares, vectors = np.linalg.eigh(lattices @ np.swapaxes(lattices, 1, 2))
    if (squares <= 1e-12).any():
        raise NoCellError("a cell is singular")
    logs = np.log(squares) / 2 - np.log(n_atoms)[:, None] / 3
    symmetric = (vectors * logs[:, None, :]) @ np.swapaxes(vectors, 1, 2)
    return np.einsum("bij,kij->bk", symmetric, _BASIS)


def canonical(lengths: Floats, angles_deg: Floats) -> Floats:
    """Rows a, b, c in Å from lengths and angles: c along z, a in the xz plane.

    Parameters
    ----------
    lengths, angles_deg : (..., 3)

    Returns
    -------
    (..., 3, 3) float64
    """
    a, b, c = np.moveaxis(np.asarray(lengths, np.float64), -1, 0)
    alpha, beta, gamma = np.moveaxis(np.radians(np.asarray(angles_deg, np.float64)), -1, 0)
    sines = np.sin(alpha) * np.sin(beta)
    cos_star = np.clip((np.cos(alpha) * np.cos(beta) - np.cos(gamma)) / sines, -1, 1)
    sin_star = np.sqrt(1 - cos_star**2)
    zero = np.zeros_like(a)
    rows = (
        (a * np.sin(beta), zero, a * np.cos(beta)),
        (-b * np.sin(alpha) * cos_star, b * np.sin(alpha) * sin_star, b * np.cos(alpha)),
        (zero, zero, c),
    )
    return np.stack([np.stack(row, -1) for row in rows], -2)


def lengths_and_angles(lattice: Floats) -> tuple[Floats, Floats]:
    """Of (3, 3) rows: (3,) Å and (3,) degrees alpha, beta, gamma."""
    lengths = np.linalg.norm(lattice, axis=1)
    unit = lattice / lengths[:, None]
    cosines = np.array([unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]])
    return lengths, np.degrees(np.arccos(np.clip(cosines, -1, 1)))
