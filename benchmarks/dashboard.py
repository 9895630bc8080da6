"""What looking costs: `python benchmarks/dashboard.py`.

A real master with simulated nodes that finish so many tasks a second, and the real `stargen top`
in a terminal of 160 by 50. Stretches without and with a viewer take turns; CPU is what the system
says that each process used. Then keys are pressed, and the time until their effect is written to
the terminal is taken. In the end the viewer's journal is folded again, to see that what was shown
is what happened.

    python benchmarks/dashboard.py --seconds 15 --turns 3
    python benchmarks/dashboard.py --nodes 200 --rate 500    # a smaller one
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import heapq
import multiprocessing
import os
import pty
import random
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common import ROOT, median, save, scratch, table, verdict

sys.path.insert(0, str(ROOT / "tests"))

CORES = 24
SIZE = (160, 50)
LOOK_S = 10.0
UNSEEN_S = 10.0
TEXT = """
[campaign]
name = "dashboard"
[[job]]
name = "make"
use = "echo.source"
grain = 1
params = {{ count = {count} }}
"""

# --- the nodes ------------------------------------------------------------------------------------


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

    async def serve(self) -> None:
        agents = [Agent(Path(socket).name) for socket in self.sockets]
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(self._keep(agents))
            attending = [
                group.create_task(self._attend(agent, Path(socket)))
                for agent, socket in zip(agents, self.sockets, strict=True)
            ]
            await asyncio.wait(attending)
            keeping.cancel()

    async def _attend(self, agent: Agent, socket: Path) -> None:
        from support.simulated_agents import _inventory

        from stargen import messages as m
        from stargen.errors import LinkLost
        from stargen.transport.greeting import Identity
        from stargen.transport.local import serve_unix

        met: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        server = await serve_unix(
            socket, Identity("agent", "", socket.name), met.set_result, expects="master"
        )
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
                            link.send(m.encode(_inventory(message, socket.name, CORES)))
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
        every_s = agent.look.every_s if looked_at else UNSEEN_S
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


def serve_machines(sockets: list[str], mean_s: float) -> None:
    asyncio.run(Machines(sockets, mean_s).serve())


# --- the master -----------------------------------------------------------------------------------


def run_master(file: Path, nodes: int, rate: float) -> None:
    """The process of the master, and below it that of the nodes."""
    from support.simulated_agents import SimulatedLauncher

    from stargen.config import Pool, Settings
    from stargen.master.launch import Wiring

    names = [f"n{i:04}" for i in range(nodes)]
    master = Wiring(
        file,
        settings=Settings(pool={"simulated": Pool(hosts=tuple(names))}),
        folder=file.parent / "out",
        launcher=lambda name: SimulatedLauncher(),
    )
    master.folder.prepare()
    sockets = [str(master.folder.socket(f"agent-{name}")) for name in names]
    context = multiprocessing.get_context("spawn")
    mean_s = nodes * CORES / rate
    context.Process(target=serve_machines, args=(sockets, mean_s), daemon=True).start()
    asyncio.run(master.run())


def cpu_s(pid: int) -> float:
    """CPU time of a process, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# --- the viewer -----------------------------------------------------------------------------------


class Viewer:
    """`stargen top` in a terminal of its own."""

    def __init__(self, folder: Path) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm-256color", COLORTERM="truecolor", LANG="C.UTF-8")
            command = [sys.executable, "-m", "stargen.cli", "top", "--campaign", str(folder)]
            os.execv(sys.executable, command)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE[1], SIZE[0], 0, 0))
        self.bytes = 0
        self._tail = ""
        self._seen = threading.Condition()
        self._waits: Callable[[str], bool] | None = None
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with suppress(OSError):
            while data := os.read(self.fd, 65536):
                with self._seen:
                    self.bytes += len(data)
                    self._tail = (self._tail + data.decode(errors="replace"))[-200_000:]
                    self._seen.notify_all()

    def wait_for(self, pattern: str, limit_s: float) -> None:
        """Until a text has been written since the last key."""
        wanted = re.compile(pattern)
        with self._seen:
            if not self._seen.wait_for(lambda: wanted.search(self._tail), limit_s):
                raise TimeoutError(f"{pattern} is not shown: {self._tail[-2000:]!r}")

    def press(self, key: str, pattern: str) -> float:
        """Seconds until a key's effect is in the terminal."""
        with self._seen:
            self._tail = ""
        began = time.perf_counter()
        os.write(self.fd, key.encode())
        self.wait_for(pattern, 10.0)
        return time.perf_counter() - began

    def close(self) -> None:
        os.write(self.fd, b"q")
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        with suppress(OSError):
            os.close(self.fd)


KEYS = (
    ("2", "nodes by"),
    ("\t", "▶"),
    ("\x1b[B", "▶"),
    ("s", "state"),
    ("3", "what came of it"),
    ("\x1b[B", "▶"),
    ("\x1b[A", "▶"),
    ("5", "candidates of"),
    ("6", "TasksAssigned|TasksFinished"),
    ("\x1b[B", "▶"),
    ("7", "not at work|allocation"),
    ("?", "Keys"),
    ("\x1b", "pools|allocation"),
    ("1", "events"),
)


def latencies(viewer: Viewer, rounds: int) -> list[float]:
    """Of every key in turn, at the pace of a person in a hurry."""
    found: list[float] = []
    for _ in range(rounds):
        for key, pattern in KEYS:
            found.append(viewer.press(key, pattern))
            time.sleep(0.25)
    return found


# --- the measurement ------------------------------------------------------------------------------


@dataclass
class Stretch:
    """What was used in a stretch of time, in percent of one core."""

    looked_at: bool
    rate: float
    master: float
    viewer: float
    bytes_per_s: float


@contextmanager
def running_master(folder: Path, options: argparse.Namespace) -> Iterator[int]:
    file = folder / "campaign.toml"
    file.write_text(TEXT.format(count=options.tasks))
    command = [sys.executable, __file__, "--master", str(file)]
    command += ["--nodes", str(options.nodes), "--rate", str(options.rate)]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        yield process.pid
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ended(number: int, frame: object) -> None:
    """Whoever ends this ends the master below it as well."""
    raise SystemExit(128 + number)


def finished(folder: Path) -> int:
    from stargen.master.control import ControlClient

    with ControlClient.of(folder) as master:
        return master.status()["jobs"][0]["tasks"]["finished"]


def stretch(folder: Path, master: int, viewer: Viewer | None, seconds: float) -> Stretch:
    began, done = time.monotonic(), finished(folder)
    master_s, viewer_s = cpu_s(master), cpu_s(viewer.pid) if viewer else 0.0
    written = viewer.bytes if viewer else 0
    time.sleep(seconds)
    used_s, looked_s = cpu_s(master) - master_s, (cpu_s(viewer.pid) if viewer else 0.0) - viewer_s
    wall_s = time.monotonic() - began
    rate = (finished(folder) - done) / wall_s
    sent = ((viewer.bytes if viewer else 0) - written) / wall_s
    return Stretch(viewer is not None, rate, 100 * used_s / wall_s, 100 * looked_s / wall_s, sent)


def measure(options: argparse.Namespace) -> tuple[list[Stretch], list[float], dict[str, int]]:
    stretches: list[Stretch] = []
    with scratch() as base, running_master(base, options) as master:
        folder = base / "out"
        until_busy(folder, options)
        for _ in range(options.turns):
            stretches.append(stretch(folder, master, None, options.seconds))
            viewer = opened(folder)
            stretches.append(stretch(folder, master, viewer, options.seconds))
            viewer.close()
        stretches.append(stretch(folder, master, None, options.seconds))
        viewer = opened(folder)
        found = latencies(viewer, options.rounds)
        viewer.close()
        os.kill(master, signal.SIGSTOP)
        counts = verify(folder)
    return stretches, found, counts


def until_busy(folder: Path, options: argparse.Namespace) -> None:
    """Until the nodes have joined and tasks finish at the pace that is wanted."""
    from stargen.errors import UserError

    wanted = options.rate * 20 * 0.5
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with suppress(UserError, IndexError):
            if finished(folder) > wanted:
                return
        time.sleep(1.0)
    raise TimeoutError("the nodes do not reach their pace")


def opened(folder: Path) -> Viewer:
    viewer = Viewer(folder)
    viewer.wait_for("bottleneck|events", 60)
    time.sleep(4.0)
    return viewer


def verify(folder: Path) -> dict[str, int]:
    """What a viewer folds from the journal is what the journal holds, task by task."""
    from stargen.journal import read_records
    from stargen.records import TasksFinished, decode
    from stargen.tui.feed import Feed

    feed = Feed(folder / "journal", follow=False)
    asyncio.run(feed.run())
    ordinals: dict[int, set[int]] = defaultdict(set)
    for _, body in read_records(folder / "journal"):
        record = decode(body)
        if isinstance(record, TasksFinished):
            ordinals[record.job].update(row.ordinal for row in record.rows)
    counted = feed.live.status.jobs[0].finished
    assert counted == len(ordinals[0]), (counted, len(ordinals[0]))
    return {"records": feed.live.position, "finished": counted}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=2000)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, default=5000.0)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--master", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.master:
        run_master(options.master, options.nodes, options.rate)
        return
    signal.signal(signal.SIGTERM, ended)
    report(options, *measure(options))


def report(
    options: argparse.Namespace,
    stretches: list[Stretch],
    found: list[float],
    counts: dict[str, int],
) -> None:
    table(
        ["viewer", "tasks/s", "master %", "viewer %", "kB/s"],
        [
            ["yes" if s.looked_at else "no", s.rate, s.master, s.viewer, s.bytes_per_s / 1e3]
            for s in stretches
        ],
    )
    seen = [s for s in stretches if s.looked_at]
    more = [
        stretches[i].master - (stretches[i - 1].master + stretches[i + 1].master) / 2
        for i in range(1, len(stretches) - 1, 2)
    ]
    in_order = sorted(found)
    p95_ms = 1e3 * in_order[int(0.95 * (len(in_order) - 1))]
    print(
        f"{len(found)} keys: median {1e3 * median(found):.0f} ms, most {1e3 * in_order[-1]:.0f} ms"
    )
    verdict("viewer, percent of one core", median(s.viewer for s in seen), most=5.0)
    verdict("master, percent of one core more", median(more), most=2.0)
    verdict("key to terminal, 95th percentile, ms", p95_ms, most=100.0)
    verdict("tasks finished a second", median(s.rate for s in seen), least=0.9 * options.rate)
    print(f"verified: {counts['finished']:,} tasks in {counts['records']:,} records")
    save(
        "dashboard",
        {"stretches": stretches, "latencies_s": found, "master_more": more, **counts},
    )


if __name__ == "__main__":
    main()
