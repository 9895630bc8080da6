"""Crysformer: blocks of equivariant graph attention over the nearest neighbours of each atom.

After the paper's equations 5 to 13: k-hot atoms, a radial basis on edges, tensor products of
features with the harmonics of the edge's direction weighted by that basis, attention from scalars
alone, values through a gate and a second product, mean pooling. The sum over edges runs over the
atom's own k nearest neighbours.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from stargen_crysformer.config import Channels, Config
from stargen_crysformer.elements import khot_table
from stargen_crysformer.graphs import Batch
from stargen_crysformer.layers import (
    ROOT3,
    Basis,
    Feature,
    Mix,
    MixProduct,
    Norm,
    Radial,
    gate,
    linear,
    smooth_leaky_relu,
    softmax_by,
)


class Attention(nn.Module):
    """What an atom hears of its neighbours, and how much it listens to each."""

    def __init__(self, config: Config, given: Channels) -> None:
        super().__init__()
        c = config.channels
        self.heads, self._logits = config.heads, config.heads * config.attention
        self.from_source = Mix(c, c)
        self.from_target = Mix(c, c, bias=False)
        self.message = MixProduct(c, Channels(self._logits + c.scalars + c.vectors, c.vectors))
        self.radial = Radial(config.basis, config.radial, self.message.n_weights)
        self.query = nn.Parameter(torch.empty(config.heads, config.attention))
        nn.init.normal_(self.query, std=1 / math.sqrt(config.attention))
        self.value = MixProduct(c, given, bias=False)
        self.out = Mix(given, given)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, feature: Feature, batch: Batch, weights: Tensor) -> Feature:
        """Weights: (n_edges, n_weights) of the first product."""
        n = len(batch.numbers)
        s, v = (
            a.index_select(0, batch.sources) + b.index_select(0, batch.targets)
            for a, b in zip(self.from_source(feature), self.from_target(feature), strict=True)
        )
        scalars, vectors = self.message((s, v), batch.units, weights)
        logits = smooth_leaky_relu(scalars[:, : self._logits].unflatten(1, (self.heads, -1)))
        share = softmax_by((logits * self.query).sum(-1), batch.targets, n)
        share = self.dropout(share)
        told = self.value(gate(scalars[:, self._logits :], vectors), batch.units)
        return self.out(self._sum(told, share, batch.targets, n))

    def _sum(self, told: Feature, share: Tensor, targets: Tensor, n: int) -> Feature:
        """Each head's channels, weighted by its share, at the atom that hears them."""
        s, v = told
        s = (s.unflatten(-1, (self.heads, -1)) * share[:, :, None]).flatten(1)
        v = (v.unflatten(-1, (self.heads, -1)) * share[:, None, :, None]).flatten(2)
        return (
            s.new_zeros(n, s.shape[1]).index_add(0, targets, s),
            v.new_zeros(n, 3, v.shape[2]).index_add(0, targets, v),
        )


class FeedForward(nn.Module):
    """Widen, gate, narrow; atom by atom."""

    def __init__(self, channels: Channels, given: Channels, widening: int) -> None:
        super().__init__()
        s, v = channels.scalars * widening, given.vectors * widening
        self.widen = Mix(Channels(channels.scalars, given.vectors), Channels(s + v, v))
        self.narrow = Mix(Channels(s, v), given)

    def forward(self, feature: Feature) -> Feature:
        return self.narrow(gate(*self.widen(feature)))


class Block(nn.Module):
    """Attention, then feed-forward, each on what is normed and added to what was."""

    def __init__(self, config: Config, given: Channels) -> None:
        super().__init__()
        self.norm = Norm(config.channels)
        self.attention = Attention(config, given)
        self.second_norm = Norm(given)
        self.feed_forward = FeedForward(config.channels, given, config.widening)
        self._vectors = given.vectors

    def forward(self, feature: Feature, batch: Batch, weights: Tensor) -> Feature:
        return self.after(feature, self.attention(self.norm(feature), batch, weights))

    def after(self, feature: Feature, heard: Feature) -> Feature:
        """What follows the attention."""
        feature = _add(feature, heard, self._vectors)
        return _add(feature, self.feed_forward(self.second_norm(feature)), self._vectors)


class Crysformer(nn.Module):
    """Properties of crystals, normalized, with a scale of their error.

    Parameters
    ----------
    config : its architecture; the last block gives scalars only
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        c = config.channels
        self.register_buffer("khot", torch.from_numpy(khot_table()), persistent=False)
        self.atoms = linear(self.khot.shape[1], c.scalars, bias=True, fan_in=9)
        self.element = nn.Embedding(len(self.khot), c.scalars)
        nn.init.zeros_(self.element.weight)
        self.basis = Basis(config.basis, config.cutoff_ang)
        self.surroundings = Radial(config.basis, config.radial, c.scalars + c.vectors)
        given = [c] * (config.blocks - 1) + [Channels(c.scalars, 0)]
        self.blocks = nn.ModuleList(Block(config, each) for each in given)
        self.norm = nn.LayerNorm(c.scalars)
        self.pool = nn.Linear(c.scalars, c.scalars)
        n = len(config.targets)
        self.direct = linear(c.scalars, n, bias=True)
        self.head = nn.Sequential(
            nn.Linear(c.scalars, c.scalars), nn.SiLU(), nn.Linear(c.scalars, n)
        )
        self.spread = nn.Sequential(
            nn.Linear(c.scalars, c.scalars), nn.SiLU(), nn.Linear(c.scalars, n)
        )

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Values and logarithms of their errors' scales, (n_crystals, n_targets), and the latent.

        The error's scale is learnt on the side: it does not pull at what the values are made from.
        """
        edges = self.edge_weights(batch.distances)
        feature = self.embed(batch, next(edges))
        for block, weights in zip(self.blocks, edges, strict=True):
            feature = block(feature, batch, weights)
        return self.answer(feature[0], batch)

    def answer(self, scalars: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """From the scalars that the last block gave; the latent is their mean over the atoms."""
        atoms = nn.functional.silu(self.pool(self.norm(scalars)))
        total = atoms.new_zeros(len(batch.atoms), atoms.shape[1]).index_add(0, batch.crystal, atoms)
        latent = total / batch.atoms[:, None]
        values = self.direct(latent) + self.head(latent)
        return values, self.spread(latent.detach()).clamp(-8, 4), latent

    def edge_weights(self, distances: Tensor):  # noqa: ANN201 (a generator of tensors)
        """The radial weights of the embedding and of each block, one after another."""
        basis = self.basis(distances)
        yield self.surroundings(basis)
        for block in self.blocks:
            yield block.attention.radial(basis)

    def embed(self, batch: Batch, weights: Tensor) -> Feature:
        """What an atom is, and how its neighbours stand about it: the mean over its edges."""
        c0, n = self.config.channels.scalars, len(batch.numbers)
        degree = torch.bincount(batch.targets, minlength=n).to(weights.dtype)
        along = weights[:, None, c0:] * (ROOT3 * batch.units)[:, :, None]
        s = weights.new_zeros(n, c0).index_add(0, batch.targets, weights[:, :c0])
        v = weights.new_zeros(n, *along.shape[1:]).index_add(0, batch.targets, along)
        return self.elements(batch.numbers) + s / degree[:, None], v / degree[:, None, None]

    def elements(self, numbers: Tensor) -> Tensor:
        """(n_atoms, scalars): what an atom is, whatever stands about it."""
        return self.atoms(self.khot.index_select(0, numbers)) + self.element(numbers)


def _add(feature: Feature, more: Feature, vectors: int) -> Feature:
    """The sum; vectors end where there are none to be added."""
    return feature[0] + more[0], (feature[1] + more[1] if vectors else more[1])
