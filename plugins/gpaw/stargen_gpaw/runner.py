"""The program that runs GPAW on one task: ``python -I runner.py`` in the task's folder.

It is started by a Python that has GPAW, which need have nothing else of Star-gen, and it takes and
leaves files only: GPAW never gets into Star-gen's own processes. `task.json` says what to do.
`steps.jsonl` grows by a line with each ionic step, and a later run goes on from its last line;
`density.gpw` is what the steps leave for each other. `result.json` and `arrays.npz` are there whole
or not at all; `failure.json` says what went wrong.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

TASK, RESULT, ARRAYS, FAILURE = "task.json", "result.json", "arrays.npz", "failure.json"
STEPS, STOP, LOG = "steps.jsonl", "stop", "gpaw.txt"
DENSITY, DENSITY_OF = "density.gpw", "density.json"
STOPPED_CODE = 3
HIGHER = 1.3
"""The cut-off at which a relaxed cell's stress is looked at again, over that of its relaxation."""

_XC = {
    "PBE": "PBE",
    "SCAN": "MGGA_X_SCAN+MGGA_C_SCAN",
    "r2SCAN": "MGGA_X_R2SCAN+MGGA_C_R2SCAN",
}
_GPA = 160.2176634
_STEPS_BEFORE_END = 3
_SAME = 1e-5
_LONGEST_MOVE_ANG = 0.1
_ENERGY_EV_PER_ELECTRON = 1e-5


class StoppedError(Exception):
    """Asked to stop, or its time ends; what was reached is in the folder."""


# --- what the four steps do -----------------------------------------------------------------------


def relax(task: dict[str, Any]) -> dict[str, Any]:
    """Atoms and cell down to `fmax`; at a higher cut-off where the cell is off for its basis."""
    rows = steps_so_far()
    cutoff = max(float(task["cutoff_ev"]), *(row["cutoff_ev"] for row in rows[-1:]), 0.0)
    atoms, calc = start(task, rows), engine(task, cutoff)
    checks: list[dict[str, float]] = []
    while True:
        converged = minimize(task, atoms, calc, cutoff)
        found = electrons_and_forces(calc, atoms)
        if not converged:
            break
        higher = cutoff * HIGHER
        finer = engine(task, higher)
        stress = np.asarray(finer.get_property("stress", atoms)) * _GPA
        off = float(np.abs(stress - voigt(found["stress_gpa"])).max())
        checks.append({"cutoff_ev": cutoff, "higher_ev": higher, "stress_off_gpa": off})
        if off <= task["pulay_gpa"] or higher > task["max_cutoff_ev"]:
            break
        cutoff, calc = higher, finer
    keep_density(task, atoms, calc, cutoff)
    pulay = bool(checks) and checks[-1]["stress_off_gpa"] <= task["pulay_gpa"]
    found |= {"cutoff_ev": cutoff, "basis_checks": checks}
    found["converged"] = {
        "ions": [converged, "forces are below fmax" if converged else "steps ran out"],
        "basis": [pulay, "stress stands at a higher cut-off" if pulay else basis_fault(checks)],
    }
    return found


def static(task: dict[str, Any]) -> dict[str, Any]:
    """Energy, forces and stress as it stands."""
    return {**electrons_and_forces(*ground_state(task)), "cutoff_ev": task["cutoff_ev"]}


def dos(task: dict[str, Any]) -> dict[str, Any]:
    """Eigenvalues on a denser mesh, in the density of the static run."""
    calc, atoms = ground_state(task)
    dense = calc.fixed_density(
        kpts={"size": task["dense_mesh"], "gamma": True},
        nbands=task_bands(calc, task),
        convergence={"bands": task_bands(calc, task, wanted=True)},
        update_fermi_level=True,
        txt=log(),
    )
    return electronic(dense, atoms)


def bands(task: dict[str, Any]) -> dict[str, Any]:
    """Eigenvalues along the path, in the density of the static run."""
    calc, atoms = ground_state(task)
    along = calc.fixed_density(
        kpts=np.array(task["path"]),
        nbands=task_bands(calc, task),
        convergence={"bands": task_bands(calc, task, wanted=True)},
        symmetry="off",
        txt=log(),
    )
    return electronic(along, atoms)


# --- GPAW -----------------------------------------------------------------------------------------


def engine(task: dict[str, Any], cutoff_ev: float) -> Any:
    """An ASE calculator with the task's settings."""
    from gpaw import GPAW, PW

    return GPAW(
        mode=PW(cutoff_ev),
        xc=_XC[task["functional"]],
        kpts={"size": task["mesh"], "gamma": True},
        occupations={"name": "fermi-dirac", "width": task["smearing_ev"]},
        convergence={"energy": _ENERGY_EV_PER_ELECTRON},
        txt=log(),
        **task["scf"],
    )


def ground_state(task: dict[str, Any]) -> tuple[Any, Any]:
    """A converged calculation of the task's crystal: the one in the folder, or a new one."""
    from gpaw import GPAW

    atoms = crystal(task)
    if fits(task, atoms):
        try:
            calc = GPAW(DENSITY, txt=log())
            return calc, calc.atoms
        except Exception:  # cut off by a kill, or of another version: it is only a short cut
            traceback.print_exc()
    calc = engine(task, task["cutoff_ev"])
    electrons_and_forces(calc, atoms)
    keep_density(task, atoms, calc, task["cutoff_ev"])
    return calc, atoms


def minimize(task: dict[str, Any], atoms: Any, calc: Any, cutoff_ev: float) -> bool:
    """Move atoms and cell until nothing pulls harder than `fmax`; False if the steps run out."""
    from ase.filters import FrechetCellFilter
    from ase.optimize import BFGS

    atoms.calc = calc
    left = int(task["steps"]) - len(steps_so_far())
    optimizer = BFGS(FrechetCellFilter(atoms), logfile=None, maxstep=_LONGEST_MOVE_ANG)
    converged, slowest, began = False, 0.0, time.time()
    for at_rest in optimizer.irun(fmax=task["fmax"], steps=max(0, left - 1)):
        now = time.time()
        slowest, began = max(slowest, now - began), now
        note_step(atoms, cutoff_ev)
        converged = bool(at_rest)
        if not converged and must_stop(task, slowest):
            raise StoppedError
    return converged


def electrons_and_forces(calc: Any, atoms: Any) -> dict[str, Any]:
    """Energy, forces, stress and levels; computed where they are not known yet."""
    energy = float(calc.get_property("energy", atoms))
    forces = np.asarray(calc.get_property("forces", atoms))
    stress = np.asarray(calc.get_property("stress", atoms)) * _GPA
    found = electronic(calc, atoms)
    xx, yy, zz, yz, xz, xy = stress
    found |= {
        "energy_ev": energy,
        "forces_ev_per_ang": forces.tolist(),
        "stress_gpa": [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]],
    }
    if calc.get_number_of_spins() == 2:
        found["moment"] = float(calc.get_property("magmom", atoms))
    return found


def electronic(calc: Any, atoms: Any) -> dict[str, Any]:
    """Levels into the arrays' file; what they belong to."""
    import gpaw

    spins = calc.get_number_of_spins()
    points = np.asarray(calc.get_ibz_k_points())
    occupations = [
        [calc.get_occupation_numbers(kpt=k, spin=s, raw=True) for k in range(len(points))]
        for s in range(spins)
    ]
    write_whole(
        ARRAYS,
        lambda file: np.savez(
            file,
            eigenvalues_ev=np.asarray(calc.eigenvalues()),
            occupations=np.asarray(occupations, dtype=float),
            kpoints=points,
            weights=np.asarray(calc.get_k_point_weights()),
        ),
    )
    return {
        "fermi_ev": float(calc.get_fermi_level()),
        "n_electrons": float(calc.get_number_of_electrons()),
        "cell": atoms.cell.array.tolist(),
        "scaled": atoms.get_scaled_positions(wrap=False).tolist(),
        "version": gpaw.__version__,
        "datasets": sorted({dataset(setup) for setup in calc.setups}),
    }


def dataset(setup: Any) -> str:
    """Element, kind, file and checksum of a PAW data set."""
    return f"{setup.symbol} {setup.type} {Path(str(setup.filename)).name} {setup.fingerprint}"


def task_bands(calc: Any, task: dict[str, Any], *, wanted: bool = False) -> int:
    """How many bands to ask for; those `wanted` are converged, the others lie above them."""
    electrons = calc.get_number_of_electrons()
    if calc.get_number_of_spins() == 2:
        electrons += abs(calc.get_magnetic_moment())  # so many more of one spin are full
    full = int(np.ceil(electrons / 2))
    asked = full + max(task["empty_bands"], full // 4)
    return asked if wanted else asked + max(2, full // 10)


# --- the folder -----------------------------------------------------------------------------------


def crystal(task: dict[str, Any]) -> Any:
    """The task's crystal, as ASE has it."""
    from ase import Atoms

    atoms = Atoms(task["numbers"], cell=task["cell"], scaled_positions=task["scaled"], pbc=True)
    if task["moments"] is not None:
        atoms.set_initial_magnetic_moments(task["moments"])
    return atoms


def start(task: dict[str, Any], rows: list[dict[str, Any]]) -> Any:
    """The crystal where an earlier run left it, or as it came."""
    atoms = crystal(task)
    if rows:
        atoms.set_cell(rows[-1]["cell"])
        atoms.set_scaled_positions(rows[-1]["scaled"])
    return atoms


def steps_so_far() -> list[dict[str, Any]]:
    """All whole lines of the record of ionic steps."""
    rows: list[dict[str, Any]] = []
    path = Path(STEPS)
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                break  # cut off by a kill
    return rows


def note_step(atoms: Any, cutoff_ev: float) -> None:
    """One line more."""
    row = {
        "cutoff_ev": cutoff_ev,
        "energy_ev": float(atoms.get_potential_energy()),
        "max_force": float(np.linalg.norm(atoms.get_forces(), axis=1).max()),
        "cell": atoms.cell.array.tolist(),
        "scaled": atoms.get_scaled_positions(wrap=False).tolist(),
    }
    rows = [*steps_so_far(), row]  # what a kill cut off is not gone on with
    text = "".join(f"{json.dumps(each)}\n" for each in rows)
    write_whole(STEPS, lambda file: file.write(text.encode()))


def settings(task: dict[str, Any], cutoff_ev: float) -> dict[str, Any]:
    """What a density belongs to, beside its crystal."""
    names = ("functional", "mesh", "smearing_ev", "numbers")
    return {
        **{name: task[name] for name in names},
        "cutoff_ev": cutoff_ev,
        "spins": 1 if task["moments"] is None else 2,
    }


def keep_density(task: dict[str, Any], atoms: Any, calc: Any, cutoff_ev: float) -> None:
    """For the steps that follow."""
    Path(DENSITY_OF).unlink(missing_ok=True)
    calc.write(DENSITY)
    note = {
        **settings(task, cutoff_ev),
        "cell": atoms.cell.array.tolist(),
        "scaled": atoms.get_scaled_positions(wrap=False).tolist(),
    }
    write_whole(DENSITY_OF, lambda file: file.write(json.dumps(note).encode()))


def fits(task: dict[str, Any], atoms: Any) -> bool:
    """Whether the density in the folder is of this crystal and these settings."""
    try:
        note = json.loads(Path(DENSITY_OF).read_text())
    except (OSError, ValueError):
        return False
    cell, scaled = np.array(note.pop("cell")), np.array(note.pop("scaled"))
    if note != settings(task, task["cutoff_ev"]) or len(scaled) != len(atoms):
        return False
    moved = scaled - atoms.get_scaled_positions(wrap=False)
    return bool(np.abs(cell - atoms.cell.array).max() < _SAME) and bool(
        np.abs(moved - np.round(moved)).max() < _SAME
    )


def must_stop(task: dict[str, Any], slowest_s: float) -> bool:
    """Whether someone asks for it, or too little time is left for a few steps more."""
    if Path(STOP).exists():
        return True
    end = task["end_at"]
    return end is not None and end - time.time() < max(
        task["margin_s"], _STEPS_BEFORE_END * slowest_s
    )


def basis_fault(checks: list[dict[str, float]]) -> str:
    if not checks:
        return "not looked at: the relaxation is not done"
    last = checks[-1]
    return (
        f"the stress differs by {last['stress_off_gpa']:.2f} GPa between {last['cutoff_ev']:.0f} "
        f"and {last['higher_ev']:.0f} eV"
    )


def voigt(stress: Any) -> Any:
    matrix = np.asarray(stress)
    return matrix[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]


def log() -> Any:
    """GPAW's own account, of all the calculations of a task."""
    return Path(LOG).open("a", buffering=1)


def write_whole(name: str, write: Any) -> None:
    """A file that is there whole or not at all."""
    beside = Path(f"{name}.new")
    with beside.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(name)


def fail(error: BaseException) -> NoReturn:
    """Say what went wrong, for the supervisor and for people."""
    kind = type(error).__name__
    note = {"kind": kind, "kinds": [c.__name__ for c in type(error).__mro__], "message": str(error)}
    note["errno"] = getattr(error, "errno", None)
    Path(FAILURE).write_text(json.dumps(note))
    traceback.print_exception(error)
    raise SystemExit(1)


def main() -> None:
    """Do what task.json says."""
    began = time.time()
    task = json.loads(Path(TASK).read_text())
    steps = {"relax": relax, "static": static, "dos": dos, "bands": bands}
    try:
        result = steps[task["step"]](task)
    except StoppedError:
        sys.exit(STOPPED_CODE)
    except Exception as error:
        fail(error)
    result["seconds"] = round(time.time() - began, 3)
    write_whole(RESULT, lambda file: file.write(json.dumps(result).encode()))


if __name__ == "__main__":
    main()
