"""CSPNet: a periodic, E(3)-equivariant network on the complete graph of a crystal's atoms.

Source: Jiao et al. 2023, DiffCSP, arXiv:2309.04475. Written for batches of crystals with equally
many atoms, so that everything is a dense tensor. The first linear map of an edge,
W [h_i, h_j, g, psi_ij], is applied part by part: to atoms, to crystals and to pairs.
"""

from __future__ import annotations

from math import log
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from stargen_diffusion.config import N_TYPES, NetConfig
from stargen_diffusion.edges import POINTS_PER_WAVE, Lookups, Pairs, Rows, tabulated
from stargen_diffusion.mathematics import mean_free

TIME_FEATURES = 256
COUNT_FEATURES = 32

PAIR_FLOATS = 32_000_000
"""Larger sets of pairs go through the layers some rows at a time: the memory bound.

A layer holds about five arrays of this size, so some 600 MB, whatever the number of atoms.
"""


class Noisy(NamedTuple):
    """Crystals of n atoms each at time t.

    Parameters
    ----------
    coords : (B, n, 3) fractional
    lattice : (B, 9 or 6), as `LatticeCode` encodes it
    types : (B, n) int64 classes, or (B, n, N_TYPES) for one-hot types with noise
    t : (B,) int64
    """

    coords: Tensor
    lattice: Tensor
    types: Tensor
    t: Tensor


class Guess(NamedTuple):
    """What the network says: score / sqrt(lambda_t), noise of the lattice, noise or logits."""

    score: Tensor
    lattice: Tensor
    types: Tensor


class Network(nn.Module):
    """Predicts what to take away from a noisy crystal."""

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        h = config.hidden
        self.config = config
        self.numbers = 6 if config.lattice == "polar" else 9
        if config.types == "onehot":
            self.types: nn.Module = nn.Linear(N_TYPES, h)
        else:
            self.types = nn.Embedding(N_TYPES + 1, h)
        told = TIME_FEATURES + (COUNT_FEATURES + h) * config.counts
        self.mix = nn.Linear(h + told, h)
        if config.counts:
            kinds = N_TYPES + (config.types != "onehot")
            self.composition = nn.Sequential(nn.Linear(kinds, h), nn.SiLU())
        self.layers = nn.ModuleList(Layer(config, self.numbers) for _ in range(config.layers))
        self.norm = nn.LayerNorm(h)
        self.score_head = nn.Linear(h, 3, bias=False)
        self.lattice_head = nn.Linear(h, self.numbers, bias=False)
        self.type_head = nn.Linear(h, N_TYPES) if config.types != "known" else None
        self._tables: list[Tensor] = []

    def tabulate(self) -> None:
        """Freeze the weights and read the Fourier layers from tables from now on."""
        self.requires_grad_(False)
        points = POINTS_PER_WAVE * self.config.frequencies
        self._tables = [tabulated(layer.psi_weight, points) for layer in self._each()]

    def forward(self, noisy: Noisy) -> Guess:
        told = sinusoids(noisy.t, TIME_FEATURES)
        n = noisy.coords.shape[1]
        if self.config.counts:
            count = sinusoids(noisy.t.new_full((1,), n), COUNT_FEATURES).expand(len(told), -1)
            told = torch.cat([told, count, self.composition(shares(noisy.types))], 1)
        h = self.config.hidden
        of_types, of_told = self.mix.weight[:, :h], self.mix.weight[:, h:]
        context = functional.linear(told, of_told, self.mix.bias)
        x = functional.linear(self.types(noisy.types), of_types) + context[:, None]
        graph = self._graph(noisy.lattice)
        x = self._through_layers(x, graph, noisy.coords)
        x = self.norm(x)
        score = self.score_head(x)
        if self.config.mean_free:
            score = mean_free(score)
        lattice = self.lattice_head(x.mean(1))
        if self.numbers == 9:  # a matrix that turns with the cell
            lattice = (lattice.view(-1, 3, 3) @ noisy.lattice.view(-1, 3, 3)).flatten(1)
        types = x.new_empty(0) if self.type_head is None else self.type_head(x)
        return Guess(score, lattice, types)

    def _through_layers(self, x: Tensor, graph: Tensor, coords: Tensor) -> Tensor:
        batch, n, _ = coords.shape
        frequencies = self.config.frequencies
        floats = batch * n * n * (self.config.hidden + 3 * frequencies)
        if floats > PAIR_FLOATS:
            rows = max(n * PAIR_FLOATS // (2 * floats), 1)
            edges = Rows(coords, frequencies)
            for layer in self._each():
                x = layer.by_rows(x, graph, edges, rows)
        elif self._tables:
            lookups = Lookups(coords, POINTS_PER_WAVE * frequencies)
            for layer, table in zip(self._each(), self._tables, strict=True):
                x = layer(x, graph, lookups.project(table))
        else:
            pairs = Pairs(coords, frequencies)
            for layer in self._each():
                x = layer(x, graph, pairs.project(layer.psi_weight))
        return x

    def _each(self) -> list[Layer]:
        return [layer for layer in self.layers if isinstance(layer, Layer)]

    def _graph(self, lattice: Tensor) -> Tensor:
        """What a rotation leaves of the lattice."""
        if self.numbers == 6:
            return lattice
        rows = lattice.view(-1, 3, 3)
        return (rows @ rows.transpose(1, 2)).flatten(1)


class Layer(nn.Module):
    """One round of messages along all pairs, self included, and a step for each atom."""

    def __init__(self, config: NetConfig, numbers: int) -> None:
        super().__init__()
        h = config.hidden
        self._h = h
        self._edge_layers = config.edge_layers
        self.norm = nn.LayerNorm(h)
        self.edge_1 = nn.Linear(2 * h + numbers + 6 * config.frequencies, h)
        self.edge_2 = nn.Linear(h, h)
        self.node_1 = nn.Linear(2 * h, h)
        self.node_2 = nn.Linear(h, h)
        self._numbers = numbers

    @property
    def psi_weight(self) -> Tensor:
        """The part of the first edge map that acts on psi: sines, then cosines, axis by axis."""
        return self.edge_1.weight[:, 2 * self._h + self._numbers :]

    def forward(self, x: Tensor, graph: Tensor, psi: Tensor) -> Tensor:
        """(B, n, h) from (B, n, h), (B, 6 or 9) and (B, n, n, h)."""
        y = self.norm(x)
        receiving, sending = self._of_atoms(y, graph)
        return self._step(x, y, self._collected(receiving, sending, psi))

    def by_rows(self, x: Tensor, graph: Tensor, edges: Rows, rows: int) -> Tensor:
        """As `forward`, with `rows` receiving atoms at a time."""
        y = self.norm(x)
        receiving, sending = self._of_atoms(y, graph)

        def part(receiving: Tensor, sending: Tensor, at: int) -> Tensor:
            psi = edges.project(self.psi_weight, slice(at, at + receiving.shape[1]))
            return self._collected(receiving, sending, psi)

        parts = [
            checkpoint(part, receiving[:, at : at + rows], sending, at, use_reentrant=False)
            for at in range(0, x.shape[1], rows)
        ]
        return self._step(x, y, torch.cat(parts, 1))

    def _of_atoms(self, y: Tensor, graph: Tensor) -> tuple[Tensor, Tensor]:
        """What an edge takes from the atom that receives (with crystal and bias), and sends."""
        h, weight = self._h, self.edge_1.weight
        of_crystal = functional.linear(
            graph, weight[:, 2 * h : 2 * h + self._numbers], self.edge_1.bias
        )
        receiving = functional.linear(y, weight[:, :h]) + of_crystal[:, None]
        return receiving, functional.linear(y, weight[:, h : 2 * h])

    def _collected(self, receiving: Tensor, sending: Tensor, psi: Tensor) -> Tensor:
        """The mean message to each atom."""
        if torch.is_grad_enabled():
            messages = functional.silu(psi + receiving[:, :, None] + sending[:, None])
        else:
            psi = psi.add_(receiving[:, :, None]).add_(sending[:, None])
            messages = functional.silu(psi, inplace=True)
        if self._edge_layers == 1:
            return functional.silu(self.edge_2(messages.mean(2)))
        return functional.silu(self.edge_2(messages), inplace=not torch.is_grad_enabled()).mean(2)

    def _step(self, x: Tensor, y: Tensor, collected: Tensor) -> Tensor:
        hidden = functional.silu(self.node_1(torch.cat([y, collected], -1)))
        return x + functional.silu(self.node_2(hidden))


def shares(types: Tensor) -> Tensor:
    """(B, kinds): the part of the atoms that is of each type, or hidden; the mean of noisy ones."""
    if types.is_floating_point():
        return types.mean(1)
    found = types.new_zeros((len(types), N_TYPES + 1), dtype=torch.float32)
    each = torch.full(types.shape, 1 / types.shape[1], device=types.device)
    return found.scatter_add_(1, types, each)


def sinusoids(values: Tensor, size: int) -> Tensor:
    """(B,) -> (B, size): sines and cosines at geometrically spaced frequencies."""
    half = size // 2
    w = torch.exp(torch.arange(half, device=values.device) * (-log(10_000.0) / (half - 1)))
    angles = values[:, None].float() * w
    return torch.cat([torch.sin(angles), torch.cos(angles)], 1)
