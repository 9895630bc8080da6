"""What each of the four steps writes, whichever program computes it; read by light modules."""

from __future__ import annotations

from collections.abc import Sequence

MOST_STEPS = 500
"""Ionic steps of which a candidate's data tell, the last ones."""

_ALWAYS = ("band_gap", "band_gap_direct", "gap_is_direct", "fermi_energy", "engine", "corrections")
_ENERGIES = (
    "energy_per_atom",
    "energy_scheme",
    "max_force",
    "pressure_gpa",
    "volume_per_atom",
    "magnetization",
    "converged",
)
WRITTEN = {
    "relax": (*_ALWAYS, *_ENERGIES, "relax_steps", "volume_ratio"),
    "static": (*_ALWAYS, *_ENERGIES),
    "dos": _ALWAYS,
    "bands": _ALWAYS,
}
"""Names of properties, by step."""


def ionic_steps(energies: Sequence[float], max_forces: Sequence[float]) -> dict[str, list[float]]:
    """What a step's data tell of its ionic steps, one number each; what is empty is left out.

    Parameters
    ----------
    energies : eV
    max_forces : eV/Å, the largest on any atom
    """
    told = {"ionic_energies_ev": energies, "ionic_max_forces_ev_per_ang": max_forces}
    return {name: list(values)[-MOST_STEPS:] for name, values in told.items() if values}
