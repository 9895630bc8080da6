"""Real workers of a real agent, and calculators that do everything wrong."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from stargen.crystal import decode_drops, decode_entry
from stargen.messages import CancelTasks
from stargen.processes import marked_members, process_of


def act(mode, **params):
    return ("mischief.act", {"mode": mode, **params})


def properties(master, ref):
    return [decode_entry(entry).properties for entry in master.done[ref].entries]


async def one_fault(master, step, timeout_s=15, **resources):
    """Run the step on one candidate; what is told of its failure."""
    master.define(step)
    (ref,) = master.run(1, **resources)
    await master.outcomes([ref], timeout_s)
    assert ref in master.faults, (master.done, master.given_back)
    return master.faults[ref]


async def gone(folder):
    """Wait until a checkpoint that is no longer needed is removed."""
    async with asyncio.timeout(5):
        while folder.exists():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def works_still(master, job=9):
    """The node does its work as if nothing had happened."""
    master.define("echo.map", job=job)
    refs = master.run(4, job=job, first=1000)
    await master.outcomes(refs)
    assert all(ref in master.done for ref in refs)


async def test_a_chain_of_steps_runs_on_each_batch(master):
    master.define("echo.map", ("echo.map", {"random": True}))
    refs = master.run(20, per_task=3)
    await master.outcomes(refs)
    done = [decode_entry(entry) for ref in refs for entry in master.done[ref].entries]
    assert [c.candidate_id for c in done] == [f"make/{i}" for i in range(60)]
    assert all(0 <= c.properties["echo"] < 1 for c in done)
    assert [p.calculator for p in done[0].provenance] == ["echo.map", "echo.map"]


async def test_a_source_makes_its_range_and_says_where_it_ends(master):
    master.define(("nasty.source", {"count": 7, "stillborn_every": 3}), shape="source")
    refs = master.run(2, per_task=5, entries=False)
    await master.outcomes(refs)
    first, second = (master.done[ref] for ref in refs)
    assert len(first.entries) == 3
    assert first.drop_counts == {"stillborn": 2}
    assert [drop.candidate_id for drop in decode_drops(first.drops)] == ["job0/1", "job0/4"]
    assert (first.end_of_source, second.end_of_source) == (None, 7)
    assert len(second.entries) == 2


@pytest.mark.parametrize(
    ("mode", "failure", "words"),
    [
        ("raise", "calculation", "imaginary corners"),
        ("garbage", "calculation", "yielded a str"),
        ("too-few", "calculation", "neither a candidate nor a Drop"),
        ("stranger", "calculation", "both kept and dropped"),
        ("segfault", "calculation", "SIGSEGV"),
        ("exit", "calculation", "exit code 3"),
        ("kill", "calculation", "SIGKILL"),
    ],
)
async def test_what_goes_wrong_is_told_and_costs_only_its_task(master, mode, failure, words):
    fault = await one_fault(master, ("nasty.fault", {"mode": mode, "every": 1}))
    assert fault.failure == failure
    assert words in fault.message
    if mode == "segfault":
        assert "string_at" in fault.detail, "faulthandler's traceback is passed on"
    await works_still(master)


async def test_a_memory_error_is_a_memory_failure(master):
    fault = await one_fault(master, act("memory-error"))
    assert fault.failure == "memory"
    await works_still(master)


async def test_others_in_hand_survive_a_memory_error(master, tmp_path):
    master.define(act("memory-error-once", note=str(tmp_path / "note")))
    refs = master.run(300)
    await master.outcomes(refs)
    assert len(master.faults) == 1
    assert len(master.done) == 299


async def test_sys_exit_is_a_failure_of_the_task(master):
    fault = await one_fault(master, act("sys-exit"))
    assert "sys.exit('enough')" in fault.message


async def test_a_calculator_that_cannot_be_opened_fails_its_tasks(master):
    fault = await one_fault(master, "nasty.unloadable")
    assert "weights.pt" in fault.message
    await works_still(master)


async def test_wrong_parameters_are_the_users_fault(master):
    fault = await one_fault(master, ("echo.map", {"secnods": 1}))
    assert fault.failure == "user"
    assert "secnods" in fault.message
    fault = await one_fault(master, "echo.mpa")
    assert fault.failure == "user"


async def test_a_chatty_worker_leaves_its_last_words(master):
    fault = await one_fault(master, act("chatty"))
    assert fault.detail.endswith("last words")
    assert len(fault.detail) < 10_000


async def test_an_orphan_that_holds_the_link_open_is_no_hindrance(master, agent):
    fault = await one_fault(master, act("orphan"))
    assert "exit code 7" in fault.message
    await works_still(master)
    idle = [pid for pid in marked_members(agent.identity["agent_id"])]
    states = [process_of(pid) for pid in idle]
    assert len([s for s in states if s and s.pid == s.session]) == len(idle), "the orphan is gone"


@pytest.mark.parametrize("mode", ["babble", "lie", "hang-up"])
async def test_one_that_spoils_its_link_is_ended(master, agent, mode):
    fault = await one_fault(master, act(mode, seconds=60.0))
    assert fault.failure == "calculation"
    assert "link" in fault.message
    await works_still(master)
    living = [process_of(pid) for pid in marked_members(agent.identity["agent_id"])]
    assert len([p for p in living if p]) <= 2, "who spoiled it is gone"


async def test_what_a_worker_prints_without_end_is_cut(master, agent):
    master.define(act("flood", seconds=1.0))
    (ref,) = master.run(1)
    await master.outcomes([ref])
    assert ref in master.done
    logs = list((agent.state / "workers").iterdir())
    assert logs
    assert all(log.stat().st_size < 64 * 2**20 for log in logs)


async def test_an_endless_loop_meets_its_walltime(master):
    began = time.monotonic()
    fault = await one_fault(master, ("nasty.fault", {"mode": "loop", "every": 1}), walltime_s=0.5)
    assert fault.failure == "calculation"
    assert "walltime of 0.5 s" in fault.message
    assert 0.5 < time.monotonic() - began < 8
    await works_still(master)


async def test_one_that_is_deaf_to_sigterm_is_killed(master, agent):
    fault = await one_fault(
        master, ("nasty.fault", {"mode": "deaf-loop", "every": 1}), walltime_s=0.2
    )
    assert "walltime" in fault.message
    await works_still(master)


async def test_one_that_eats_memory_is_stopped_at_its_grant(master):
    fault = await one_fault(master, ("nasty.fault", {"mode": "memory", "every": 1}), memory_gib=0.3)
    assert fault.failure == "memory"
    assert "0.3 were granted" in fault.message
    await works_still(master)


async def test_one_that_fills_the_disk_is_stopped_at_its_quota(master):
    fault = await one_fault(master, act("fill", seconds=30.0), scratch_gib=0.01, scratch="local")
    assert "0.01 were granted" in fault.message


async def test_a_killed_worker_costs_only_the_task_that_ran(master, agent):
    master.define(act("sleep", seconds=0.3))
    refs = master.run(10, cores=2)
    await master.until(lambda: len(master.done) > 1)
    await asyncio.sleep(0.1)  # amid a task, not between two
    (worker,) = marked_members(agent.identity["agent_id"])
    os.kill(worker, signal.SIGKILL)
    await master.outcomes(refs)
    assert len(master.faults) == 1
    assert len(master.done) == 9


async def test_a_worker_is_pinned_limited_and_marked_for_the_oom_killer(master, tmp_path):
    note = tmp_path / "note"
    master.define(act("environment", note=str(note)))
    (ref,) = master.run(1, scratch="local")
    await master.outcomes([ref])
    cores, threads, score, folder, gpus = note.read_text().split("|")
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) >= 2:
        assert cores == str(usable[:1])
    assert (threads, gpus) == ("1", "")
    assert int(score) >= 500
    assert folder.startswith(str(tmp_path / "local"))
    assert Path(folder).parts[-1] == "job0-0-1.1"
    assert not list((tmp_path / "local").rglob("job0*")), "it is removed after the task"


async def test_light_jobs_share_workers_and_heavy_ones_do_not(master):
    master.define(act(""), job=0)
    master.define(act(""), job=1)
    master.define(("mischief.heavy", {}), job=2, affinity="weights")
    master.define(("mischief.heavy", {}), job=3, affinity="weights")
    pids = []
    for job in (0, 1, 2, 3):
        (ref,) = master.run(1, job=job, cores=2)
        await master.outcomes([ref])
        pids.append(properties(master, ref)[0]["worker"])
    assert pids[0] == pids[1]
    assert pids[2] == pids[3]
    assert pids[1] != pids[2]


async def test_a_job_that_is_defined_anew_runs_by_its_new_definition(master):
    """The warm worker is used again, and what was loaded for the old definition is not."""
    master.define(act(""), job=1)
    pids = set()
    for payload_bytes in (10, 5000, 5000, 10):
        step = ("echo.source", {"count": 100, "payload_bytes": payload_bytes})
        master.define(step, job=0, shape="source")
        refs = [*master.run(3, job=0, first=master.n, cores=2, entries=False)]
        (ref,) = master.run(1, job=1, cores=2)
        await master.outcomes([*refs, ref])
        sizes = {len(decode_entry(master.done[r].entries[0]).data["payload"]) for r in refs}
        assert sizes == {payload_bytes}
        pids.add(properties(master, ref)[0]["worker"])
    assert len(pids) == 1


async def test_a_job_may_be_defined_anew_while_it_runs(master):
    master.define(act("sleep", seconds=3.0))
    before = master.run(4, cores=1)
    await master.until(lambda: any(len(load.running) == 2 for load in master.loads))
    master.define(act("sys-exit"))
    await master.outcomes(before)
    assert master.done.keys() == set(before[:2]), "what ran went on"
    assert master.faults.keys() == set(before[2:]), "what waited begins by the new definition"


async def test_tasks_behind_a_slow_one_go_to_others(master, tmp_path):
    master.define(act("sleep", seconds=0.0001))
    await master.outcomes(master.run(200))  # now they are known to be short
    master.define(act("first-slow", seconds=8.0, note=str(tmp_path / "note")))
    began = time.monotonic()
    refs = master.run(300, first=500)
    await master.until(lambda: len(master.done) >= 499)
    assert time.monotonic() - began < 6, "299 tasks did not wait for one"
    master.send(CancelTasks([ref for ref in refs if ref not in master.done], "seen enough"))
    await master.outcomes(refs)


async def test_a_cancelled_task_is_given_back(master):
    master.define(act("sleep", seconds=20.0))
    refs = master.run(4)
    await master.until(lambda: any(len(load.running) == 2 for load in master.loads))
    master.send(CancelTasks([refs[0], refs[3]], "not needed"))
    await master.outcomes([refs[0], refs[3]])
    assert master.given_back == {refs[0]: "not needed", refs[3]: "not needed"}
    assert not master.faults


async def test_the_load_tells_what_runs(master):
    master.define(("mischief.count", {"to": 400, "note": "/dev/null"}), checkpoint="state")
    (ref,) = master.run(1)
    await master.until(lambda: any(load.running and load.running[0].done for load in master.loads))
    (row,) = next(load.running for load in master.loads if load.running and load.running[0].done)
    assert row[:4] == ref
    assert 0 < row.done < row.total == 400
    assert row.rss_gib > 0.01
    assert 0.5 < row.elapsed_s < 15


async def test_a_soft_stop_saves_and_a_retry_goes_on(master, tmp_path):
    note = tmp_path / "note"
    master.define(
        ("mischief.count", {"to": 40, "pause_s": 0.03, "note": str(note)}), checkpoint="state"
    )
    (ref,) = master.run(1)
    await master.until(lambda: bool(master.loads) and bool(master.loads[-1].running))
    master.send(CancelTasks([ref], "make room", soft=True))
    await master.outcomes([ref])
    assert master.given_back == {ref: "make room"}
    assert (tmp_path / "checkpoints" / "job0" / "0" / "state").exists()
    (retry,) = master.run(1)
    await master.outcomes([retry])
    assert properties(master, retry)[0]["started_at"] > 0
    assert note.read_text().split() == [str(i) for i in range(40)], "no step was taken twice"
    await gone(tmp_path / "checkpoints" / "job0" / "0")


async def test_a_retry_begins_behind_the_steps_that_were_finished(master, tmp_path):
    once, note = tmp_path / "once", tmp_path / "note"
    first = ("mischief.count", {"to": 3, "pause_s": 0.01, "note": str(note)})
    second = ("mischief.count", {"to": 99, "pause_s": 0.05, "note": str(once)})
    master.define(first, second, checkpoint="state")
    (ref,) = master.run(1)
    await master.until(lambda: bool(master.loads) and once.exists())
    master.send(CancelTasks([ref], "make room", soft=True))
    await master.outcomes([ref])
    (retry,) = master.run(1)
    await master.outcomes([retry])
    assert note.read_text().split() == ["0", "1", "2"], "the first step ran once"
    assert once.read_text().split() == [str(i) for i in range(99)]
    candidate = decode_entry(master.done[retry].entries[0])
    assert len(candidate.provenance) == 2


async def test_a_keyed_task_sees_what_its_keys_have_kept(master):
    from support.agents import make_entry

    from stargen.messages import AttemptRef, RunTasks, TaskOrder
    from stargen.model import Resources
    from stargen.scheduling.nodelist import resources_form

    master.define(("echo.keyed", {"keep": 2}), shape="keyed")
    order = TaskOrder(0, 1, 0, 2, [make_entry(1), make_entry(2)], [make_entry(0)])
    master.send(RunTasks(0, resources_form(Resources()), 0, [order]))
    ref = AttemptRef(0, 0, 1, 1)
    await master.outcomes([ref])
    assert len(master.done[ref].entries) == 1
    assert master.done[ref].drop_counts == {"formula seen before": 1}


async def test_a_steered_source_makes_its_ordinals_with_the_parameters_of_its_order(master):
    from stargen.codec import pack
    from stargen.messages import AttemptRef, RunTasks, TaskOrder
    from stargen.model import Resources
    from stargen.scheduling.nodelist import resources_form

    master.define(("echo.source", {"count": 100, "payload_bytes": 10}), shape="source")
    orders = [
        TaskOrder(0, 1, 0, 1, [], []),
        TaskOrder(1, 2, 1, 2, [], [], pack({"payload_bytes": 5000})),
        TaskOrder(2, 3, 2, 3, [], []),
    ]
    master.send(RunTasks(0, resources_form(Resources()), 0, orders))
    refs = [AttemptRef(0, i, 1, i + 1) for i in range(3)]
    await master.outcomes(refs)
    sizes = [len(master.done[ref].entries[0]) for ref in refs]
    assert sizes[1] > 5000
    assert max(sizes[0], sizes[2]) < 300
    hashes = {decode_entry(master.done[r].entries[0]).provenance[0].params_hash for r in refs}
    assert len(hashes) == 2, "provenance names the parameters that were used"
