"""Control groups: made where they may be, and what the kernel does then."""

import asyncio
import os
import subprocess
import sys

import pytest
from support.agents import AgentProcess, ScriptedMaster

from stargen.executing.cgroups import MemoryGroups


@pytest.fixture
def groups():
    made = MemoryGroups.made_for(f"stargen-test-{os.getpid()}")
    if made is None:
        pytest.skip("this user may make no memory control groups here")
    yield made
    made.remove()


def second_version(root, own, controllers="cpu memory", path="/user/scope"):
    """The files of a version 2 tree, as far as they are looked at."""
    base = root / path.lstrip("/")
    base.mkdir(parents=True)
    (base / "cgroup.controllers").write_text(controllers)
    own.write_text(f"0::{path}\n")
    return base


def test_in_version_2_the_agent_goes_into_a_leaf_and_hands_the_controller_down(tmp_path):
    base = second_version(tmp_path / "fs", tmp_path / "own")
    groups = MemoryGroups.made_for("agent-1", tmp_path / "fs", tmp_path / "own")
    assert groups is not None
    assert groups.folder == base / "agent-1"
    assert (base / "agent-1.agent" / "cgroup.procs").read_text() == str(os.getpid())
    assert (base / "cgroup.subtree_control").read_text() == "+memory"
    assert (base / "agent-1" / "cgroup.subtree_control").read_text() == "+memory"


def test_a_limit_leaves_watching_the_first_word(tmp_path):
    second_version(tmp_path / "fs", tmp_path / "own")
    groups = MemoryGroups.made_for("agent-1", tmp_path / "fs", tmp_path / "own")
    folder = groups.folder / "worker-5"
    folder.mkdir()
    (folder / "memory.max").touch()
    (folder / "memory.events").write_text("low 0\noom 3\noom_kill 2\n")
    group = groups.group("worker-5")
    group.add(4711)
    group.hold_to(2.0)
    assert 2.0 * 2**30 < int((folder / "memory.max").read_text()) < 2.3 * 2**30
    assert (folder / "cgroup.procs").read_text() == "4711"
    assert group.kills() == 2
    group.hold_to(0.0)
    assert (folder / "memory.max").read_text() == "max"
    (folder / "memory.max").unlink()
    group.hold_to(0.0)
    assert not (folder / "memory.max").exists(), "what holds already is not written again"


@pytest.mark.parametrize("controllers", ["cpu io", "hugetlb", ""])
def test_without_the_controller_there_are_none(tmp_path, controllers):
    second_version(tmp_path / "fs", tmp_path / "own", controllers)
    assert MemoryGroups.made_for("agent-1", tmp_path / "fs", tmp_path / "own") is None


def test_where_nothing_is_known_of_groups_there_are_none(tmp_path):
    assert MemoryGroups.made_for("agent-1", tmp_path, tmp_path / "nothing") is None
    (tmp_path / "own").write_text("nonsense\n")
    assert MemoryGroups.made_for("agent-1", tmp_path, tmp_path / "own") is None


def test_the_kernel_ends_what_takes_too_much(groups):
    group = groups.group("greedy")
    group.hold_to(0.05)
    text = "import os; os.read(0, 1); bytearray(2**30)"
    with subprocess.Popen([sys.executable, "-S", "-c", text], stdin=subprocess.PIPE) as greedy:
        group.add(greedy.pid)
        greedy.communicate(b"x", timeout=20)
    assert greedy.returncode == -9
    assert group.kills() == 1
    group.remove()
    assert not group.folder.exists()


async def test_workers_and_programs_that_are_too_fast_to_be_watched(groups, tmp_path):
    step = ("mischief.act", {"mode": "gulp"})
    program = ("exec.run", {"argv": [sys.executable, "-S", "-c", "bytearray(2**30)"]})
    with AgentProcess(tmp_path, "--cores", "2") as agent:
        async with ScriptedMaster(agent) as master:
            mine = groups.folder.with_name(f"stargen-{agent.identity['agent_id']}")
            assert mine.is_dir()
            master.define(step, job=0)
            master.define(program, job=1, program=True)
            refs = [*master.run(1, job=0, memory_gib=0.2), *master.run(1, job=1, memory_gib=0.2)]
            await master.outcomes(refs)
            assert {master.faults[ref].failure for ref in refs} == {"memory"}
            step = ("mischief.act", {"mode": "sleep", "seconds": 0.01})
            master.define(step, job=2)
            (ref,) = master.run(1, job=2, memory_gib=1.0)
            await master.outcomes([ref])
            assert ref in master.done
        assert await asyncio.to_thread(agent.stop) == 0
        assert not mine.exists()
