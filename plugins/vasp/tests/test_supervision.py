"""The stand-in fails on demand; what a run under supervision makes of it."""

from pathlib import Path

import pytest

from stargen import Candidate
from stargen.errors import CalculationFailed, OutOfMemory, TaskError, UserTaskError
from stargen.model import Resources
from stargen.processes import processes

QUICK = {"kspacing": 0.9}

MENDED = [
    ("zbrent", "zbrent"),
    ("nonconv", "electrons never converge"),
    ("truncate", "truncated"),
    ("killed", "died"),
    ("broken-contcar", "died"),
    ("positive-energy", "positive energy"),
]
MORE_MENDED = [
    ("brmix", "brmix"),
    ("edddav", "edddav"),
    ("posmap", "posmap"),
    ("crash", "died"),
    ("empty-contcar", "died"),
    ("too_few_bands", "too_few_bands"),
]
FAILED = [
    ("set_core_wf", CalculationFailed, "calculation", "core electrons"),
    ("read_error", UserTaskError, "user", "incar"),
    ("oom", OutOfMemory, "memory", "KPAR is 1"),
    ("disk-full", TaskError, "infrastructure", "no room"),
    ("time-limit", TaskError, "infrastructure", "time limit"),
]


@pytest.mark.parametrize(
    ("kind", "fault"),
    [*MENDED, *(pytest.param(*each, marks=pytest.mark.slow) for each in MORE_MENDED)],
)
def test_a_fault_is_mended_and_noted(host, copper, kind, fault):
    host.plan({"fault": kind, "at_step": 2})
    result = host.run("relax", copper, **QUICK)
    assert isinstance(result, Candidate)
    assert result.properties["converged"] is True
    assert [change.fault for change in host.changes] == [fault]
    assert result.properties["corrections"] == 1
    (noted,) = result.data["vasp.relax"]["corrections"]
    assert noted["fault"] == fault
    assert noted["step"] == "vasp.relax"
    assert host.runs == 2


@pytest.mark.parametrize(("kind", "error", "failure", "words"), FAILED)
def test_what_cannot_be_mended_fails_with_its_class(host, copper, kind, error, failure, words):
    host.plan({"fault": kind, "at_step": 2, "times": 9})
    with pytest.raises(error, match=words) as caught:
        host.run("relax", copper, **QUICK)
    assert caught.value.failure == failure


def test_a_fault_that_stays_ends_with_its_ceiling_and_the_last_lines(host, copper):
    host.plan({"fault": "posmap", "times": 99})
    with pytest.raises(CalculationFailed, match=r"posmap: .*corrected 3 times in vain") as caught:
        host.run("relax", copper, **QUICK)
    assert "POSMAP internal error" in caught.value.detail
    assert host.runs == 4


def test_many_faults_end_with_the_ceiling_of_the_task(host, copper):
    host.plan({"fault": "brmix", "times": 9}, {"fault": "posmap", "at_step": 2, "times": 9})
    with pytest.raises(CalculationFailed, match="max_corrections = 2 are used up"):
        host.run("relax", copper, max_corrections=2, **QUICK)


def test_strict_refuses_what_changes_the_physics(host, copper):
    host.plan({"fault": "real_optlay"})
    with pytest.raises(CalculationFailed, match=r"strict refuses LREAL: [Aa]uto -> False"):
        host.run("relax", copper, incar={"LREAL": "auto"}, strict=True, **QUICK)


def test_strict_allows_what_does_not(host, copper):
    host.plan({"fault": "zbrent", "at_step": 2})
    assert host.run("relax", copper, strict=True, **QUICK).properties["corrections"] == 1


def test_death_without_a_word_is_diagnosed(host, copper):
    host.plan({"fault": "killed", "at_step": 2, "times": 9})
    with pytest.raises(CalculationFailed, match="died: VASP was killed by SIGKILL") as caught:
        host.run("relax", copper, **QUICK)
    assert "DAV:" in caught.value.detail


def test_a_run_that_hangs_is_ended_and_nothing_is_left(host, copper):
    host.plan({"fault": "hang", "at_step": 2})
    result = host.run("relax", copper, silent_s=2.5, **QUICK)
    assert [change.fault for change in host.changes] == ["frozen"]
    assert result.properties["converged"] is True
    assert not [p for p in processes() if _works_in(p.pid, host.folder)]


def test_a_run_that_never_starts_blames_the_node(host, copper):
    host.plan({"fault": "never-starts"})
    with pytest.raises(TaskError, match="never started") as caught:
        host.run("relax", copper, start_s=2.0, **QUICK)
    assert caught.value.failure == "infrastructure"


def test_a_slow_start_is_no_fault(host, copper):
    host.plan({"fault": "slow-start", "seconds": 1.0})
    assert host.run("relax", copper, **QUICK).properties["corrections"] == 0


def test_it_stops_before_its_walltime_and_goes_on_later(host, copper, tmp_path_factory):
    host.setenv("SECONDS", 1.0)
    host.resources = Resources(cores=1, walltime_s=4.5)
    with pytest.raises(TaskError, match="goes on from there") as caught:
        host.run("relax", copper, incar={"EDIFFG": -1e-5}, **QUICK)
    assert caught.value.failure == "walltime"
    assert not (host.folder / "STOPCAR").exists()
    another = tmp_path_factory.mktemp("another")
    for path in host.folder.iterdir():
        path.rename(another / path.name)
    host.folder = another
    host.setenv("SECONDS", 0)
    host.resources = Resources(cores=1)
    result = host.run("relax", copper, incar={"EDIFFG": -1e-5}, **QUICK)
    assert result.properties["converged"] is True
    note = result.data["vasp.relax"]
    assert note["earlier_ionic_energies_ev"]
    assert min(note["earlier_ionic_energies_ev"]) > min(note["ionic_energies_ev"])


def test_a_run_that_is_deaf_to_stopcar_is_killed(host, copper):
    host.plan({"fault": "ignores-stopcar", "times": 9})
    host.setenv("SECONDS", 30)
    host.stop_after_s = 2.0
    with pytest.raises(CalculationFailed, match="died: VASP was killed by SIGTERM"):
        host.run("relax", copper, max_corrections=1, **QUICK)
    assert not [p for p in processes() if _works_in(p.pid, host.folder)]


def test_what_a_stopcar_ended_does_not_pass_for_converged(host, copper):
    """pymatgen calls such a run converged: it made fewer steps than NSW."""
    host.setenv("SECONDS", 0.5)
    host.stop_after_s = 2.0
    result = host.run(
        "relax", copper, unconverged="keep", continuations=0, incar={"EDIFFG": -1e-6}, **QUICK
    )
    assert result.properties["converged"] is False
    assert result.data["vasp.relax"]["converged"]["ions"] == (False, "a STOPCAR ended it")


def _works_in(pid, folder):
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == folder
    except OSError:
        return False
