"""Equivariant layers for scalars and vectors, as plain tensor algebra.

A feature is a pair: scalars (n, c0) and vectors (n, 3, c1). What e3nn does with tensor products of
any degree is, up to l = 1, five products by hand: scale, dot, outer, keep, cross. The coefficients
are e3nn's ("component" normalization), so that `stargen_crysformer.reference` computes the same
function from the same weights.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from stargen_crysformer.config import Channels

Feature = tuple[Tensor, Tensor]

ROOT3 = math.sqrt(3.0)
VECTOR_FLOOR = 1e-2
"""Added to the mean square of vectors. Where symmetry makes them vanish, as on most sites of real
crystals, a small floor would blow rounding errors up into features."""

CROSS = math.sqrt(1.5)
"""Of v x r for a unit vector r: sqrt(3) of the spherical harmonic, 1/sqrt(2) of the coupling."""


def cross(vectors: Tensor, unit: Tensor) -> Tensor:
    """(n, 3, c) x (n, 3) -> (n, 3, c)."""
    x, y, z = unit[:, 0, None], unit[:, 1, None], unit[:, 2, None]
    a, b, c = vectors.unbind(1)
    return torch.stack([b * z - c * y, c * x - a * z, a * y - b * x], dim=1)


def dot(vectors: Tensor, unit: Tensor) -> Tensor:
    """(n, 3, c) . (n, 3) -> (n, c)."""
    a, b, c = vectors.unbind(1)
    return a * unit[:, 0, None] + b * unit[:, 1, None] + c * unit[:, 2, None]


class _Linear(nn.Linear):
    def reset_parameters(self) -> None:
        """Left to `linear`; torch's own warns where there are no vectors."""


def linear(taken: int, given: int, *, bias: bool = False, fan_in: int | None = None) -> nn.Linear:
    """A linear map that keeps the variance; a bias begins at zero.

    Parameters
    ----------
    fan_in : channels that are summed in all, where this map is one of several
    """
    layer = _Linear(taken, given, bias=bias)
    nn.init.normal_(layer.weight, std=1 / math.sqrt(max(fan_in or taken, 1)))
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


class Mix(nn.Module):
    """A linear map of each degree; scalars have a bias."""

    def __init__(self, taken: Channels, given: Channels, *, bias: bool = True) -> None:
        super().__init__()
        self.scalars = linear(taken.scalars, given.scalars, bias=bias)
        self.vectors = linear(taken.vectors, given.vectors)

    def forward(self, feature: Feature) -> Feature:
        scalars, vectors = feature
        return self.scalars(scalars), self.vectors(vectors)


class Norm(nn.Module):
    """Layer norm of each degree: scalars about their mean, vectors by their mean square.

    Source: Liao & Smidt, Equiformer (2023), equivariant layer normalization.
    """

    def __init__(self, channels: Channels) -> None:
        super().__init__()
        self.scalars = nn.LayerNorm(channels.scalars)
        self.scale = nn.Parameter(torch.ones(channels.vectors))

    def forward(self, feature: Feature) -> Feature:
        scalars, vectors = feature
        if vectors.shape[-1]:
            square = vectors.square().mean(dim=(1, 2), keepdim=True)
            vectors = vectors * torch.rsqrt(square + VECTOR_FLOOR) * self.scale
        return self.scalars(scalars), vectors


class MixProduct(nn.Module):
    """Depthwise tensor product with the harmonics of a direction, then a linear map.

    The products are not laid side by side in memory and multiplied by one matrix: a scalar times
    the direction commutes with the map, which then works on one component and not on three.

    Parameters
    ----------
    taken, given : channels before and after
    bias : on the scalars that come out
    """

    def __init__(self, taken: Channels, given: Channels, *, bias: bool = True) -> None:
        super().__init__()
        c0, c1 = taken.scalars, taken.vectors
        self.scalars = linear(c0 + c1, given.scalars, bias=bias)
        self.outer = linear(c0, given.vectors, fan_in=c0 + 2 * c1)
        self.vectors = linear(2 * c1, given.vectors, fan_in=c0 + 2 * c1)
        self.n_weights = 2 * c0 + 3 * c1
        self._split = (c0, c0, c1, c1, c1)

    def forward(self, feature: Feature, unit: Tensor, weights: Tensor | None = None) -> Feature:
        """Of a feature (n, ...), directions (n, 3), and a weight for each channel of each product.

        Without weights all are 1: the map that follows holds them already.
        """
        s, v = feature
        s_scalar, s_outer, dotted, kept, crossed = s, s, dot(v, unit), v, cross(v, unit)
        if weights is not None:
            w = weights.split(self._split, dim=-1)
            s_scalar, s_outer = s * w[0], s * w[1]
            dotted, kept, crossed = dotted * w[2], kept * w[3][:, None], crossed * w[4][:, None]
        scalars = self.scalars(torch.cat([s_scalar, dotted], dim=-1))
        along = self.outer(s_outer)[:, None, :] * (ROOT3 * unit)[:, :, None]
        rest = self.vectors(torch.cat([kept, CROSS * crossed], dim=-1))
        return scalars, along + rest


class Basis(nn.Module):
    """Gaussians of the distance, with learnt centres and widths.

    Source: Graphormer's radial basis as Equiformer uses it; d/cutoff is stretched by a learnt line.
    """

    def __init__(self, size: int, cutoff_ang: float) -> None:
        super().__init__()
        self._cutoff_ang = cutoff_ang
        self.centre = nn.Parameter(torch.rand(size))
        self.width = nn.Parameter(torch.rand(size) * (1 - 1 / size) + 1 / size)
        self.stretch = nn.Parameter(torch.ones(()))
        self.shift = nn.Parameter(torch.zeros(()))

    def forward(self, distance: Tensor) -> Tensor:
        x = self.stretch * distance / self._cutoff_ang + self.shift
        width = self.width.abs() + 1e-5
        z = (x[:, None] - self.centre) / width
        return torch.exp(-0.5 * z * z) / (width * math.sqrt(2 * math.pi))


class Radial(nn.Module):
    """Weights of a tensor product as a function of the distance's basis."""

    def __init__(self, basis: int, hidden: tuple[int, ...], n_weights: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = basis
        for following in hidden:
            layers += [nn.Linear(width, following), nn.LayerNorm(following), nn.SiLU()]
            width = following
        self.hidden = nn.Sequential(*layers)
        self.last = nn.Linear(width, n_weights)
        nn.init.normal_(self.last.weight, std=1 / math.sqrt(width))
        nn.init.normal_(self.last.bias, std=0.5)

    def forward(self, basis: Tensor) -> Tensor:
        return self.last(self.hidden(basis))


def gate(scalars: Tensor, vectors: Tensor) -> Feature:
    """SiLU on scalars; the last of them, one for each vector, become gates between 0 and 1."""
    c1 = vectors.shape[-1]
    kept, gates = scalars[:, : scalars.shape[1] - c1], scalars[:, scalars.shape[1] - c1 :]
    return nn.functional.silu(kept), vectors * torch.sigmoid(gates)[:, None]


def smooth_leaky_relu(x: Tensor, slope: float = 0.2) -> Tensor:
    """A leaky ReLU without the corner."""
    return (1 + slope) / 2 * x + (1 - slope) / 2 * x * (2 * torch.sigmoid(x) - 1)


def softmax_by(logits: Tensor, target: Tensor, n: int) -> Tensor:
    """Softmax over the edges of each target atom: (edges, heads)."""
    index = target[:, None].expand_as(logits)
    largest = logits.new_full((n, logits.shape[1]), -torch.inf)
    largest = largest.scatter_reduce(0, index, logits.detach(), "amax")
    exp = torch.exp(logits - largest.index_select(0, target))
    total = exp.new_zeros(n, exp.shape[1]).index_add(0, target, exp)
    return exp / total.index_select(0, target)
