"""The same network by e3nn: slower, and independent in all that is equivariant.

Features lie flat, scalars first, then the three components of each vector, as e3nn has them. Maps,
tensor products, spherical harmonics and gates are e3nn's; weights are taken from a `Crysformer`.
"""

from __future__ import annotations

import math

import torch
from e3nn import o3
from torch import Tensor, nn

from stargen_crysformer.config import Channels
from stargen_crysformer.graphs import Batch
from stargen_crysformer.layers import (
    VECTOR_FLOOR,
    Mix,
    MixProduct,
    Norm,
    smooth_leaky_relu,
    softmax_by,
)
from stargen_crysformer.network import Attention, Block, Crysformer, FeedForward

_HARMONICS = o3.Irreps("1x0e+1x1e")


class Reference(nn.Module):
    """Computes what `network` computes, by e3nn.

    Parameters
    ----------
    network : whose weights it uses; they are shared, not copied
    """

    def __init__(self, network: Crysformer) -> None:
        super().__init__()
        self.network = network
        self.blocks = nn.ModuleList(_Block(block) for block in network.blocks)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """As `Crysformer.forward`."""
        net = self.network
        harmonics = o3.spherical_harmonics(
            _HARMONICS, batch.units, normalize=True, normalization="component"
        )
        edges = net.edge_weights(batch.distances)
        feature = self._embed(batch, harmonics, next(edges))
        for block, weights in zip(self.blocks, edges, strict=True):
            feature = block(feature, batch, harmonics, weights)
        return net.answer(feature, batch)

    def _embed(self, batch: Batch, harmonics: Tensor, weights: Tensor) -> Tensor:
        c = self.network.config.channels
        n = len(batch.numbers)
        along = weights[:, c.scalars :, None] * harmonics[:, None, 1:]
        told = torch.cat([weights[:, : c.scalars], along.flatten(1)], dim=1)
        degree = torch.bincount(batch.targets, minlength=n)[:, None]
        heard = told.new_zeros(n, told.shape[1]).index_add(0, batch.targets, told) / degree
        atoms = self.network.elements(batch.numbers)
        return torch.cat([heard[:, : c.scalars] + atoms, heard[:, c.scalars :]], dim=1)


class _Mix(nn.Module):
    def __init__(self, mix: Mix) -> None:
        super().__init__()
        self.mix = mix
        self.taken = Channels(mix.scalars.in_features, mix.vectors.in_features)
        given = Channels(mix.scalars.out_features, mix.vectors.out_features)
        self.linear = _linear(self.taken, given, bias=mix.scalars.bias is not None)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.mix.scalars.weight.T, self.mix.vectors.weight.T]
        return self.linear(x, _scaled(parts), self.mix.scalars.bias)


class _MixProduct(nn.Module):
    """The full depthwise product laid side by side, then one linear map of each degree."""

    def __init__(self, product: MixProduct) -> None:
        super().__init__()
        self.product = product
        c0 = product.outer.in_features
        c1 = product.scalars.in_features - c0
        given = Channels(product.scalars.out_features, product.outer.out_features)
        out = o3.Irreps([(c0, "0e"), (c1, "0e"), (c0, "1e"), (c1, "1e"), (c1, "1e")])
        paths = [(0, 0, 0), (0, 1, 2), (1, 1, 1), (1, 0, 3), (1, 1, 4)]
        self.tensor_product = o3.TensorProduct(
            _irreps(Channels(c0, c1)),
            _HARMONICS,
            out,
            [(a, b, c, "uvu", True) for a, b, c in paths if out[c].mul],
            path_normalization="none",
            internal_weights=False,
            shared_weights=False,
        )
        self.linear = o3.Linear(
            out.simplify(),
            _irreps(given),
            internal_weights=False,
            shared_weights=True,
            biases=product.scalars.bias is not None,
        )

    def forward(self, x: Tensor, harmonics: Tensor, weights: Tensor | None = None) -> Tensor:
        if weights is None:
            weights = x.new_ones(len(x), self.tensor_product.weight_numel)
        product = self.product
        mixed = self.tensor_product(x, harmonics, weights)
        vectors = torch.cat([product.outer.weight, product.vectors.weight], dim=1).T
        return self.linear(
            mixed, _scaled([product.scalars.weight.T, vectors]), product.scalars.bias
        )


class _Norm(nn.Module):
    def __init__(self, norm: Norm) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        c0 = self.norm.scalars.normalized_shape[0]
        vectors = x[:, c0:]
        if vectors.shape[1]:
            square = vectors.square().mean(dim=1, keepdim=True)
            scale = self.norm.scale.repeat_interleave(3)
            vectors = vectors * torch.rsqrt(square + VECTOR_FLOOR) * scale
        return torch.cat([self.norm.scalars(x[:, :c0]), vectors], dim=1)


class _Attention(nn.Module):
    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.attention = attention
        self.from_source, self.from_target = (
            _Mix(attention.from_source),
            _Mix(attention.from_target),
        )
        self.message, self.value = _MixProduct(attention.message), _MixProduct(attention.value)
        self.out = _Mix(attention.out)

    def forward(self, x: Tensor, batch: Batch, harmonics: Tensor, weights: Tensor) -> Tensor:
        own = self.attention
        n, heads, n_logits = len(x), own.heads, own.query.numel()
        pair = self.from_source(x)[batch.sources] + self.from_target(x)[batch.targets]
        told = self.message(pair, harmonics, weights)
        logits = smooth_leaky_relu(told[:, :n_logits].unflatten(1, (heads, -1)))
        share = softmax_by((logits * own.query).sum(-1), batch.targets, n)
        value = self.value(_gate(told[:, n_logits:], own.message.outer.out_features), harmonics)
        c0, c1 = own.value.scalars.out_features, own.value.outer.out_features
        scalars = value[:, :c0].unflatten(1, (heads, -1)) * share[:, :, None]
        vectors = value[:, c0:].unflatten(1, (heads, c1 // heads, 3)) * share[:, :, None, None]
        weighted = torch.cat([scalars.flatten(1), vectors.flatten(1)], dim=1)
        heard = weighted.new_zeros(n, weighted.shape[1]).index_add(0, batch.targets, weighted)
        return self.out(heard)


class _FeedForward(nn.Module):
    def __init__(self, feed_forward: FeedForward) -> None:
        super().__init__()
        self.widen, self.narrow = _Mix(feed_forward.widen), _Mix(feed_forward.narrow)
        self._vectors = feed_forward.widen.vectors.out_features

    def forward(self, x: Tensor) -> Tensor:
        return self.narrow(_gate(self.widen(x), self._vectors))


class _Block(nn.Module):
    def __init__(self, block: Block) -> None:
        super().__init__()
        self.norm, self.attention = _Norm(block.norm), _Attention(block.attention)
        self.second_norm = _Norm(block.second_norm)
        self.feed_forward = _FeedForward(block.feed_forward)

    def forward(self, x: Tensor, batch: Batch, harmonics: Tensor, weights: Tensor) -> Tensor:
        heard = self.attention(self.norm(x), batch, harmonics, weights)
        x = x[:, : heard.shape[1]] + heard
        return x + self.feed_forward(self.second_norm(x))


def _irreps(channels: Channels) -> o3.Irreps:
    return o3.Irreps([(channels.scalars, "0e"), (channels.vectors, "1e")])


def _linear(taken: Channels, given: Channels, *, bias: bool) -> o3.Linear:
    return o3.Linear(
        _irreps(taken), _irreps(given), internal_weights=False, shared_weights=True, biases=bias
    )


def _scaled(parts: list[Tensor]) -> Tensor:
    """Matrices (in, out) as e3nn's flat weights, which it divides by the root of `in`."""
    return torch.cat([(part * math.sqrt(max(part.shape[0], 1))).flatten() for part in parts])


def _gate(x: Tensor, n_vectors: int) -> Tensor:
    """SiLU on scalars, sigmoid gates on vectors: e3nn's Gate without its normalization of both."""
    n_scalars = x.shape[1] - 4 * n_vectors
    scalars, gates = x[:, :n_scalars], x[:, n_scalars : n_scalars + n_vectors]
    vectors = x[:, n_scalars + n_vectors :].unflatten(1, (n_vectors, 3))
    gated = vectors * torch.sigmoid(gates)[:, :, None]
    return torch.cat([nn.functional.silu(scalars), gated.flatten(1)], dim=1)
