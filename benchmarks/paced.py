"""A campaign whose nodes take their time: so many tasks a second, as long as anybody looks.

`running(folder, ...)` runs one: a real master in a process of its own, which
`python benchmarks/paced.py` is, and below it one process with all nodes, which speak the real
protocol over UNIX sockets.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import mmap
import multiprocessing
import os
import random
import signal
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from common import HERE, ROOT
from simulated import wired
from where import COLLECTOR, SNAPSHOTS, VIEWERS, Sampler

sys.path.insert(0, str(ROOT / "tests"))

CORES = 24
TEXT = """
[campaign]
name = "paced"
[[job]]
name = "make"
use = "echo.source"
grain = 1
params = {{ count = {count} }}
"""


@dataclass
class Agent:
    """A node that takes its time: so many tasks at once, each as long as chance has it."""

    name: str
    link: Any = None
    epoch: int = 0
    waiting: deque[tuple[int, Any]] = field(default_factory=deque)
    running: dict[tuple[int, int], float] = field(default_factory=dict)
    look: Any = None
    look_ends_at: float = 0.0
    told_at: float = 0.0


class Machines:
    """All nodes in one process.

    Parameters
    ----------
    mean_s : mean length of a task
    """

    def __init__(self, sockets: list[str], mean_s: float) -> None:
        self.sockets = sockets
        self.mean_s = mean_s
        self.chance = random.Random(1)
        self.ends: list[tuple[float, int, Agent, int, Any]] = []
        self.jobs: dict[int, Any] = {}
        self.count = 0

    async def serve(self, ready: Event) -> None:
        """Until all agents have been shut down; `ready` is set when all listen."""
        from support.simulated_agents import listen

        agents = [Agent(Path(socket).name) for socket in self.sockets]
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(self._keep(agents))
            attending = [
                group.create_task(self._attend(agent, *await listen(Path(socket))))
                for agent, socket in zip(agents, self.sockets, strict=True)
            ]
            ready.set()
            await asyncio.wait(attending)
            keeping.cancel()

    async def _attend(self, agent: Agent, server: Any, met: asyncio.Future[Any]) -> None:
        from support.simulated_agents import _inventory

        from stargen import messages as m
        from stargen.errors import LinkLost

        agent.link = link = await met
        with suppress(LinkLost):
            while True:
                for payload in await link.receive():
                    message = m.decode(payload)
                    match message:
                        case m.RunTasks():
                            agent.waiting.extend((message.job, order) for order in message.tasks)
                            self._begin(agent)
                        case m.Look():
                            agent.look = message
                            agent.look_ends_at = time.monotonic() + message.for_s
                        case m.Attach():
                            agent.epoch = message.epoch
                            link.send(m.encode(_inventory(message, agent.name, CORES)))
                        case m.DefineJob():
                            self.jobs[message.job] = message
                        case m.TakeBack():
                            link.send(m.encode(m.GaveBack([], "")))
                        case m.Shutdown():
                            await link.close("shut down")
        agent.link = None
        server.close()

    def _begin(self, agent: Agent) -> None:
        now = time.monotonic()
        while agent.waiting and len(agent.running) < CORES:
            job, order = agent.waiting.popleft()
            ends = now + self.mean_s * self.chance.uniform(0.5, 1.5)
            agent.running[job, order.ordinal] = now
            self.count += 1
            heapq.heappush(self.ends, (ends, self.count, agent, job, order))

    async def _keep(self, agents: list[Agent]) -> None:
        while True:
            now = time.monotonic()
            self._finish(now)
            for agent in agents:
                self._tell(agent, now)
            await asyncio.sleep(0.02)

    def _finish(self, now: float) -> None:
        """Ends within a fiftieth of a second go in one message, as a real agent would send them."""
        from support.simulated_agents import entry

        from stargen import messages as m

        done: dict[tuple[int, int], tuple[Agent, int, list[Any]]] = {}
        while self.ends and self.ends[0][0] <= now:
            _, _, agent, job, order = heapq.heappop(self.ends)
            began = agent.running.pop((job, order.ordinal))
            name = self.jobs[job].name
            entries = [entry(f"{name}/{n}") for n in range(order.lo, order.hi)]
            row = m.TaskDone(order.ordinal, agent.epoch, order.n, now - began, entries)
            done.setdefault((id(agent), job), (agent, job, []))[2].append(row)
        for agent, job, rows in done.values():
            if agent.link is not None:
                agent.link.send(m.encode(m.TasksDone(job, rows)))
                self._begin(agent)

    def _tell(self, agent: Agent, now: float) -> None:
        from stargen import messages as m

        looked_at = now < agent.look_ends_at
        every_s = agent.look.every_s if looked_at else m.UNSEEN_S
        if agent.link is None or not agent.epoch or now - agent.told_at < every_s:
            return
        agent.told_at = now if agent.told_at else now - self.chance.uniform(0, every_s)
        rows = [
            m.RunningTask(job, ordinal, agent.epoch, 0, now - began, 0.0, 0.0, 0.5)
            for (job, ordinal), began in agent.running.items()
        ]
        share = 100.0 * len(rows) / CORES
        load = m.Load(share, 40.0, 96.0, 400.0, len(agent.waiting), rows, [], 1.0, 55.0)
        agent.link.send(m.encode(load))


def serve_machines(sockets: list[str], mean_s: float, ready: Event) -> None:
    asyncio.run(Machines(sockets, mean_s).serve(ready))


# --- what viewers cost ----------------------------------------------------------------------------


class Told(Sampler):
    """A sampler that can be read from outside at any time, by `told_s`."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        file.write_bytes(bytes(_TOLD.size))
        with file.open("r+b") as opened:
            self._shared = mmap.mmap(opened.fileno(), _TOLD.size)

    def _look(self, number: int, frame: Any) -> None:
        super()._look(number, frame)
        stages = self.stages
        _TOLD.pack_into(self._shared, 0, stages[VIEWERS], stages[SNAPSHOTS] + stages[COLLECTOR])


_TOLD = struct.Struct("<dd")


def told_s(folder: Path) -> tuple[float, float]:
    """CPU time of the master in `folder`: for its viewers; and for what comes in large pieces.

    The latter are snapshots and collections of garbage, of up to half a second once a minute.
    """
    return _TOLD.unpack((folder / "viewers").read_bytes())


# --- the processes --------------------------------------------------------------------------------


@contextmanager
def running(folder: Path, *, nodes: int, tasks: int, rate: float) -> Iterator[int]:
    """The campaign in `folder`/out, until the end of the context; the process of its master.

    Parameters
    ----------
    rate : tasks that the nodes finish a second
    """
    file = folder / "campaign.toml"
    file.write_text(TEXT.format(count=tasks))
    command = [sys.executable, str(HERE / "paced.py"), str(file)]
    command += ["--nodes", str(nodes), "--rate", str(rate)]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        yield process.pid
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--nodes", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    options = parser.parse_args()
    master, sockets = wired(options.file, options.nodes)
    context = multiprocessing.get_context("spawn")
    mean_s = options.nodes * CORES / options.rate
    ready = context.Event()
    context.Process(target=serve_machines, args=(sockets, mean_s, ready), daemon=True).start()
    ready.wait()
    with Told(options.file.parent / "viewers"):
        asyncio.run(master.run())


if __name__ == "__main__":
    main()
