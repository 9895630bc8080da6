"""The crystals of one reduced formula that are already known, and the search among them.

Matching is not transitive, so a newcomer is compared with representatives only, in an order that
depends on nothing but their profiles and their rank. Space groups and cell sizes do not
pre-select: noise changes both.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from stargen.crystal import Crystal
from stargen_filters.fingerprint import Fingerprint
from stargen_filters.params import UniqueParams

_REMEMBERED = 4096
"""Structures kept ready for the matcher in one worker."""


class Match(NamedTuple):
    """The representative found; `rms` in units of (volume per atom)^(1/3)."""

    name: str
    rms: float


class Matcher:
    """pymatgen's StructureMatcher, without reducing the same cell twice."""

    def __init__(self, params: UniqueParams) -> None:
        self._matcher = StructureMatcher(
            ltol=params.ltol, stol=params.stol, angle_tol=params.angle_tol_deg, primitive_cell=False
        )

    def rms(self, known: Fingerprint, new: Fingerprint) -> float | None:
        """How far apart two crystals are, or None if they do not match.

        moyo's primitive cells are compared where they have as many atoms. Otherwise noise may have
        hidden translations of the larger from moyo, and pymatgen's search, which is more lenient
        and far slower, decides.
        """
        pair = (
            (_structure(known.cell), _structure(new.cell))
            if known.cell.n_atoms == new.cell.n_atoms
            else _alike_primitives(known.cell, new.cell)
        )
        if pair is None:
            return None
        one, other = pair
        if not self._matcher.fit(one, other, skip_structure_reduction=True):
            return None
        distance = self._matcher.get_rms_dist(one, other)
        return float("nan") if distance is None else float(distance[0])


class Gallery:
    """Representatives of one reduced formula, in order of rank."""

    def __init__(self, matcher: Matcher, threshold: float) -> None:
        self._matcher = matcher
        self._threshold = threshold
        self._names: list[str] = []
        self._prints: list[Fingerprint] = []
        self._profiles: NDArray[np.float32] = np.empty((0, 0), dtype=np.float32)

    def __len__(self) -> int:
        return len(self._names)

    def add(self, name: str, fingerprint: Fingerprint) -> None:
        """One more representative, ranked last."""
        size = len(self._names)
        if size == len(self._profiles):
            grown = np.empty((max(8, 2 * size), len(fingerprint.profile)), dtype=np.float32)
            grown[:size] = self._profiles[:size] if size else 0
            self._profiles = grown
        self._profiles[size] = fingerprint.profile
        self._names.append(name)
        self._prints.append(fingerprint)

    def find(self, new: Fingerprint) -> Match | None:
        """The representative that `new` matches, nearest profile first, earlier rank on a tie."""
        for i in self._near(new.profile):
            rms = self._matcher.rms(self._prints[i], new)
            if rms is not None:
                return Match(self._names[i], rms)
        return None

    def _near(self, profile: NDArray[np.float32]) -> list[int]:
        if not self._names:
            return []
        distances = np.abs(self._profiles[: len(self._names)] - profile).mean(axis=1)
        order = np.argsort(distances, kind="stable")
        return order[distances[order] <= self._threshold].tolist()


@lru_cache(_REMEMBERED)
def _structure(cell: Crystal) -> Structure:
    return cell.to_pymatgen()


def _alike_primitives(one: Crystal, other: Crystal) -> tuple[Structure, Structure] | None:
    """Both cells as pymatgen reduces them, if they come out with as many atoms.

    The larger goes first: if it stays above the size of the smaller, that one need not be reduced.
    """
    smaller, larger = sorted((one, other), key=lambda cell: cell.n_atoms)
    if len(_pymatgen_primitive(larger)) > smaller.n_atoms:
        return None
    pair = _pymatgen_primitive(one), _pymatgen_primitive(other)
    return pair if len(pair[0]) == len(pair[1]) else None


@lru_cache(_REMEMBERED)
def _pymatgen_primitive(cell: Crystal) -> Structure:
    return cell.to_pymatgen().get_primitive_structure().get_reduced_structure("niggli")
