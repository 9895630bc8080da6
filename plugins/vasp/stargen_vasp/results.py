"""What a finished run comes to: numbers for the candidate, arrays for its data.

Energies are eV, forces eV/Å, stresses GPa with the sign of ASE and CHGNet: positive where the cell
is under tension. pymatgen reads vasprun.xml; what it says of convergence is not taken, because it
calls a run converged that a STOPCAR ended.
"""

from __future__ import annotations

import io
import re
import warnings
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stargen.crystal import Scalar
from stargen.errors import BadResult
from stargen_vasp.outputs import Outputs
from stargen_vasp.presets import functional_of
from stargen_vasp.run import Run

if TYPE_CHECKING:
    from pymatgen.io.vasp.outputs import Vasprun

STAND_IN = "stand-in"
"""Begins the name of an engine whose numbers are no DFT."""

_GPA_PER_KBAR = 0.1
_HALF = 0.5
_SAME_EV = 1e-6
_MAGNETIZATION = re.compile(r"mag=\s*([-+.\dE]+)\s*$", re.MULTILINE)


class Gap(NamedTuple):
    """Band gap, eV; 0 for a metal. `direct_ev` is the least gap at one k-point."""

    gap_ev: float
    direct_ev: float
    is_direct: bool


def read_xml(folder: Path) -> Vasprun:
    """vasprun.xml of a folder, by pymatgen.

    Raises
    ------
    BadResult : it is absent or cannot be read
    """
    from pymatgen.io.vasp.outputs import Vasprun

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Vasprun(
                str(folder / "vasprun.xml"),
                parse_potcar_file=False,
            )
    except (SyntaxError, OSError, ValueError, KeyError, IndexError, TypeError) as error:
        # a SyntaxError is what both of Python's XML readers raise for a file that breaks off
        raise BadResult(f"vasprun.xml cannot be read: {error!r}") from error


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
    forces = np.asarray(last["forces"], dtype=float)
    found: dict[str, Scalar] = {
        "energy_per_atom": float(xml.final_energy) / len(structure),
        "energy_scheme": scheme_of(xml),
        "max_force": float(np.linalg.norm(forces, axis=1).max()),
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


def gap_of(eigenvalues: NDArray[np.float64], occupations: NDArray[np.float64]) -> Gap:
    """From bands and their occupations, both (spin, k-point, band).

    Bands count as full above half their occupation; if their number differs between k-points of a
    spin, the Fermi energy cuts a band.
    """
    full = occupations > _HALF
    highest, lowest, direct = -np.inf, np.inf, np.inf
    for energies_, is_full in zip(eigenvalues, full, strict=True):
        counts = is_full.sum(axis=1)
        if counts.min() != counts.max():
            return Gap(0.0, 0.0, False)
        top = np.where(is_full, energies_, -np.inf).max(axis=1)
        bottom = np.where(is_full, np.inf, energies_).min(axis=1)
        highest, lowest = max(highest, top.max()), min(lowest, bottom.min())
        direct = min(direct, (bottom - top).min())
    gap = lowest - highest
    if not np.isfinite(gap) or gap <= 0:
        return Gap(0.0, 0.0, False)
    return Gap(float(gap), float(direct), bool(direct - gap < _SAME_EV))


def levels(xml: Vasprun) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eigenvalues (eV) and occupations of all spins, each (spin, k-point, band)."""
    spins = sorted(xml.eigenvalues, key=lambda spin: -spin.value)
    both = np.stack([np.asarray(xml.eigenvalues[spin], dtype=float) for spin in spins])
    occupations = both[..., 1]
    if len(spins) == 1 and occupations.max(initial=0.0) > 1.0 + _HALF:
        occupations = occupations / 2
    return both[..., 0], occupations


def electronic(xml: Vasprun) -> tuple[dict[str, Scalar], Gap]:
    """Gap and Fermi energy."""
    gap = gap_of(*levels(xml))
    return {
        "band_gap": gap.gap_ev,
        "band_gap_direct": gap.direct_ev,
        "gap_is_direct": gap.is_direct,
        "fermi_energy": None if xml.efermi is None else float(xml.efermi),
    }, gap


def packed_dos(xml: Vasprun) -> bytes:
    """Total density of states: energies, densities (spin, energy), integrated, fermi; as npz."""
    dos = xml.tdos
    spins = sorted(dos.densities, key=lambda spin: -spin.value)
    return npz(
        energies_ev=np.asarray(dos.energies),
        densities=np.stack([np.asarray(dos.densities[spin]) for spin in spins]),
        integrated=np.stack([np.asarray(xml.idos.densities[spin]) for spin in spins]),
        fermi_ev=np.asarray(dos.efermi),
    )


def packed_bands(xml: Vasprun, path: dict[str, Any]) -> bytes:
    """Bands along the path, as npz.

    kpoints (k, 3) fractional; distances (k,) 1/Å, standing still where a branch begins; eigenvalues
    (spin, k, band) eV; occupations; label_indices and labels of the high-symmetry points; starts of
    the branches; reciprocal (3, 3) 1/Å; fermi_ev.
    """
    n_points = int(path["n_points"])
    eigenvalues, occupations = levels(xml)
    kpoints = np.asarray(xml.actual_kpoints, dtype=float)[-n_points:]
    reciprocal = xml.final_structure.lattice.reciprocal_lattice.matrix
    steps = np.linalg.norm(np.diff(kpoints, axis=0) @ reciprocal, axis=1)
    steps[[start - 1 for start in path["starts"] if start]] = 0.0
    labels = {int(index): name for index, name in path["labels"].items()}
    return npz(
        kpoints=kpoints,
        distances=np.concatenate([[0.0], np.cumsum(steps)]),
        eigenvalues_ev=eigenvalues[:, -n_points:],
        occupations=occupations[:, -n_points:],
        label_indices=np.array(list(labels), dtype=int),
        labels=np.array(list(labels.values())),
        starts=np.array(path["starts"], dtype=int),
        reciprocal=np.asarray(reciprocal),
        fermi_ev=np.asarray(xml.efermi if xml.efermi is not None else np.nan),
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
        "ionic_energies_ev": [float(step["e_0_energy"]) for step in xml.ionic_steps],
        "earlier_ionic_steps": run.ionic_steps,
    }


def npz(**arrays: NDArray[Any]) -> bytes:
    """Named arrays in numpy's own compressed form."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _stress_gpa(stress_kbar: Any) -> NDArray[np.float64]:
    return -_GPA_PER_KBAR * np.asarray(stress_kbar, dtype=float)
