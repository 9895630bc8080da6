"""The example through `stargen up`: master, agent, host and stand-in are real processes."""

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "vasp-mock"
PATIENCE_S = 800
SLOW = [pytest.mark.slow, pytest.mark.timeout(2 * PATIENCE_S)]


@pytest.fixture
def trial(monkeypatch):
    """The example's own reader of journals."""
    if not (EXAMPLE / "trial.py").exists():
        pytest.skip("the example is not here: run the tests in a checkout")
    monkeypatch.syspath_prepend(str(EXAMPLE))
    import trial

    return trial


def up(trial, folder, plan):
    code = trial.start(folder, trial.environment(folder, plan)).wait(timeout=PATIENCE_S)
    return code, (folder / "up.log").read_text()


def test_four_steps_of_the_example(trial, tmp_path):
    for path in EXAMPLE.iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path)
    metals = (tmp_path / "metals.extxyz").read_text().splitlines(keepends=True)
    (tmp_path / "metals.extxyz").write_text("".join(metals[:6]))  # aluminium and copper
    plan = [{"fault": "zbrent", "at_step": 2, "only": "read/1"}]
    code, told = up(trial, tmp_path, plan)
    assert code == 0, told
    is_not_stored_as_dft(tmp_path)
    found = trial.fates(tmp_path, 2)
    assert [fate.end for fate in found.values()] == ["kept"] * 2
    for fate in found.values():
        steps = [p.calculator for p in fate.candidate.provenance]
        assert steps == [
            "structures.read", "vasp.relax", "vasp.static", "vasp.dos", "vasp.bands",
        ]  # fmt: skip
        assert fate.candidate.properties["engine"] == "stand-in for vasp 1.0 (emt)"
        bands = np.load(io.BytesIO(fate.candidate.data["bands_npz"]))
        assert bands["eigenvalues_ev"].ndim == 3
    mended = found["read/1"].candidate
    (correction,) = mended.provenance[1].note["corrections"]
    assert correction["fault"] == "zbrent"
    assert correction["changes"]["NELMIN"] == [5, 8]
    assert trial.left_over(tmp_path) == []


def is_not_stored_as_dft(folder):
    """No filter finds the stand-in's numbers by the names of DFT's; `db show` tells of it."""

    def db(*arguments):
        command = [sys.executable, "-m", "stargen.cli", "db", *arguments, "-c", "out"]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "2 of 2 materials" in db(
        "query", "standin_energy_per_atom < 0 AND standin_converged = TRUE"
    )
    for name in ("energy_per_atom", "band_gap"):
        there = f"standin_{name} IS KNOWN AND {name} IS UNKNOWN"
        assert "2 of 2 materials" in db("query", there)
    told = db("show", "read/1")
    assert "stand-in for vasp 1.0 (emt)" in told
    assert "corrected zbrent: EDIFF 1e-06 -> 1e-07, NELMIN 5 -> 8" in told
    assert "bands of read/1" in db("plot", "bands", "read/1", "--output", "bands.png")


@pytest.mark.slow  # it wants a machine that is not too slow for its walltime
def test_a_walltime_too_short_is_met_in_several_attempts(trial, tmp_path):
    """Each attempt stops itself in time, and the next goes on from its files."""
    trial.write(tmp_path, 1, ["relax"], walltime_s=30.0)
    environ = trial.environment(tmp_path, []) | {"STARGEN_MOCK_VASP_SECONDS": "5"}
    master = trial.start(tmp_path, environ)
    assert master.wait(timeout=280) == 0, (tmp_path / "up.log").read_text()
    (fate,) = trial.fates(tmp_path, 1).values()
    assert fate.end == "kept"
    assert {each.failure for each in fate.failures} == {"walltime"}
    note = fate.candidate.data["vasp.relax"]
    assert note["earlier_ionic_energies_ev"]
    assert fate.candidate.properties["converged"] is True


BROKEN = {
    "bad module": ('vasp = "/no/module/vasp_std"', []),
    "full scratch": ('vasp = "stargen-mock-vasp"', [{"fault": "disk-full", "times": 999}]),
    "mute": ('vasp = "false"', []),
}


@pytest.mark.parametrize(
    "cause", ["bad module", *(pytest.param(c, marks=SLOW) for c in ("full scratch", "mute"))]
)
def test_a_job_that_fails_and_fails_is_held_and_goes_on_without_loss(trial, tmp_path, cause):
    command, plan = BROKEN[cause]
    count = 12 if cause == "bad module" else 40
    trial.write(tmp_path, count, ["static"])
    site = tmp_path / "stargen.toml"
    sound = site.read_text()
    site.write_text(sound.replace('vasp = "stargen-mock-vasp"', command))
    code, told = up(trial, tmp_path, plan)
    assert code != 0
    assert "held" in told
    found = trial.fates(tmp_path, count).values()
    assert not any(fate.kept for fate in found)
    assert 0 < sum(trial.failed_attempts(tmp_path).values()) <= 20

    site.write_text(sound)
    again = trial.start(tmp_path, trial.environment(tmp_path, []), "--release=dft", "--retry=dft")
    assert again.wait(timeout=PATIENCE_S) == 0, (tmp_path / "up.log").read_text()
    assert {fate.end for fate in trial.fates(tmp_path, count).values()} == {"kept"}
    assert trial.left_over(tmp_path) == []


def test_without_potcars_nothing_is_queued(trial, tmp_path):
    trial.write(tmp_path, 1, ["relax"])
    environ = {k: v for k, v in os.environ.items() if not k.startswith("PMG_")}
    environ["HOME"] = str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "stargen.cli", "up", "campaign.toml", "--folder", "out"],
        cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "no POTCARs: pymatgen's PMG_VASP_PSP_DIR is not set" in done.stderr
    assert not (tmp_path / "out" / "journal").exists()
