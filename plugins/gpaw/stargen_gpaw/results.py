"""What a finished run comes to: numbers for the candidate, arrays for its data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stargen_dft import levels
from stargen_dft.properties import ionic_steps

from stargen.crystal import Crystal, Scalar
from stargen.errors import BadResult
from stargen_gpaw.run import Run
from stargen_gpaw.runner import ARRAYS, RESULT, STEPS

_NOT_SETTINGS = ("end_at", "margin_s")


@dataclass(frozen=True, slots=True)
class Found:
    """A run's result.

    Parameters
    ----------
    told : result.json
    eigenvalues, occupations : (spin, k, band); eV, and between 0 and 1
    kpoints, weights : (k, 3) fractional; (k,)
    ionic : the relaxation's steps, one after another
    """

    told: dict[str, Any]
    eigenvalues: NDArray[np.float64]
    occupations: NDArray[np.float64]
    kpoints: NDArray[np.float64]
    weights: NDArray[np.float64]
    ionic: list[dict[str, Any]]

    @property
    def engine(self) -> str:
        return f"gpaw {self.told['version']}"

    @property
    def cell(self) -> NDArray[np.float64]:
        return np.array(self.told["cell"], dtype=float)

    @property
    def scaled(self) -> NDArray[np.float64]:
        return np.array(self.told["scaled"], dtype=float) % 1.0

    @property
    def faults(self) -> list[str]:
        """Why it is not converged."""
        return [why for ok, why in self.told.get("converged", {}).values() if not ok]

    def electronic(self) -> dict[str, Scalar]:
        gap = levels.gap_of(self.eigenvalues, self.occupations)
        return {
            "band_gap": gap.gap_ev,
            "band_gap_direct": gap.direct_ev,
            "gap_is_direct": gap.is_direct,
            "fermi_energy": float(self.told["fermi_ev"]),
        }

    def energies(self, crystal: Crystal, functional: str) -> dict[str, Scalar]:
        """Energy, forces, pressure and moment, as they are at the end."""
        forces = np.array(self.told["forces_ev_per_ang"])
        found: dict[str, Scalar] = {
            "energy_per_atom": self.told["energy_ev"] / crystal.n_atoms,
            "energy_scheme": f"gpaw-{functional.lower()}/uncorrected",
            "max_force": float(np.linalg.norm(forces, axis=1).max()),
            "pressure_gpa": -float(np.trace(self.told["stress_gpa"])) / 3,
            "volume_per_atom": crystal.volume / crystal.n_atoms,
            "converged": not self.faults,
        }
        if "moment" in self.told:
            found["magnetization"] = self.told["moment"]
        return found

    def bulk(self) -> dict[str, Any]:
        """Forces and stress, positive under tension."""
        return {
            "forces_ev_per_ang": np.array(self.told["forces_ev_per_ang"]),
            "stress_gpa": np.array(self.told["stress_gpa"]),
        }

    def packed_dos(self, window_ev: float, step_ev: float, width_ev: float) -> bytes:
        fermi = float(self.told["fermi_ev"])
        energies = fermi + np.arange(-window_ev, window_ev + step_ev / 2, step_ev)
        densities, integrated = levels.broadened(self.eigenvalues, self.weights, energies, width_ev)
        return levels.packed_dos(energies, densities, integrated, fermi)

    def packed_bands(self, path: dict[str, Any]) -> bytes:
        return levels.packed_bands(
            self.kpoints,
            self.eigenvalues,
            self.occupations,
            2 * np.pi * np.linalg.inv(self.cell).T,
            labels={int(index): name for index, name in path["labels"].items()},
            starts=path["starts"],
            fermi_ev=float(self.told["fermi_ev"]),
        )


def read(folder: Path) -> Found:
    """What the program left.

    Raises
    ------
    BadResult : a file that is absent or broken, or values that are not finite
    """
    try:
        told = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        with np.load(folder / ARRAYS) as arrays:
            eigenvalues, occupations = arrays["eigenvalues_ev"], arrays["occupations"]
            kpoints, weights = arrays["kpoints"], arrays["weights"]
        rows = _lines(folder / STEPS) if told.get("converged") else []
    except (OSError, ValueError, KeyError) as error:
        raise BadResult(f"GPAW's result cannot be read: {error!r}") from error
    if not (np.isfinite(eigenvalues).all() and np.isfinite(told.get("energy_ev", 0.0))):
        raise BadResult("GPAW's energies are not finite")
    return Found(told, eigenvalues, occupations, kpoints, weights, rows)


def provenance(found: Found, task: dict[str, Any], run: Run) -> dict[str, Any]:
    """What the numbers rest on."""
    settings = {name: value for name, value in task.items() if name not in _NOT_SETTINGS}
    text = json.dumps(settings, sort_keys=True)
    told = {name: found.told[name] for name in ("basis_checks", "converged", "seconds", "datasets")
            if name in found.told}  # fmt: skip
    return {
        "engine": found.engine,
        "settings": settings,
        "settings_hash": blake2b(text.encode(), digest_size=8).hexdigest(),
        "cutoff_ev": found.told.get("cutoff_ev", task["cutoff_ev"]),
        "corrections": run.corrections,
        **ionic_steps(
            [float(row["energy_ev"]) for row in found.ionic],
            [float(row["max_force"]) for row in found.ionic],
        ),
        **told,
    }


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
