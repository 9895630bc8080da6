"""SIGTERM to every process of a node, as a batch system sends it; the agent may get it last."""

import asyncio
import os
import signal
import time

import pytest
from support.agents import AgentProcess, ScriptedMaster

from stargen.processes import marked_attempts, marked_members

PROGRAM = ("exec.run", {"argv": ["sleep", "20"]})


@pytest.fixture
def agent(tmp_path):
    with AgentProcess(tmp_path) as process:
        yield process


@pytest.fixture
async def master(agent):
    async with ScriptedMaster(agent) as connected:
        yield connected


def act(mode, seconds=0.0):
    return ("mischief.act", {"mode": mode, "seconds": seconds})


def members(agent):
    return marked_members(agent.identity["agent_id"])


def terminate(pids):
    for pid in pids:
        os.kill(pid, signal.SIGTERM)


async def started(master, agent, step, processes, *, program=False):
    """Two tasks under way, with so many processes under the agent."""
    master.define(step, program=program)
    refs = master.run(2)
    async with asyncio.timeout(15):
        while len(members(agent)) < processes:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)
    return refs


@pytest.mark.parametrize(
    ("step", "program", "processes"),
    [(act("sleep", 20), False, 2), (act("nap", 20), False, 4), (PROGRAM, True, 4)],
    ids=["python", "python with a program", "program"],
)
@pytest.mark.parametrize("head_start_s", [0.0, 0.5])
async def test_who_gets_it_before_the_agent_gives_back(
    master, agent, step, program, processes, head_start_s
):
    refs = await started(master, agent, step, processes, program=program)
    terminate(members(agent))
    await asyncio.sleep(head_start_s)
    assert await asyncio.to_thread(agent.stop) == 0
    await master.until(lambda: master.goodbye is not None)
    assert not master.faults
    assert master.given_back == dict.fromkeys(refs, "SIGTERM")


async def test_a_worker_that_alone_gets_it_goes_on(master, agent):
    refs = await started(master, agent, act("sleep", 1.5), 2)
    terminate(members(agent))
    await master.outcomes(refs)
    assert master.done.keys() == set(refs)


async def test_a_program_that_alone_gets_it_has_failed(master, agent):
    refs = await started(master, agent, PROGRAM, 4, program=True)
    began = time.monotonic()
    terminate(marked_attempts(f"{agent.identity['agent_id']}."))
    await master.outcomes(refs)
    assert time.monotonic() - began > 1.0, "the agent had time to say that it must end"
    assert {(f.failure, f.message) for f in master.faults.values()} == {
        ("calculation", "sleep was killed by SIGTERM")
    }


async def test_forks_of_a_calculator_end_by_it(master):
    master.define(act("pool", 5.0))
    refs = master.run(1)
    await master.outcomes(refs)
    assert master.done.keys() == set(refs), master.faults
