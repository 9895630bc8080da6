"""Silicon by two codes: GPAW and Quantum ESPRESSO, both PBE, on one mesh of k-points.

python examples/gpaw-silicon/against_espresso.py

Needs `make gpaw`, and Debian's packages quantum-espresso and quantum-espresso-data. Each code fits
an equation of state to its own energies; the gap is that between Gamma and X at one lattice
constant.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from shutil import which
from xml.etree import ElementTree

import numpy as np
from stargen_dft.levels import gap_of
from stargen_gpaw import environment, runner

_EDGES_ANG = np.linspace(5.35, 5.60, 6)
_GAP_EDGE_ANG = 5.47
_MESH = (4, 4, 4)
_PATH = [[x / 2, 0.0, x / 2] for x in np.linspace(0, 1, 13)]
_CUTOFF_EV = 350.0
_POTENTIALS = Path("/usr/share/espresso/pseudo")
_POTENTIAL = "Si.pbe-nl-rrkjus_psl.1.0.0.UPF"
_EV_PER_HARTREE = 27.211386245988

_INPUT = """\
&control
  calculation = '{calculation}', prefix = 'si', outdir = '.', pseudo_dir = '{potentials}'
  disk_io = 'low'
/
&system
  ibrav = 2, celldm(1) = {edge_bohr}, nat = 2, ntyp = 1, ecutwfc = 30, ecutrho = 240, nbnd = 8
  occupations = 'fixed'
/
&electrons
  conv_thr = 1e-9
/
ATOMIC_SPECIES
Si 28.085 {potential}
ATOMIC_POSITIONS crystal
Si 0 0 0
Si 0.25 0.25 0.25
"""


def main() -> int:
    """Print the table; 1 if the codes disagree."""
    problem = environment.problem() or espresso_problem()
    if problem is not None:
        print(problem)
        return 2
    found = {}
    for name, energy, gap in (
        ("GPAW", gpaw_energy, gpaw_gap),
        ("Quantum ESPRESSO", espresso_energy, espresso_gap),
    ):
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            edge, bulk = fitted([energy(place, a) for a in _EDGES_ANG])
            found[name] = (edge, bulk, gap(place))
        edge, bulk, width = found[name]
        print(
            f"{name:17s} a = {edge:.4f} Å   B = {bulk:5.1f} GPa   gap Gamma-X = {width:.4f} eV"
            f"   {time.monotonic() - began:.0f} s"
        )
    (one, _, gap_one), (other, _, gap_other) = found.values()
    off, off_gap = abs(one / other - 1), abs(gap_one - gap_other)
    print(f"lattice constants differ by {100 * off:.2f} %, gaps by {1e3 * off_gap:.1f} meV")
    return 0 if off < 0.005 and off_gap < 0.020 else 1


def fitted(energies: list[float]) -> tuple[float, float]:
    """Lattice constant (Å) and bulk modulus (GPa) of a Birch-Murnaghan equation of state."""
    from ase.eos import EquationOfState

    volumes = _EDGES_ANG**3 / 4
    volume, _, modulus = EquationOfState(volumes, energies, eos="birchmurnaghan").fit()
    return float((4 * volume) ** (1 / 3)), float(modulus * 160.2176634)


# --- GPAW, by the program that the plugin starts --------------------------------------------------


def gpaw(folder: Path, edge_ang: float, step: str) -> dict[str, object]:
    half = edge_ang / 2
    task = {
        "step": step, "functional": "PBE", "cutoff_ev": _CUTOFF_EV, "mesh": _MESH,
        "smearing_ev": 0.01, "moments": None, "scf": {}, "numbers": [14, 14],
        "cell": [[0, half, half], [half, 0, half], [half, half, 0]],
        "scaled": [[0, 0, 0], [0.25] * 3], "path": _PATH, "empty_bands": 4,
    }  # fmt: skip
    (folder / runner.TASK).write_text(json.dumps(task))
    run([environment.python(), "-I", str(Path(runner.__file__).resolve())], folder)
    return json.loads((folder / runner.RESULT).read_text())


def gpaw_energy(folder: Path, edge_ang: float) -> float:
    return float(str(gpaw(folder, edge_ang, "static")["energy_ev"]))


def gpaw_gap(folder: Path) -> float:
    gpaw(folder, _GAP_EDGE_ANG, "bands")
    arrays = np.load(folder / runner.ARRAYS)
    return gap_of(arrays["eigenvalues_ev"], arrays["occupations"]).gap_ev


# --- Quantum ESPRESSO -----------------------------------------------------------------------------


def espresso_problem() -> str | None:
    if which("pw.x") is None or not (_POTENTIALS / _POTENTIAL).exists():
        return "apt-get install --no-install-recommends quantum-espresso quantum-espresso-data"
    return None


def espresso(folder: Path, edge_ang: float, calculation: str, kpoints: str) -> ElementTree.Element:
    text = _INPUT.format(
        calculation=calculation,
        potentials=_POTENTIALS,
        potential=_POTENTIAL,
        edge_bohr=edge_ang / 0.529177210903,
    )
    (folder / "pw.in").write_text(text + kpoints)
    run(["pw.x", "-in", "pw.in"], folder)
    return ElementTree.parse(folder / "si.xml").getroot()


def espresso_energy(folder: Path, edge_ang: float) -> float:
    mesh = " ".join(map(str, _MESH))
    root = espresso(folder, edge_ang, "scf", f"K_POINTS automatic\n{mesh} 0 0 0\n")
    return _EV_PER_HARTREE * float(root.findtext("output/total_energy/etot", "nan"))


def espresso_gap(folder: Path) -> float:
    espresso_energy(folder, _GAP_EDGE_ANG)
    rows = "".join(f"{x} {y} {z} 1\n" for x, y, z in _PATH)
    root = espresso(folder, _GAP_EDGE_ANG, "bands", f"K_POINTS crystal\n{len(_PATH)}\n{rows}")
    texts = [e.text or "" for e in root.findall("output/band_structure/ks_energies/eigenvalues")]
    levels = _EV_PER_HARTREE * np.array([[float(word) for word in text.split()] for text in texts])
    full = np.broadcast_to(np.arange(levels.shape[1]) < 4, levels.shape).astype(float)
    return gap_of(levels[None], full[None]).gap_ev


def run(argv: list[str], folder: Path) -> None:
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        argv, cwd=folder, env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{argv[0]} ended with code {done.returncode}\n{done.stdout[-2000:]}{done.stderr}")


if __name__ == "__main__":
    sys.exit(main())
