"""Crystals as graphs, and many graphs as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from stargen import Crystal
from stargen_crysformer.neighbours import TIE_ANG, nearest


@dataclass(frozen=True, slots=True)
class Graphs:
    """Atoms and edges of many crystals, one crystal after another.

    An edge belongs to the atom whose near neighbour the other end is, and brings its message there.

    Parameters
    ----------
    numbers : (n_atoms,) uint8
    atoms : (n_crystals,) int64, atoms of each crystal
    degrees : (n_atoms,) int64, edges of each atom; all 0 in a crystal that has no graph
    sources : (n_edges,) int64, the neighbour, counted within its crystal
    vectors : (n_edges, 3) float32, Å, from the atom to its neighbour
    """

    numbers: NDArray[np.uint8]
    atoms: NDArray[np.int64]
    degrees: NDArray[np.int64]
    sources: NDArray[np.int64]
    vectors: NDArray[np.float32]

    @classmethod
    def of(cls, crystals: Sequence[Crystal], neighbours: int) -> Self:
        """The graphs of crystals."""
        return cls.build(
            np.stack([c.lattice for c in crystals]),
            np.concatenate([c.frac_coords for c in crystals]),
            np.concatenate([c.numbers for c in crystals]),
            np.array([c.n_atoms for c in crystals], dtype=np.int64),
            neighbours,
        )

    @classmethod
    def build(
        cls,
        lattices: NDArray[np.float64],
        frac_coords: NDArray[np.float64],
        numbers: NDArray[np.uint8],
        atoms: NDArray[np.int64],
        neighbours: int,
    ) -> Self:
        """From arrays that hold all crystals' atoms one after another."""
        degrees, sources, vectors = nearest(
            np.ascontiguousarray(lattices, dtype=np.float64),
            np.ascontiguousarray(frac_coords, dtype=np.float64),
            atoms.astype(np.int64),
            neighbours,
            TIE_ANG,
        )
        first = np.repeat(np.cumsum(atoms) - atoms, atoms)
        sources -= np.repeat(first, degrees)
        return cls(numbers, atoms, degrees, sources, vectors.astype(np.float32))

    def __len__(self) -> int:
        return len(self.atoms)

    @property
    def usable(self) -> NDArray[np.bool_]:
        """(n_crystals,) whether there is a graph: no two atoms in one place, a cell with volume."""
        return self.degrees[np.cumsum(self.atoms) - self.atoms] > 0

    @property
    def shortest_ang(self) -> NDArray[np.float32]:
        """(n_crystals,) the shortest distance in each; NaN without a graph."""
        lengths = np.linalg.norm(self.vectors, axis=1)
        edges = self._edges_of_crystals()
        starts = np.cumsum(edges) - edges
        shortest = np.full(len(self), np.nan, dtype=np.float32)
        some = edges > 0
        if some.any():
            shortest[some] = np.minimum.reduceat(lengths, starts[some])
        return shortest

    def take(self, indices: Iterable[int] | NDArray[np.int64]) -> Graphs:
        """Some of them, in the order asked for."""
        wanted = np.asarray(indices, dtype=np.int64)
        edges = self._edges_of_crystals()
        atom_rows = _ranges(np.cumsum(self.atoms) - self.atoms, self.atoms, wanted)
        edge_rows = _ranges(np.cumsum(edges) - edges, edges, wanted)
        return Graphs(
            self.numbers[atom_rows],
            self.atoms[wanted],
            self.degrees[atom_rows],
            self.sources[edge_rows],
            self.vectors[edge_rows],
        )

    def batch(self) -> Batch:
        """As tensors; every crystal must be usable."""
        first = np.cumsum(self.atoms) - self.atoms
        of_atom = np.repeat(np.arange(len(self)), self.atoms)
        targets = np.repeat(np.arange(len(self.numbers)), self.degrees)
        sources = self.sources + np.repeat(np.repeat(first, self.atoms), self.degrees)
        vectors = torch.from_numpy(self.vectors)
        distances = vectors.norm(dim=1)
        return Batch(
            torch.from_numpy(self.numbers.astype(np.int64)),
            torch.from_numpy(of_atom),
            torch.from_numpy(self.atoms),
            torch.from_numpy(sources),
            torch.from_numpy(targets),
            distances,
            vectors / distances[:, None],
        )

    def _edges_of_crystals(self) -> NDArray[np.int64]:
        return np.add.reduceat(self.degrees, np.cumsum(self.atoms) - self.atoms)


@dataclass(slots=True)
class Batch:
    """Graphs as the network takes them.

    Parameters
    ----------
    numbers, crystal : (n_atoms,) atomic number; which crystal
    atoms : (n_crystals,)
    sources, targets : (n_edges,) atoms; targets ascend
    distances, units : (n_edges,) Å, (n_edges, 3)
    """

    numbers: torch.Tensor
    crystal: torch.Tensor
    atoms: torch.Tensor
    sources: torch.Tensor
    targets: torch.Tensor
    distances: torch.Tensor
    units: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        return Batch(*(getattr(self, name).to(device) for name in self.__slots__))


def _ranges(
    starts: NDArray[np.int64], lengths: NDArray[np.int64], wanted: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The rows start..start+length of each wanted one, one after another."""
    counts = lengths[wanted]
    before = np.cumsum(counts) - counts
    return np.arange(counts.sum()) + np.repeat(starts[wanted] - before, counts)
