"""The Fourier layer on all pairs of atoms: W psi(F_j - F_i), as (B, n, n, h).

psi(f) holds sin and cos of 2 pi k f for k = 1..K and each axis (k = 0 is a constant, which the bias
of the layer has already). Three ways to the same numbers:

`Pairs`: psi(-f) is psi(f) with the sines negated, so pairs i < j suffice: C + S for one direction,
C - S for the other. `Rows`: a few rows of the n x n at a time, for cells whose pairs do not fit.
`Lookups`: with frozen weights the layer is a sum of three periodic, band-limited functions of one
variable each; they are tabulated and read by cubic interpolation.
"""

from __future__ import annotations

from functools import lru_cache
from math import pi
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

POINTS_PER_WAVE = 32
"""Of the shortest wave; cubic interpolation is then right to the rounding of float32."""


class Pairs:
    """Cosines and sines of all pairs i < j, once for all layers.

    Parameters
    ----------
    coords : (B, n, 3) fractional
    """

    def __init__(self, coords: Tensor, frequencies: int) -> None:
        n = coords.shape[1]
        first, second, self._order, self._inverse = _layout(n, coords.device)
        turns = _turns(coords, frequencies)
        angles = (turns[:, second] - turns[:, first]).mul_(2 * pi)
        self._cos, self._sin = torch.cos(angles), torch.sin_(angles)
        self._n = n

    def project(self, weight: Tensor) -> Tensor:
        """(B, n, n, h) from the layer's weight (h, 6 K)."""
        of_sin, of_cos = weight.chunk(2, 1)
        even = functional.linear(self._cos, of_cos)
        odd = functional.linear(self._sin, of_sin)
        batch, _, h = even.shape
        diagonal = of_cos.sum(1).expand(batch, self._n, h)
        listed = torch.cat([even + odd, even - odd, diagonal], 1)
        dense = cast("Tensor", _Reordered.apply(listed, self._order, self._inverse))
        return dense.view(batch, self._n, self._n, h)


class Rows:
    """Rows i of the n x n, computed when they are asked for."""

    def __init__(self, coords: Tensor, frequencies: int) -> None:
        self._turns = _turns(coords, frequencies)

    def project(self, weight: Tensor, rows: slice) -> Tensor:
        """(B, rows, n, h)."""
        angles = (self._turns[:, None] - self._turns[:, rows, None]) * (2 * pi)
        return functional.linear(torch.cat([torch.sin(angles), torch.cos(angles)], -1), weight)


class Lookups:
    """Where each pair lies in the tables, and the weights of interpolation; shared by all layers.

    Parameters
    ----------
    points : of the table, per axis
    """

    def __init__(self, coords: Tensor, points: int) -> None:
        batch, n, _ = coords.shape
        f = torch.remainder(coords[:, None] - coords[:, :, None], 1.0) * points
        base = torch.floor(f)
        u = f - base
        nodes = base.long()[..., None] + torch.arange(-1, 3, device=coords.device)
        axes = torch.arange(3, device=coords.device)[:, None] * points
        self._at = (torch.remainder(nodes, points) + axes).view(-1, 12)
        self._weights = _lagrange(u).reshape(-1, 12)
        self._shape = (batch, n, n, -1)

    def project(self, table: Tensor) -> Tensor:
        """(B, n, n, h) from the layer's table (3 points, h)."""
        found = functional.embedding_bag(
            self._at, table, per_sample_weights=self._weights, mode="sum"
        )
        return found.view(self._shape)


def tabulated(weight: Tensor, points: int) -> Tensor:
    """The layer's three functions at `points` places each, (3 points, h)."""
    frequencies = weight.shape[1] // 6
    x = torch.arange(points, dtype=torch.float64) / points
    k = torch.arange(1, frequencies + 1, dtype=torch.float64)
    angles = 2 * pi * torch.remainder(x[:, None] * k, 1.0)
    of_sin, of_cos = weight.double().cpu().view(len(weight), 2, 3, frequencies).unbind(1)
    values = torch.einsum("mk,hak->amh", torch.sin(angles), of_sin)
    values += torch.einsum("mk,hak->amh", torch.cos(angles), of_cos)
    return values.reshape(3 * points, -1).to(weight)


def _turns(coords: Tensor, frequencies: int) -> Tensor:
    """K F mod 1 as (B, n, 3 K), axis by axis.

    The product is formed in float64: in float32 its rounding would reach 1e-5 of a turn at k = 128.
    """
    k = torch.arange(1, frequencies + 1, dtype=torch.float64, device=coords.device)
    turns = torch.remainder(coords.double()[..., None] * k, 1.0)
    return turns.flatten(2).to(coords.dtype)


def _lagrange(u: Tensor) -> Tensor:
    """Weights of the nodes -1, 0, 1, 2 for a point at u in [0, 1)."""
    below, above, beyond = u + 1, u - 1, u - 2
    return torch.stack(
        [
            -u * above * beyond / 6,
            below * above * beyond / 2,
            -below * u * beyond / 2,
            below * u * above / 6,
        ],
        -1,
    )


@lru_cache(256)
def _layout(n: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pairs i < j, and where (i, j) lies in the list: pairs, mirrored pairs, diagonal."""
    first, second = torch.triu_indices(n, n, 1)
    pairs = len(first)
    order = torch.empty(n, n, dtype=torch.int64)
    order[first, second] = torch.arange(pairs)
    order[second, first] = torch.arange(pairs) + pairs
    order.fill_diagonal_(0)
    order += torch.diag(torch.arange(n) + 2 * pairs)
    order = order.flatten()
    inverse = torch.argsort(order)
    return first.to(device), second.to(device), order.to(device), inverse.to(device)


class _Reordered(torch.autograd.Function):
    """Entries along dimension 1 in another order.

    A permutation's gradient is the inverse permutation; what index_select would do, adding up at
    indices that might repeat, takes several times as long.
    """

    @staticmethod
    def forward(ctx: Any, listed: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        ctx.inverse = inverse
        return listed.index_select(1, order)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (grad,) = grads
        return grad.index_select(1, ctx.inverse), None, None
