"""What a finished run comes to: numbers for the candidate, arrays for its data.

Energies are eV, forces eV/Å, stresses GPa with the sign of ASE and CHGNet: positive where the cell
is under tension. pymatgen reads vasprun.xml; what it says of convergence is not taken, because it
calls a run converged that a STOPCAR ended.
"""

from __future__ import annotations

import io
import re
import tarfile
import warnings
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zstandard
from numpy.typing import NDArray
from stargen_dft import levels as dft
from stargen_dft.properties import MOST_STEPS, ionic_steps

from stargen.crystal import Scalar
from stargen.errors import BadResult
from stargen_vasp import xmlsteps
from stargen_vasp.outputs import Outputs
from stargen_vasp.presets import functional_of
from stargen_vasp.run import Run

if TYPE_CHECKING:
    from pymatgen.io.vasp.outputs import Vasprun

STAND_IN = "stand-in"
"""Begins the name of an engine whose numbers are no DFT."""

_GPA_PER_KBAR = 0.1
_HALF = 0.5
_MAGNETIZATION = re.compile(r"mag=\s*([-+.\dE]+)\s*$", re.MULTILINE)


def read_xml(folder: Path) -> Vasprun:
    """vasprun.xml of a folder, by pymatgen.

    Raises
    ------
    BadResult : it is absent, breaks off or cannot be read
    """
    from pymatgen.io.vasp.outputs import Vasprun

    path = folder / "vasprun.xml"
    if not path.exists():
        raise BadResult("VASP left no vasprun.xml")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Vasprun(str(path), parse_potcar_file=False)
    except (SyntaxError, OSError, ValueError, KeyError, IndexError, TypeError) as error:
        # a SyntaxError is what both of Python's XML readers raise for a file that breaks off
        told = xmlsteps.read(path)
        if told.whole:
            raise BadResult(f"vasprun.xml cannot be read: {error!r}") from error
        problem = f"vasprun.xml breaks off after {len(told.steps)} finished ionic steps"
        raise BadResult(problem, detail=str(error)) from error


def engine_of(xml: Vasprun) -> str:
    """Which program computed it, as it names itself."""
    generator = xml.generator
    return f"{generator.get('program', 'vasp')} {generator.get('version', '')}".strip().lower()


def scheme_of(xml: Vasprun) -> str:
    """METHOD/SCALE of its energies: they are nobody's corrected ones."""
    if engine_of(xml).startswith(STAND_IN):
        return f"{STAND_IN}/{STAND_IN}"
    return f"vasp-{functional_of(xml.incar)}/uncorrected"


def energies(xml: Vasprun, outputs: Outputs) -> dict[str, Scalar]:
    """Energy, forces, pressure and moment of the last ionic step."""
    last, structure = xml.ionic_steps[-1], xml.final_structure
    found: dict[str, Scalar] = {
        "energy_per_atom": float(xml.final_energy) / len(structure),
        "energy_scheme": scheme_of(xml),
        "max_force": _largest(last["forces"]),
        "volume_per_atom": structure.volume / len(structure),
    }
    if "stress" in last:
        stress = _stress_gpa(last["stress"])
        found["pressure_gpa"] = -float(np.trace(stress)) / 3
    moments = _MAGNETIZATION.findall("\n".join(outputs.oszicar_end))
    if xml.is_spin and moments:
        found["magnetization"] = float(moments[-1])
    return found


def bulk(xml: Vasprun) -> dict[str, Any]:
    """Forces and stress of the last ionic step, in the order of the crystal's sites."""
    last = xml.ionic_steps[-1]
    found: dict[str, Any] = {"forces_ev_per_ang": np.asarray(last["forces"], dtype=float)}
    if "stress" in last:
        found["stress_gpa"] = _stress_gpa(last["stress"])
    return found


def levels(xml: Vasprun) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eigenvalues (eV) and occupations of all spins, each (spin, k-point, band)."""
    spins = sorted(xml.eigenvalues, key=lambda spin: -spin.value)
    both = np.stack([np.asarray(xml.eigenvalues[spin], dtype=float) for spin in spins])
    occupations = both[..., 1]
    if len(spins) == 1 and occupations.max(initial=0.0) > 1.0 + _HALF:
        occupations = occupations / 2
    return both[..., 0], occupations


def electronic(xml: Vasprun) -> tuple[dict[str, Scalar], dft.Gap]:
    """Gap and Fermi energy."""
    gap = dft.gap_of(*levels(xml))
    return {
        "band_gap": gap.gap_ev,
        "band_gap_direct": gap.direct_ev,
        "gap_is_direct": gap.is_direct,
        "fermi_energy": None if xml.efermi is None else float(xml.efermi),
    }, gap


def packed_dos(xml: Vasprun) -> bytes:
    """Total density of states, packed."""
    dos = xml.tdos
    spins = sorted(dos.densities, key=lambda spin: -spin.value)
    return dft.packed_dos(
        np.asarray(dos.energies),
        np.stack([np.asarray(dos.densities[spin]) for spin in spins]),
        np.stack([np.asarray(xml.idos.densities[spin]) for spin in spins]),
        dos.efermi,
    )


def packed_bands(xml: Vasprun, path: dict[str, Any]) -> bytes:
    """Bands along the path, packed."""
    n_points = int(path["n_points"])
    eigenvalues, occupations = levels(xml)
    return dft.packed_bands(
        np.asarray(xml.actual_kpoints, dtype=float)[-n_points:],
        eigenvalues[:, -n_points:],
        occupations[:, -n_points:],
        np.asarray(xml.final_structure.lattice.reciprocal_lattice.matrix),
        labels={int(index): name for index, name in path["labels"].items()},
        starts=path["starts"],
        fermi_ev=xml.efermi,
    )


def provenance(xml: Vasprun, folder: Path, run: Run) -> dict[str, Any]:
    """What the numbers rest on."""
    incar = (folder / "INCAR").read_text(encoding="utf-8")
    return {
        "engine": engine_of(xml),
        "incar": incar,
        "incar_hash": blake2b(incar.encode(), digest_size=8).hexdigest(),
        "kpoints": (folder / "KPOINTS").read_text(encoding="utf-8").splitlines()[:4],
        "potcars": list(xml.potcar_symbols),
        "corrections": run.corrections,
        **ionic_steps(
            [float(step["e_0_energy"]) for step in xml.ionic_steps],
            [_largest(step["forces"]) for step in xml.ionic_steps if "forces" in step],
        ),
        "earlier_ionic_energies_ev": run.earlier_energies[-MOST_STEPS:],
    }


def packed_files(folder: Path, names: Sequence[str]) -> bytes:
    """The files that are there, as tar within zstd; all else of the folder goes with it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in names:
            if (folder / name).is_file():
                tar.add(folder / name, arcname=name)
    return zstandard.compress(buffer.getvalue())


def _largest(forces: Any) -> float:
    return float(np.linalg.norm(np.asarray(forces, dtype=float), axis=1).max())


def _stress_gpa(stress_kbar: Any) -> NDArray[np.float64]:
    return -_GPA_PER_KBAR * np.asarray(stress_kbar, dtype=float)
