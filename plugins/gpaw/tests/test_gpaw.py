"""Real DFT. Skips where GPAW is not installed (`make gpaw`)."""

import io
import json
import os
import subprocess
import time

import numpy as np
import pytest
from stargen_gpaw import environment, runner
from stargen_gpaw.run import read_task

from stargen.errors import TaskError
from stargen.model import Resources

pytestmark = [
    pytest.mark.skipif(environment.problem() is not None, reason=str(environment.problem())),
    pytest.mark.timeout(1_200),
]


def cube_edge(result):
    """Å, of a face-centred cubic cell with two atoms."""
    return (8 * result.properties["volume_per_atom"]) ** (1 / 3)


def test_silicon_through_all_four_steps(host, silicon):
    params = {"kspacing": 0.45}  # the same mesh before and after the relaxation
    relaxed = host.run("relax", silicon, **params)
    found = relaxed.properties
    assert found["converged"] is True
    assert 5.44 < cube_edge(relaxed) < 5.50
    assert found["engine"].startswith("gpaw 2")
    assert abs(found["pressure_gpa"]) < 0.5
    note = relaxed.data["gpaw.relax"]
    assert note["basis_checks"][-1]["stress_off_gpa"] < 0.5
    assert "Si paw Si.PBE.gz" in note["datasets"][0]

    static = host.run("static", relaxed, **params)
    assert static.properties["energy_per_atom"] == pytest.approx(found["energy_per_atom"])
    assert "Reading from density.gpw" in (host.folder / runner.LOG).read_text()

    dos = host.run("dos", static, denser=1.2, **params)
    packed = np.load(io.BytesIO(dos.data["dos_npz"]))
    assert packed["densities"].shape == (1, 1501)
    at_fermi = np.searchsorted(packed["energies_ev"], packed["fermi_ev"])
    assert packed["integrated"][0, at_fermi] == pytest.approx(8, abs=0.1)

    bands = host.run("bands", dos, line_density=5, **params)
    assert 0.5 < bands.properties["band_gap"] < 0.7
    assert bands.properties["gap_is_direct"] is False
    assert 2.4 < bands.properties["band_gap_direct"] < 2.7
    packed = np.load(io.BytesIO(bands.data["bands_npz"]))
    assert packed["labels"][0] == "Γ"
    assert packed["eigenvalues_ev"].shape[1] == len(packed["distances"])
    assert set(bands.data) >= {"gpaw.relax", "gpaw.static", "gpaw.dos", "gpaw.bands"}


def test_a_cutoff_that_is_too_low_is_noticed_and_raised(host, silicon):
    params = {"cutoff_ev": 160, "kspacing": 1.0, "fmax": 0.05}
    result = host.run("relax", silicon, pulay_gpa=0.04, **params)
    checks = result.data["gpaw.relax"]["basis_checks"]
    assert len(checks) > 1
    assert checks[0]["stress_off_gpa"] > 0.04
    assert checks[-1]["stress_off_gpa"] <= 0.04
    assert result.data["gpaw.relax"]["cutoff_ev"] == pytest.approx(160 * 1.3 ** (len(checks) - 1))


def test_a_relaxation_stops_before_its_walltime_and_goes_on(host, silicon):
    host.resources = Resources(cores=1, walltime_s=0.5)  # over when its first step is done
    params = {"kspacing": 1.0, "cutoff_ev": 250, "fmax": 0.002, "pulay_gpa": 5.0}
    with pytest.raises(TaskError) as caught:
        host.run("relax", silicon, **params)
    assert caught.value.failure == "walltime"
    made = (host.folder / runner.STEPS).read_text().splitlines()
    assert made
    host.resources = Resources(cores=1)
    result = host.run("relax", silicon, **params)
    lines = (host.folder / runner.STEPS).read_text().splitlines()
    assert lines[: len(made)] == made
    assert result.properties["relax_steps"] == len(lines)
    note = result.data["gpaw.relax"]
    forces = note["ionic_max_forces_ev_per_ang"]
    assert len(forces) == len(note["ionic_energies_ev"]) == len(lines)
    assert forces[-1] == pytest.approx(result.properties["max_force"], abs=1e-6)
    assert result.properties["converged"] is True


def start(host, verb, candidate, **params):
    """A run that somebody kills: (step, process)."""
    step, _, command = host.prepare(verb, candidate, **params)
    with (host.folder / "stdout.txt").open("w") as out:
        process = subprocess.Popen(
            command.argv, cwd=host.folder, stdout=out, stderr=out,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    return step, process


def wait_for(there, process):
    deadline = time.monotonic() + 300
    while not there() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert there()


def test_what_a_kill_interrupts_goes_on_from_the_files(host, silicon):
    params = {"kspacing": 0.9, "cutoff_ev": 250, "fmax": 0.02, "pulay_gpa": 5.0}
    record, log = host.folder / runner.STEPS, host.folder / runner.LOG
    step, process = start(host, "relax", silicon, **params)
    wait_for(record.exists, process)
    process.kill()
    made = record.read_text().splitlines()
    finding = step.diagnose(host.folder, process.wait())
    assert "killed by signal 9" in finding.message
    relaxed = host.run("relax", silicon, **params)
    assert record.read_text().splitlines()[: len(made)] == made
    assert relaxed.properties["converged"] is True

    static = {name: params[name] for name in ("kspacing", "cutoff_ev")}
    _, process = start(host, "dos", relaxed, **static)
    wait_for(lambda: log.exists() and "Reading from density.gpw" in log.read_text(), process)
    process.kill()
    process.wait()
    dos = host.run("dos", relaxed, **static)
    assert "dos_npz" in dos.data
    assert "Converged" not in log.read_text().partition("Reading from density.gpw")[0]


def test_a_broken_density_is_made_anew(host, silicon):
    params = {"kspacing": 1.0, "cutoff_ev": 250}
    first = host.run("static", silicon, **params)
    (host.folder / runner.DENSITY).write_bytes(b"half of a file")
    bands = host.run("dos", first, **params)
    assert "dos_npz" in bands.data
    assert json.loads((host.folder / runner.DENSITY_OF).read_text())["cutoff_ev"] == 250


@pytest.mark.parametrize("functional", ["SCAN", "r2SCAN"])
def test_meta_functionals_are_self_consistent(host, silicon, functional):
    params = {"functional": functional, "kspacing": 1.0, "cutoff_ev": 250}
    static = host.run("static", silicon, **params)
    assert static.properties["energy_scheme"] == f"gpaw-{functional.lower()}/uncorrected"
    dos = host.run("dos", static, denser=1.0, **params)
    # the same k-points from the kept density: the kinetic energy density was kept too
    assert dos.properties["band_gap_direct"] == pytest.approx(
        static.properties["band_gap_direct"], abs=1e-4
    )
    assert read_task(host.folder)["functional"] == functional


def test_a_basis_that_stays_too_small_is_no_convergence(host, silicon):
    params = {"cutoff_ev": 160, "kspacing": 1.0, "fmax": 0.05, "pulay_gpa": 1e-4}
    drop = host.run("relax", silicon, max_cutoff_ev=170, **params)
    assert drop.reason == "not converged"
    assert "between 160 and 208 eV" in drop.detail


@pytest.mark.slow
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("cutoff_ev", [None, 450.0])
def test_magnesia_keeps_its_size(host, magnesia, cutoff_ev):
    """Whatever cut-off is begun with; 400 eV alone gives 3.87 Å."""
    result = host.run("relax", magnesia, kspacing=0.6, cutoff_ev=cutoff_ev)
    assert result.properties["converged"] is True
    assert 4.20 < cube_edge(result) < 4.28
