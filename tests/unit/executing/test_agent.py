"""One real agent and the masters that come and go."""

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import time

import pytest
from support.agents import AgentProcess, ScriptedMaster

from stargen.errors import LinkLost
from stargen.messages import Drain, Shutdown, TakeBack
from stargen.processes import marked_members, process_of

SLEEP = ("mischief.act", {"mode": "sleep", "seconds": 30.0})


def short(seconds):
    return ("mischief.act", {"mode": "sleep", "seconds": seconds})


def mine(agent):
    """Every process that the agent has started."""
    return marked_members(agent.identity["agent_id"])


async def running(master, count):
    await master.until(lambda: any(len(load.running) == count for load in master.loads))


async def test_the_inventory_says_who_and_what(master, agent):
    inventory = master.inventory
    assert inventory.pid == agent.process.pid
    assert inventory.agent_id == agent.identity["agent_id"]
    assert (inventory.incarnation, inventory.running, inventory.spooled) == (1, [], [])
    assert inventory.resources[0] == 2
    assert stat.S_IMODE(agent.socket.stat().st_mode) == 0o600


async def test_work_goes_on_without_a_master_and_is_handed_to_the_next(agent):
    first = await ScriptedMaster(agent, epoch=1).connect()
    first.define(short(0.5))
    refs = first.run(6)
    await first.outcomes(refs[:1])
    await first.close()
    await asyncio.sleep(2.0)
    second = await ScriptedMaster(agent, epoch=2, name="host:2").connect()
    await second.outcomes([ref for ref in refs if ref not in first.done])
    assert second.inventory.spooled, "some ended while nobody was there"
    assert not second.faults
    assert not second.given_back
    assert first.done.keys() | second.done.keys() == set(refs)
    await second.close()


async def test_running_tasks_are_kept_not_restarted(agent):
    first = await ScriptedMaster(agent, epoch=1).connect()
    first.define(short(3.0))
    (ref,) = first.run(1)
    await running(first, 1)
    workers = mine(agent)
    await first.close()
    second = await ScriptedMaster(agent, epoch=2).connect()
    assert second.inventory.running == [ref]
    await second.outcomes([ref])
    assert second.done[ref].duration_s >= 3.0
    assert mine(agent) == workers


async def test_waiting_tasks_are_kept_too(agent):
    first = await ScriptedMaster(agent, epoch=1).connect()
    first.define(short(0.3))
    refs = first.run(9)
    await first.outcomes(refs[:1])
    await first.close()
    second = await ScriptedMaster(agent, epoch=2).connect()
    assert set(second.inventory.running) | set(second.inventory.spooled) >= set(refs[2:])
    await second.outcomes(set(refs) - first.done.keys())
    await second.close()


async def test_what_the_next_master_does_not_know_is_stopped(agent):
    first = await ScriptedMaster(agent, epoch=1).connect()
    first.define(SLEEP)
    refs = first.run(4)
    await running(first, 2)
    await first.close()
    second = await ScriptedMaster(agent, epoch=2).connect(settle=False)
    assert set(second.inventory.running) == set(refs)
    second.settle(keep=refs[:1])
    await second.outcomes(refs[1:])
    await running(second, 1)
    assert refs[0] not in second.given_back
    await second.close()


async def test_what_the_master_does_not_settle_is_not_delivered(agent):
    first = await ScriptedMaster(agent, epoch=1).connect()
    first.acknowledges = False
    first.define(short(0.0))
    refs = first.run(3)
    await first.outcomes(refs)
    await first.close()
    second = await ScriptedMaster(agent, epoch=2).connect(settle=False)
    assert set(second.inventory.spooled) == set(refs)
    await asyncio.sleep(0.3)
    assert not second.done, "nothing before the inventory is settled"
    second.settle(deliver=refs[:1], cancel=refs[1:2])
    await second.outcomes(refs[:1])
    await second.close()
    third = await ScriptedMaster(agent, epoch=3).connect()
    assert third.inventory.spooled == []
    await third.close()


async def test_a_lower_epoch_is_refused_and_a_higher_one_takes_over(agent):
    old = await ScriptedMaster(agent, epoch=5, name="host:5").connect()
    older = await ScriptedMaster(agent, epoch=4, name="host:4").connect()
    assert "host:5" in older.inventory.reason
    new = await ScriptedMaster(agent, epoch=6, name="host:6").connect()
    await old.until(lambda: old.goodbye is not None)
    assert "host:6 took over" in old.goodbye
    new.define("echo.map")
    await new.outcomes(new.run(3))
    await new.close()


async def test_the_fence_outlives_the_agent(agent):
    first = await ScriptedMaster(agent, epoch=5).connect()
    await first.close()
    agent.kill()
    agent.start()
    late = await ScriptedMaster(agent, epoch=4).connect()
    assert late.inventory.reason


async def test_a_master_on_another_host_has_to_take_over(agent):
    first = await ScriptedMaster(agent, epoch=1, name="host:1").connect()
    await first.close()
    other = await ScriptedMaster(agent, epoch=2, name="elsewhere:1").connect()
    assert "--takeover" in other.inventory.reason
    other = await ScriptedMaster(agent, epoch=2, name="elsewhere:1").connect(takeover=True)
    assert other.inventory.incarnation == 1
    await other.close()


async def test_another_campaign_is_refused(tmp_path):
    with AgentProcess(tmp_path, "--campaign-id", "other") as agent:
        stranger = await ScriptedMaster(agent).connect()
        assert "campaign other" in stranger.inventory.reason


async def test_an_unstarted_task_can_be_taken_back(master):
    master.define(SLEEP)
    refs = master.run(10)
    await running(master, 2)
    master.send(TakeBack(0, 3))
    await master.outcomes(refs[-3:])
    assert master.given_back.keys() == set(refs[-3:]), "the newest"


async def test_a_drained_agent_gives_back_what_waits_and_works_again_when_asked(master):
    master.define(short(1.5))
    refs = master.run(5)
    await running(master, 2)
    master.send(Drain("maintenance"))
    await master.outcomes(refs)
    assert master.given_back == dict.fromkeys(refs[2:], "maintenance")
    assert master.done.keys() == set(refs[:2]), "what ran went on"
    again = master.run(2, first=9)
    await master.outcomes(again)
    assert master.done.keys() == {*refs[:2], *again}


async def test_priorities_and_several_jobs(master):
    master.define(short(0.05), job=0)
    master.define(short(0.05), job=1)
    low = master.run(6, job=0, cores=2)
    high = master.run(6, job=1, cores=2, priority=5)
    await master.outcomes([*low, *high])
    order = [ref.job for ref in master.done]
    assert order.index(1) <= 2, "it came second but is more urgent"
    assert order[-1] == 0


async def test_impossible_tasks_are_refused(master):
    master.define("echo.map")
    (ref,) = master.run(1, cores=99)
    await master.outcomes([ref])
    assert master.faults[ref].failure == "infrastructure"
    assert "cores=99" in master.faults[ref].message


async def test_sigterm_leaves_nothing_behind(agent):
    master = await ScriptedMaster(agent).connect()
    master.define(SLEEP, job=0)
    deaf = f"{sys.executable} -S -c 'import signal, time; signal.signal(15, 1); time.sleep(60)'"
    shell = ["sh", "-c", f"setsid {deaf} & {deaf} & trap '' TERM; wait"]
    master.define(("exec.run", {"argv": shell}), job=1, program=True)
    refs = [*master.run(1, job=0), *master.run(1, job=1)]
    await running(master, 2)
    started = mine(agent)
    assert len(started) >= 5
    assert await asyncio.to_thread(agent.stop) == 0
    assert [pid for pid in started if process_of(pid)] == []
    assert not agent.socket.exists()
    await master.until(lambda: master.goodbye is not None)
    assert master.given_back == dict.fromkeys(refs, "SIGTERM")


async def test_shutdown_by_the_master_does_the_same(master, agent):
    master.define(SLEEP)
    master.run(2)
    await running(master, 2)
    started = mine(agent)
    master.send(Shutdown("the campaign is over"))
    assert await asyncio.to_thread(agent.process.wait, 10) == 0
    assert [pid for pid in started if process_of(pid)] == []
    assert master.goodbye == "the campaign is over"


async def test_a_soft_end_saves_checkpoints(agent, tmp_path):
    master = await ScriptedMaster(agent).connect()
    step = ("mischief.count", {"to": 500, "note": str(tmp_path / "note")})
    master.define(step, checkpoint="state")
    master.run(1)
    await running(master, 1)
    await asyncio.to_thread(agent.stop)
    assert (tmp_path / "checkpoints" / "job0" / "0" / "state").exists()


async def test_killed_agents_leave_their_results_and_no_processes(agent):
    first = await ScriptedMaster(agent, epoch=1).connect()
    first.acknowledges = False
    first.define(short(0.0), job=0)
    first.define(SLEEP, job=1)
    first.define(("exec.run", {"argv": ["sleep", "60"]}), job=2, program=True)
    done = first.run(5, job=0)
    await first.outcomes(done)
    first.run(1, job=1)
    first.run(1, job=2)
    await running(first, 2)
    started = mine(agent)
    agent.kill()
    with pytest.raises(LinkLost):
        await first.link.receive()
    agent.start()
    second = await ScriptedMaster(agent, epoch=2).connect()
    assert (second.inventory.incarnation, second.inventory.running) == (2, [])
    await second.outcomes(done)
    assert second.done == first.done, "the very same results"
    assert [pid for pid in started if process_of(pid)] == []
    await second.close()


async def test_an_agent_without_a_master_goes_when_its_lease_is_over(tmp_path):
    with AgentProcess(tmp_path, "--lease-s", "30") as agent:
        master = await ScriptedMaster(agent).connect(lease_s=1.0)
        note = tmp_path / "note"
        step = ("mischief.count", {"to": 999, "note": str(note)})
        master.define(step, checkpoint="state")
        master.run(1)
        await running(master, 1)
        started = mine(agent)
        await master.close()
        began = time.monotonic()
        assert await asyncio.to_thread(agent.process.wait, 15) == 0
        assert time.monotonic() - began > 0.9
        assert [pid for pid in started if process_of(pid)] == []
        assert (tmp_path / "checkpoints" / "job0" / "0" / "state").exists()


async def test_a_second_agent_in_the_same_place_is_refused(master, agent):
    command = [sys.executable, "-m", "stargen.executing.agent", "--node", "here"]
    command += ["--campaign-folder", str(agent.folder), "--socket", str(agent.folder / "b.sock")]
    run = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
    assert run.returncode == 2
    assert f"process {agent.process.pid}" in run.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--socket", "/tmp/" + "x" * 150], "at most 107 bytes"),
        (["--socket", "{folder}/none/s"], "No such file"),
        (["--socket", "{folder}/taken"], "in use"),
        (["--cores=-1"], "'-1' is not a whole number"),
        (["--memory-gib=nan"], "'nan' is not a number"),
        (["--custom", "licence=many"], "'many' is not a number"),
        (["--state", "{folder}/taken/state"], "Not a directory"),
        (["--scratch", "{folder}/taken"], "File exists"),
    ],
)
def test_an_agent_that_cannot_be_says_why(tmp_path, arguments, words):
    (tmp_path / "taken").touch()
    command = [sys.executable, "-m", "stargen.executing.agent", "--node", "here"]
    command += ["--campaign-folder", str(tmp_path), "--socket", str(tmp_path / "s")]
    command += [word.replace("{folder}", str(tmp_path)) for word in arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert run.returncode == 2
    assert words in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    "text", ["", "[1]", '{"agent_id": "../.."}', '{"agent_id": "00", "incarnation": "x"}']
)
async def test_a_damaged_memory_is_begun_anew(tmp_path, text):
    agent = AgentProcess(tmp_path)
    agent.state.mkdir(parents=True)
    (agent.state / "agent.json").write_text(text)
    (agent.state / "spool").mkdir()
    (agent.state / "spool" / "00000007.spool").write_bytes(os.urandom(100))
    (agent.state / "spool" / "notes.spool").write_text("not ours")
    with agent:
        async with ScriptedMaster(agent) as master:
            assert master.inventory.incarnation == 1
            assert len(bytes.fromhex(master.inventory.agent_id)) == 8
            master.define("echo.map")
            await master.outcomes(master.run(1))
            assert master.done


async def test_a_stopped_agent_goes_on_where_it_was(master, agent):
    master.define(short(0.3))
    refs = master.run(8)
    await master.until(lambda: master.done)
    agent.process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(1.5)
    agent.process.send_signal(signal.SIGCONT)
    await master.outcomes(refs)
    assert master.done.keys() == set(refs)


async def test_without_a_place_for_scratch_a_task_is_sent_elsewhere(agent, tmp_path):
    async with ScriptedMaster(agent) as master:
        shutil.rmtree(tmp_path / "local")
        (tmp_path / "local").write_text("a file where the folder should be")
        master.define("echo.map")
        (ref,) = master.run(1, scratch="local")
        await master.outcomes([ref])
        assert master.faults[ref].failure == "infrastructure"
        fine = master.run(2, first=5)
        await master.outcomes(fine)
        assert master.done.keys() == set(fine)


async def test_orders_for_an_unknown_job_end_the_link_and_not_the_agent(agent):
    master = await ScriptedMaster(agent).connect()
    master.run(1, job=77)
    await asyncio.wait([master._reader])
    again = await ScriptedMaster(agent).connect()
    assert again.inventory.running == []
    await again.close()


async def test_a_frozen_master_costs_no_result(agent):
    first = await ScriptedMaster(agent, epoch=1).connect()
    first.define(short(0.0))
    first._reader.cancel()  # it reads no more
    refs = first.run(500)
    await asyncio.sleep(2.0)
    second = await ScriptedMaster(agent, epoch=2).connect()
    await second.outcomes(refs)
    assert not second.faults
    await second.close()


def test_the_agent_is_small(agent):
    process = process_of(agent.process.pid)
    assert process.rss_pages * os.sysconf("SC_PAGESIZE") < 64 * 2**20
    script = "import sys, stargen.executing.agent; print('numpy' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert said.stdout.strip() == "False"


def test_a_stopped_agent_leaves_the_spool_to_its_successor(agent):
    async def scenario():
        first = await ScriptedMaster(agent, epoch=1).connect()
        first.acknowledges = False
        first.define("echo.map")
        refs = first.run(3)
        await first.outcomes(refs)
        await asyncio.to_thread(agent.stop)
        agent.start()
        second = await ScriptedMaster(agent, epoch=2).connect()
        assert set(second.inventory.spooled) == set(refs)
        await second.outcomes(refs)
        await second.close()

    asyncio.run(scenario())
    agent.process.send_signal(signal.SIGINT)
    assert agent.process.wait(10) == 0
