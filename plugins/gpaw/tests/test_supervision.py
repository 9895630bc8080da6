"""What a run under supervision makes of faults; a pretender stands in for GPAW."""

import json
import time

import pytest
from stargen_gpaw import runner
from stargen_gpaw.run import Run, read_task

from stargen import Candidate
from stargen.calculators.contract import Finding, Progress
from stargen.errors import BadResult, CalculationFailed, OutOfMemory, TaskError, UserTaskError


def fault(*kinds, message="so it is", errno=None):
    return {"kind": kinds[0], "kinds": kinds, "message": message, "errno": errno}


UNCONVERGED = fault("KohnShamConvergenceError", "ConvergenceError", "Exception")


def test_the_same_fields_as_with_vasp(host, silicon, pretender):
    result = host.run("static", silicon, argv=pretender())
    vasp = pytest.importorskip("stargen_vasp.info")
    given = set(result.properties)
    assert given == set(vasp.static.properties) - {"magnetization"}
    assert result.properties["energy_scheme"] == "gpaw-pbe/uncorrected"
    assert result.properties["engine"] == "gpaw pretended"
    assert result.properties["band_gap"] == 2.0
    assert {"forces_ev_per_ang", "stress_gpa", "gpaw.static"} <= set(result.data)


def test_electrons_get_slower_mixing_then_a_softer_occupation(host, silicon, pretender):
    argv = pretender(UNCONVERGED, UNCONVERGED)
    result = host.run("static", silicon, argv=argv, smearing_ev=0.05)
    assert isinstance(result, Candidate)
    assert result.properties["corrections"] == 2
    first, second = result.data["gpaw.static"]["corrections"]
    assert first["changes"]["maxiter"] == [None, 1000]
    assert second["changes"] == {"smearing_ev": [0.05, 0.2]}
    assert read_task(host.folder)["scf"]["mixer"]["beta"] == 0.02


def test_strict_refuses_the_softer_occupation(host, silicon, pretender):
    argv = pretender(UNCONVERGED, UNCONVERGED)
    with pytest.raises(CalculationFailed, match="strict refuses smearing_ev"):
        host.run("static", silicon, argv=argv, strict=True)


def test_broken_symmetry_is_given_up(host, silicon, pretender):
    result = host.run("static", silicon, argv=pretender(fault("SymmetryBrokenError", "Exception")))
    assert result.data["gpaw.static"]["settings"]["scf"] == {"symmetry": "off"}


def test_death_is_tried_once_more(host, silicon, pretender):
    assert host.run("static", silicon, argv=pretender("kill")).properties["corrections"] == 1
    argv = pretender("kill", "kill")
    with pytest.raises(CalculationFailed, match=r"killed by signal 9; .*half a line.*in vain"):
        host.run("static", silicon, argv=argv)


@pytest.mark.parametrize(
    ("told", "error", "failure"),
    [
        (fault("MemoryError", "Exception"), OutOfMemory, "memory"),
        (fault("ModuleNotFoundError", "ImportError"), UserTaskError, "user"),
        (fault("OSError", "Exception", errno=28), TaskError, "infrastructure"),
        (fault("ValueError", "Exception"), CalculationFailed, "calculation"),
    ],
)
def test_what_cannot_be_mended_fails_with_its_class(host, silicon, pretender, told, error, failure):
    with pytest.raises(error) as caught:
        host.run("static", silicon, argv=pretender(told, told, told))
    assert caught.value.failure == failure


def test_ceilings_hold_for_the_task(host, silicon, pretender):
    argv = pretender(UNCONVERGED, "kill", UNCONVERGED)
    with pytest.raises(CalculationFailed, match="max_corrections = 1 are used up"):
        host.run("static", silicon, argv=argv, max_corrections=1)


def test_a_stop_before_the_walltime_is_no_failure(host, silicon, pretender):
    with pytest.raises(TaskError, match="it goes on there") as caught:
        host.run("relax", silicon, argv=pretender(runner.STOPPED_CODE))
    assert caught.value.failure == "walltime"


def test_a_broken_result_is_refused(host, silicon, pretender):
    step, context, _ = host.prepare("static", silicon, argv=pretender())
    (host.folder / runner.RESULT).write_text('{"version": ')
    with pytest.raises(BadResult, match="cannot be read"):
        step.collect(silicon, host.folder, context)


def test_silence_is_noticed_and_progress_told(host, silicon, pretender):
    step, _, _ = host.prepare("relax", silicon, argv=pretender(), silent_s=1.0)
    (host.folder / runner.STEPS).write_text('{"energy_ev": -1}\n')
    assert step.watch(host.folder) == Progress(1, 100, "ionic step 2")
    run = Run.of(host.folder)
    run.run_began -= 100
    run.save(host.folder)
    time.sleep(1.2)
    seen = step.watch(host.folder)
    assert isinstance(seen, Finding)
    assert seen.fault == "frozen"


def test_an_interrupted_relaxation_keeps_its_steps(host, silicon, pretender):
    argv = pretender()
    host.prepare("relax", silicon, argv=argv)
    row = json.dumps({"energy_ev": -1.0, "cutoff_ev": 455.0}) + "\n"
    (host.folder / runner.STEPS).write_text(row + '{"energy')
    host.prepare("relax", silicon, argv=argv)
    assert (host.folder / runner.STEPS).read_text().startswith(row)
    assert host.run("relax", silicon, argv=argv).properties["relax_steps"] == 1


def test_later_steps_take_the_relaxations_cutoff(host, silicon, pretender):
    argv = pretender()
    relaxed = host.run("relax", silicon, argv=argv, cutoff_ev=455.0)
    host.prepare("static", relaxed, argv=argv)
    assert read_task(host.folder)["cutoff_ev"] == 455.0
