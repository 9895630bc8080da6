"""What each of the four steps writes, whichever program computes it; read by light modules."""

from __future__ import annotations

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
