"""A trained network on a CPU, rewritten to compute the same in a fraction of the time.

Three rewrites, each exact but for rounding: radial weights depend on the distance alone and are
read from a table; the linear map of an edge's value acts on the attention's sum, atom by atom; and
what is left to do edge by edge is compiled (`kernels`). Tests hold it to `network` within 1e-5.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stargen_crysformer import kernels
from stargen_crysformer.graphs import Batch
from stargen_crysformer.layers import Basis, Feature, Radial
from stargen_crysformer.network import Block, Crysformer

_LONGEST_ANG = 12.0
"""Tables end here. A batch with a longer edge is computed by the network as it is."""

_COARSE, _FINE = 32, 512
"""Rows of a table per Å, at first and at most."""
_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Table:
    """Radial weights by distance."""

    rows: NDArray[np.float32]
    per_ang: float


class Inference:
    """Computes what a network computes, without gradients.

    Parameters
    ----------
    network : on the CPU, no longer trained; its weights are copied into another order
    """

    def __init__(self, network: Crysformer) -> None:
        self.network = network
        with torch.inference_mode():
            radials = [network.surroundings, *(b.attention.radial for b in network.blocks)]
            self.tables = [_tabulate(network.basis, radial) for radial in radials]
            self._blocks = [
                _BlockInference(block, table)
                for block, table in zip(network.blocks, self.tables[1:], strict=True)
            ]

    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """As `Crysformer.forward`."""
        network = self.network
        with torch.inference_mode():
            if float(batch.distances.max()) >= _LONGEST_ANG:
                return network(batch)
            edges = _Edges(batch)
            feature = self._embed(batch, edges)
            for block in self._blocks:
                feature = block(feature, edges)
            return network.answer(feature[0], batch)

    def _embed(self, batch: Batch, edges: _Edges) -> Feature:
        n, c = len(batch.numbers), self.network.config.channels
        scalars, vectors = torch.empty(n, c.scalars), torch.empty(n, 3, c.vectors)
        table = self.tables[0]
        kernels.surroundings(
            table.rows,
            table.per_ang,
            edges.starts,
            edges.distances,
            edges.units,
            c.scalars,
            scalars.numpy(),
            vectors.numpy(),
        )
        return self.network.elements(batch.numbers) + scalars, vectors


class _Edges:
    """The edges of a batch as arrays."""

    def __init__(self, batch: Batch) -> None:
        degrees = torch.bincount(batch.targets, minlength=len(batch.numbers))
        self.starts = np.concatenate([[0], degrees.cumsum(0).numpy()])
        self.sources = batch.sources.numpy()
        self.distances, self.units = batch.distances.numpy(), batch.units.numpy()


class _BlockInference:
    def __init__(self, block: Block, table: Table) -> None:
        self._block, self._table, attention = block, table, block.attention
        heads, value = attention.heads, attention.value
        # what a head says is made of what it summed alone
        self._scalars = _by_head(value.scalars.weight, heads)
        self._vectors = _by_head(torch.cat([value.outer.weight, value.vectors.weight], 1), heads)
        self._query = attention.query.numpy()

    def __call__(self, feature: Feature, edges: _Edges) -> Feature:
        return self._block.after(feature, self._heard(self._block.norm(feature), edges))

    def _heard(self, feature: Feature, edges: _Edges) -> Feature:
        attention, message = self._block.attention, self._block.attention.message
        ours, theirs = attention.from_target(feature), attention.from_source(feature)
        n_edges, (n, c0), c1 = len(edges.sources), feature[0].shape, feature[1].shape[2]
        told = (
            torch.empty(n_edges, c0 + c1),
            torch.empty(n_edges, c0),
            torch.empty(n_edges, 3, 2 * c1),
        )
        kernels.products(
            self._table.rows,
            self._table.per_ang,
            edges.starts,
            edges.sources,
            edges.distances,
            edges.units,
            _arrays(ours),
            _arrays(theirs),
            _arrays(told),
        )
        mixed = message.scalars(told[0])
        heads, given, width = self._vectors.shape
        summed = (
            torch.empty(heads, n, c0 + c1),
            torch.empty(heads, n, 3, width if given else 0),
        )
        kernels.hear(
            edges.starts,
            edges.units,
            mixed.numpy(),
            mixed.sigmoid().numpy(),
            message.outer(told[1]).numpy(),
            message.vectors(told[2]).numpy(),
            self._query,
            _arrays(summed),
        )
        scalars = torch.bmm(self._scalars, summed[0].transpose(1, 2))
        # a head has few vectors: with those as rows, the product is five times as fast
        kept = summed[1].flatten(1, 2)
        vectors = torch.bmm(self._vectors[:, :, : kept.shape[2]], kept.transpose(1, 2))
        return attention.out(
            (
                scalars.permute(2, 0, 1).reshape(n, -1),
                vectors.unflatten(2, (n, 3)).permute(2, 3, 0, 1).reshape(n, 3, -1),
            )
        )


def _by_head(weight: Tensor, heads: int) -> Tensor:
    """(given, taken) -> (heads, given / heads, taken)."""
    given, taken = weight.shape
    return weight.reshape(heads, given // heads, taken)


def _arrays(tensors: tuple[Tensor, ...]) -> tuple[NDArray[np.float32], ...]:
    return tuple(tensor.contiguous().numpy() for tensor in tensors)


def _tabulate(basis: Basis, radial: Radial) -> Table:
    """Refined until rows between the table's are interpolated well."""
    basis, radial = copy.deepcopy(basis).double(), copy.deepcopy(radial).double()

    def exact(at: NDArray[np.float64]) -> NDArray[np.float64]:
        return radial(basis(torch.from_numpy(at))).numpy()

    per_ang = _COARSE
    while True:
        at = (np.arange(-1, _LONGEST_ANG * per_ang + 3)) / per_ang
        rows = exact(at)
        between = (-rows[:-3] + 9 * rows[1:-2] + 9 * rows[2:-1] - rows[3:]) / 16
        off = np.abs(between - exact(at[1:-2] + 0.5 / per_ang)).max()
        if off < _TOLERANCE * max(np.abs(rows).max(), 1.0) or per_ang >= _FINE:
            return Table(np.ascontiguousarray(rows, dtype=np.float32), float(per_ang))
        per_ang *= 2
