"""Atoms apart, a volume, and a density that matter can have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from stargen.calculators.contract import Context
from stargen.crystal import Candidate, Crystal, Drop
from stargen_filters.distances import shortest_distance
from stargen_filters.oxidation import atomic_masses
from stargen_filters.params import GeometryParams

_G_CM3 = 1.66053906660
"""One atomic mass unit per Å^3 in g/cm^3 (CODATA 2018)."""


class Geometry:
    """Source: distance and volume bounds of CDVAE's validity (Xie et al., arXiv:2110.06197)."""

    def open(self, context: Context) -> None:
        self._params: GeometryParams = context.params
        self._masses = np.full(256, np.nan)
        for z, mass in atomic_masses().items():
            self._masses[z] = mass

    def run(self, candidates: Sequence[Candidate], context: Context) -> Iterator[Candidate | Drop]:
        for candidate in candidates:
            yield self._judge(candidate)

    def close(self) -> None:
        """Nothing is held."""

    def _judge(self, candidate: Candidate) -> Candidate | Drop:
        """Cheapest first; the distances need a cell that has a volume."""
        crystal, limits = candidate.crystal, self._params
        volume = crystal.volume
        if not volume > limits.min_volume_ang3:
            return candidate.drop("cell volume too small", f"{volume:.3g} Å^3")
        density = self._density(crystal, volume)
        # a NaN (no mass known beyond lawrencium) is neither too low nor too high
        if density < limits.min_density_g_cm3:
            return candidate.drop("density too low", f"{density:.3g} g/cm^3")
        if density > limits.max_density_g_cm3:
            return candidate.drop("density too high", f"{density:.3g} g/cm^3")
        try:
            distance = shortest_distance(crystal)
        except ValueError:
            return candidate.drop("cell is singular")
        if distance < limits.min_distance_ang:
            return candidate.drop("atoms too close", f"{distance:.3f} Å")
        return candidate.with_(
            min_distance=distance,
            volume_per_atom=volume / crystal.n_atoms,
            density=None if np.isnan(density) else density,
        )

    def _density(self, crystal: Crystal, volume: float) -> float:
        """Mass density, g/cm^3; NaN if a mass is not known."""
        return float(self._masses[crystal.numbers].sum()) * _G_CM3 / volume
