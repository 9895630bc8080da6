"""A data set as a network sees it: equal sizes together, and what is known of all."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stargen import Crystal
from stargen.errors import UserError
from stargen_diffusion.cells import Variant, reduced, variants
from stargen_diffusion.config import N_TYPES
from stargen_diffusion.lattices import LatticeCode, LatticeForm

GROUP_PAIRS = 1600
"""Pairs of atoms in a group on a CPU: they set what a step costs."""

_PAIRS_PER_CRYSTAL = 50
"""Counted for small crystals at least, whose number would grow beyond use."""


class Clean(NamedTuple):
    """Crystals in the cells that they are learnt in, and how many were left out, by reason."""

    crystals: list[Crystal]
    skipped: Counter[str]


def cleaned(
    crystals: Sequence[Crystal], max_atoms: int, augment: tuple[Variant, ...] = ()
) -> Clean:
    """Reduced cells, each crystal once or with its variants."""
    kept: list[Crystal] = []
    skipped: Counter[str] = Counter()
    for crystal in crystals:
        for each in [crystal, *(variants(crystal, augment) if augment else ())]:
            if each.n_atoms > max_atoms:
                skipped[f"more than {max_atoms} atoms"] += 1
                continue
            if each.numbers.max() > N_TYPES:
                skipped[f"an element beyond Z = {N_TYPES}"] += 1
                continue
            try:
                kept.append(reduced(each))
            except ValueError as error:
                skipped[str(error)] += 1
    return Clean(kept, skipped)


class Batch(NamedTuple):
    """Clean crystals of n atoms each.

    Parameters
    ----------
    coords : (B, n, 3) float32
    lattice : (B, 9 or 6) float32
    types : (B, n) int64
    """

    coords: Tensor
    lattice: Tensor
    types: Tensor


class Batches(NamedTuple):
    """What one step learns from; `to` moves it to a device."""

    parts: tuple[Batch, ...]

    def to(self, device: Any) -> Batches:
        return Batches(tuple(Batch(*(x.to(device) for x in part)) for part in self.parts))


@dataclass(frozen=True, slots=True)
class Statistics:
    """What sampling needs of the data beside the weights.

    Parameters
    ----------
    n_atoms : how many crystals have each number of atoms; index 0 is not used
    elements : how many crystals hold each element, by class
    """

    n_atoms: list[int]
    elements: list[int]
    code: LatticeCode

    @classmethod
    def of(cls, crystals: Sequence[Crystal], form: LatticeForm) -> Statistics:
        """Of clean crystals.

        Raises
        ------
        UserError : if there are none
        """
        if not crystals:
            raise UserError("no crystal is left to learn from")
        sizes = np.array([c.n_atoms for c in crystals])
        lattices = np.array([c.lattice for c in crystals])
        elements = np.zeros(N_TYPES, dtype=int)
        for crystal in crystals:
            elements[np.unique(crystal.numbers) - 1] += 1
        code = LatticeCode.fitted(form, lattices, sizes)
        return cls(np.bincount(sizes).tolist(), elements.tolist(), code)

    def plain(self) -> dict[str, Any]:
        """For a header."""
        return {
            "n_atoms": self.n_atoms,
            "elements": self.elements,
            "lattice_form": self.code.form,
            "lattice_mean": self.code.mean.tolist(),
            "lattice_std": self.code.std.tolist(),
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Statistics:
        """The inverse of `plain`."""
        mean, std = np.array(plain["lattice_mean"]), np.array(plain["lattice_std"])
        code = LatticeCode(plain["lattice_form"], mean, std)
        return cls(plain["n_atoms"], plain["elements"], code)


class Buckets:
    """Crystals by number of atoms, as arrays.

    A step takes some *groups*: equally expensive sets of crystals of one size. Which crystals make
    up a group is drawn anew each time.
    """

    def __init__(
        self, crystals: Sequence[Crystal], code: LatticeCode, pairs: int = GROUP_PAIRS
    ) -> None:
        self._pairs = pairs
        by_size: dict[int, list[Crystal]] = defaultdict(list)
        for crystal in crystals:
            by_size[crystal.n_atoms].append(crystal)
        self._buckets = {n: _arrays(by_size[n], code) for n in sorted(by_size)}
        self._groups: list[tuple[int, int]] = []
        for n, bucket in self._buckets.items():
            size, have = group_size(n, pairs), len(bucket.coords)
            self._groups += [(n, min(size, have - at)) for at in range(0, have, size)]

    def __len__(self) -> int:
        return len(self._groups)

    def draw(self, groups: NDArray[np.int64], rng: np.random.Generator) -> Batches:
        """These groups, filled with crystals of their sizes."""
        parts: list[Batch] = []
        for n, size in (self._groups[g] for g in groups.tolist()):
            bucket = self._buckets[n]
            chosen = torch.from_numpy(rng.choice(len(bucket.coords), size, replace=False))
            parts.append(Batch(*(x[chosen] for x in bucket)))
        return Batches(tuple(parts))

    def all(self) -> Batches:
        """Every crystal once, in groups."""
        parts = [
            Batch(*(x[at : at + group_size(n, self._pairs)] for x in bucket))
            for n, bucket in self._buckets.items()
            for at in range(0, len(bucket.coords), group_size(n, self._pairs))
        ]
        return Batches(tuple(parts))


def group_size(n_atoms: int, pairs: int = GROUP_PAIRS) -> int:
    """How many crystals of `n_atoms` a group holds."""
    return max(1, pairs // max(n_atoms**2, _PAIRS_PER_CRYSTAL))


def digest(crystals: Sequence[Crystal]) -> str:
    """Short name of exactly these crystals in this order."""
    total = hashlib.blake2b(digest_size=8)
    for crystal in crystals:
        total.update(crystal.content_hash())
    return total.hexdigest()


def _arrays(crystals: list[Crystal], code: LatticeCode) -> Batch:
    sizes = np.array([c.n_atoms for c in crystals])
    lattice = code.encode(np.array([c.lattice for c in crystals]), sizes)
    return Batch(
        torch.from_numpy(np.array([c.frac_coords for c in crystals])).float(),
        torch.from_numpy(lattice).float(),
        torch.from_numpy(np.array([c.numbers for c in crystals]).astype(np.int64) - 1),
    )
