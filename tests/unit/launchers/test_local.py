"""The local launcher, with a process that speaks the protocol and does nothing else."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from stargen.config import Limits, Pool
from stargen.errors import AgentGone, NodeError
from stargen.launchers.agentprocess import command, log_file, start
from stargen.launchers.base import NodeSpec
from stargen.launchers.local import LocalLauncher
from stargen.messages import Attach, Inventory, decode, encode
from stargen.processes import AGENT_MARK, process_of
from stargen.transport.greeting import Identity
from stargen.transport.session import USUAL

AGENT = """
import asyncio, os, subprocess, sys, time
from pathlib import Path
from stargen.messages import Attach, Inventory, decode, encode
from stargen.transport.greeting import Identity
from stargen.transport.local import serve_unix

options = dict(a.removeprefix("--").split("=", 1) for a in sys.argv[3:])
CHILD = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"

async def main():
    print("here I am", flush=True)
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD], env=os.environ | {"MARK": "id.1"}, start_new_session=True
    )
    links = []
    await serve_unix(Path(options["socket"]), Identity("agent", options["campaign-id"], "stub"),
                     links.append, expects="master")
    while True:
        for link in list(links):
            links.remove(link)
            await link.receive()
            link.send(encode(Inventory("c", "id", 1, "b", "h", os.getpid(), [], [], [])))
            link.send(str(child.pid).encode())
        await asyncio.sleep(0.01)

asyncio.run(main())
""".replace("MARK", AGENT_MARK)


def node(tmp_path: Path, agent: str = AGENT, **settings) -> NodeSpec:
    script, interpreter = tmp_path / "stub.py", tmp_path / "python"
    script.write_text(agent)
    interpreter.write_text(f'#!/bin/sh\nexec {sys.executable} {script} "$@"\n')
    interpreter.chmod(0o755)
    return NodeSpec(
        name="n1",
        pool="local",
        settings=Pool(interpreter=str(interpreter), **settings),
        campaign_id="c",
        campaign_folder=tmp_path,
        run_folder=tmp_path,
        socket=tmp_path / "socket",
        lease_s=60.0,
    )


@contextmanager
def swept(spec):
    """Nothing is left of a test that fails."""
    try:
        yield
    finally:
        asyncio.run(LocalLauncher().stop(spec, "id", 0.1))


async def greeted(spec) -> tuple[int, int]:
    """The pids of the agent and of its child."""
    access = await LocalLauncher().start(spec)
    link = await access.connect(Identity("master", "c"), USUAL)
    link.send(encode(Attach("c", 1, "me", 60.0)))
    got: list[bytes] = []
    while len(got) < 2:
        got += await link.receive()
    await link.close()
    inventory = decode(got[0])
    assert isinstance(inventory, Inventory)
    return inventory.pid, int(got[1])


def test_an_agent_is_started_in_a_session_of_its_own_and_found_again(tmp_path):
    spec = node(tmp_path)
    with swept(spec):
        pid, _ = asyncio.run(greeted(spec))
        process = process_of(pid)
        assert process.session == process.group == pid != os.getsid(0)
        assert "here I am" in log_file(spec).read_text()
        assert f"process {pid}" in LocalLauncher().describe(spec)
        assert asyncio.run(greeted(spec))[0] == pid


def test_two_starts_at_once_make_one_agent(tmp_path):
    spec = node(tmp_path)
    with swept(spec), ThreadPoolExecutor(4) as several:
        pids = set(several.map(start, [spec] * 4))
        assert len(pids) == 1
        assert log_file(spec).read_text().count("here I am") == 1


def test_a_start_says_what_the_agent_said_last(tmp_path):
    with pytest.raises(AgentGone, match="no module named numpy"):
        start(node(tmp_path, 'import sys; sys.exit("no module named numpy")'))


def test_stopping_leaves_nothing_behind(tmp_path):
    spec = node(tmp_path)
    with swept(spec):
        pid, child = asyncio.run(greeted(spec))
        assert process_of(child)
        assert asyncio.run(LocalLauncher().stop(spec, "id", 0.5)) == []
        assert process_of(pid) is None
        assert process_of(child) is None  # although it ignores SIGTERM
        assert "not running" in LocalLauncher().describe(spec)


def test_an_agent_that_was_killed_is_known_to_be_gone_and_replaced(tmp_path):
    spec = node(tmp_path)
    with swept(spec):
        pid, _ = asyncio.run(greeted(spec))

        async def main():
            access = await LocalLauncher().start(spec)
            assert not access.is_gone()
            os.kill(pid, signal.SIGKILL)
            while process_of(pid):  # noqa: ASYNC110 - a process tells nobody
                await asyncio.sleep(0.01)
            assert access.is_gone()

        asyncio.run(main())
        assert asyncio.run(greeted(spec))[0] != pid


def test_the_last_words_of_an_agent_that_dies_at_once_are_passed_on(tmp_path):
    spec = node(tmp_path, 'import sys; sys.exit("no module named numpy")')

    async def main():
        access = await LocalLauncher().start(spec)
        await access.connect(Identity("master", "c"), USUAL)

    with pytest.raises(AgentGone, match="no module named numpy"):
        asyncio.run(main())


def test_an_interpreter_that_is_not_there_is_said(tmp_path):
    spec = node(tmp_path)
    Path(spec.settings.interpreter).unlink()
    with pytest.raises(NodeError, match="cannot be started"):
        asyncio.run(LocalLauncher().start(spec))


def test_setup_lines_run_first_and_a_failing_one_is_told(tmp_path):
    spec = node(tmp_path, setup=("echo loading vasp", "module load vasp"))

    async def main():
        access = await LocalLauncher().start(spec)
        await access.connect(Identity("master", "c"), USUAL)

    with pytest.raises(AgentGone, match="loading vasp"):
        asyncio.run(main())


def test_the_command_states_what_the_site_file_states(tmp_path):
    limits = Limits(cores=3, memory_gib=8.0, custom={"licences": 2.0})
    words = command(node(tmp_path, limits=limits, scratch="/fast"))
    assert {"--cores=3", "--memory-gib=8.0", "--custom=licences=2.0", "--scratch=/fast"} <= set(
        words
    )
    assert not any(word.startswith("--gpus") for word in words)
