"""Phases by chemical system, and their hulls on demand."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, combinations

import numpy as np

from stargen_stability.convex import Floats, LowerHull

System = tuple[str, ...]
"""Element symbols, sorted."""


def system_of(amounts: Mapping[str, float]) -> System:
    """The chemical system of a composition."""
    return tuple(sorted(amounts))


def fractions_in(system: System, amounts: Mapping[str, float]) -> Floats:
    """A composition as atomic fractions in the order of `system`."""
    vector = np.array([amounts.get(symbol, 0.0) for symbol in system])
    return vector / vector.sum()


Known = dict[tuple[float, ...], tuple[float, Floats]]
"""Lowest energies, eV/atom, with their fractions, by the rounded fractions."""


class Phases:
    """The lowest formation energy known for each composition; the elements themselves are at 0."""

    def __init__(self) -> None:
        self._systems: dict[System, Known] = {}

    def add(self, amounts: Mapping[str, float], formation_energy: float) -> None:
        """Take in a phase: amounts by element, energy in eV/atom."""
        system = system_of(amounts)
        self._put(system, fractions_in(system, amounts), formation_energy)

    def update(self, other: Phases) -> None:
        """Take in all phases of another set."""
        for system, known in other._systems.items():
            for energy, fractions in known.values():
                self._put(system, fractions, energy)

    def _put(self, system: System, fractions: Floats, energy: float) -> None:
        known = self._systems.setdefault(system, {})
        composition = tuple(fractions.round(9).tolist())
        if composition not in known or energy < known[composition][0]:
            known[composition] = (energy, fractions)

    def __len__(self) -> int:
        return sum(len(phases) for phases in self._systems.values())

    def hull(self, system: System, more: Phases | None = None) -> LowerHull:
        """The hull of all phases within `system`, with those of `more`."""
        width = len(system)
        places = {symbol: i for i, symbol in enumerate(system)}
        fractions, energies = [np.eye(width)], [np.zeros(width)]
        for source in (self, more) if more is not None else (self,):
            for part, known in source.within(system):
                block = np.zeros((len(known), width))
                block[:, [places[symbol] for symbol in part]] = [row for _, row in known.values()]
                fractions.append(block)
                energies.append(np.array([energy for energy, _ in known.values()]))
        return LowerHull(np.vstack(fractions), np.concatenate(energies))

    def within(self, system: System) -> list[tuple[System, Known]]:
        """The systems that are part of `system`, itself included: fractions and energies."""
        sizes = range(1, len(system) + 1)
        parts = chain.from_iterable(combinations(system, size) for size in sizes)
        return [(part, self._systems[part]) for part in parts if part in self._systems]
