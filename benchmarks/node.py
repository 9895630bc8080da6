"""One node by itself, without a master's work: `python benchmarks/node.py`.

A real agent process with real workers on two cores; at the other end of its UNIX socket a driver
that only counts and acknowledges. Measured: no-op tasks a second (one candidate a task), the
latency of one task after another, and `true` by exec.run beside two threads that each call
subprocess.call(["true"]), in turns. Every result is decoded and checked at the end. `--quick` takes
a fiftieth of the tasks.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from common import median, save, scratch, spread, table, verdict

from stargen.crystal import Candidate, Crystal, decode_entry, encode_entry
from stargen.errors import LinkLost
from stargen.messages import (
    AckResults,
    Attach,
    AttemptRef,
    DefineJob,
    Inventory,
    RunTasks,
    Settle,
    Shutdown,
    StepDef,
    TaskOrder,
    TasksDone,
    TasksFailed,
    decode,
    encode,
)
from stargen.model import Resources
from stargen.scheduling.nodelist import resources_form
from stargen.transport.greeting import Identity
from stargen.transport.link import Link
from stargen.transport.local import connect_unix

A_FRAME = 64
UNDER_WAY = 2048
NOOP, TRUE = 0, 1
JOBS = {NOOP: StepDef("echo.map", {}), TRUE: StepDef("exec.run", {"argv": ["true"]})}


class Driver:
    """Sends orders and counts what comes back."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.n = 0
        self.entries: list[bytes] = []

    async def introduce(self) -> None:
        self.link.send(encode(Attach("bench", 1, "here:1", 60.0)))
        inventory = decode((await self.link.receive())[0])
        assert isinstance(inventory, Inventory), inventory
        self.link.send(encode(Settle([], [], [])))
        for job, step in JOBS.items():
            define = DefineJob(job, f"job{job}", "map", [step], 1, {}, program=job == TRUE)
            self.link.send(encode(define))

    async def tasks(self, job: int, count: int) -> float:
        """Run `count` tasks with at most UNDER_WAY on their way; tasks a second."""
        frames = self._frames(job, count)
        began = time.perf_counter()
        sent = done = 0
        while done < count:
            while sent < count and sent - done < UNDER_WAY:
                size, frame = next(frames)
                self.link.send(frame)
                sent += size
            done += self._take(await self.link.receive())
        return count / (time.perf_counter() - began)

    async def chain(self, job: int, links: int) -> list[float]:
        """Milliseconds from order to result, of one lonely task after another."""
        took_ms: list[float] = []
        for _, frame in self._frames(job, links, a_frame=1):
            began = time.perf_counter()
            self.link.send(frame)
            while not self._take(await self.link.receive()):
                pass
            took_ms.append((time.perf_counter() - began) * 1e3)
        return took_ms

    def _frames(self, job: int, count: int, a_frame: int = A_FRAME) -> Any:
        crystal = Crystal.of(5.6 * _FCC, [[0, 0, 0], [0.5, 0.5, 0.5]], [11, 17])
        payload = {"payload": bytes(250)}
        form = resources_form(Resources(cores=1))
        frames: list[tuple[int, bytes]] = []
        for first in range(0, count, a_frame):
            orders: list[TaskOrder] = []
            for ordinal in range(first, min(first + a_frame, count)):
                self.n += 1
                entry = encode_entry(Candidate(f"make/{self.n}", crystal, data=payload))
                orders.append(TaskOrder(ordinal, self.n, ordinal, ordinal + 1, [entry], []))
            frames.append((len(orders), encode(RunTasks(job, form, 0, orders))))
        return iter(frames)

    def _take(self, payloads: list[bytes]) -> int:
        done = 0
        for payload in payloads:
            message = decode(payload)
            if isinstance(message, TasksDone):
                refs = [AttemptRef(message.job, r.ordinal, r.epoch, r.n) for r in message.rows]
                self.entries += [entry for row in message.rows for entry in row.entries]
                self.link.send(encode(AckResults(refs)))
                done += len(refs)
            assert not isinstance(message, TasksFailed), message
        return done

    def verify(self) -> None:
        """Each candidate sent has come back once, whole."""
        names = {f"make/{n}" for n in range(1, self.n + 1)}
        for entry in self.entries:
            candidate = decode_entry(entry)
            assert len(candidate.data["payload"]) == 250
            names.remove(candidate.candidate_id)
        assert not names, f"{len(names)} never came back"


_FCC = np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])


def bare_loop(tasks: int) -> float:
    """`true` a second with two threads."""

    def work() -> None:
        for _ in range(tasks // 2):
            subprocess.call(["true"])

    threads = [threading.Thread(target=work) for _ in range(2)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tasks // 2 * 2 / (time.perf_counter() - began)


def cpu_s(process: psutil.Process) -> float:
    """CPU of the agent, and of its workers and what they started."""
    total = 0.0
    for each in [process, *process.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def start_agent(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "stargen.executing.agent", "--campaign-folder", str(folder)]
    command += ["--socket", str(folder / "a.sock"), "--node", "bench", "--cores", "2"]
    with (folder / "agent.log").open("wb") as log:
        return subprocess.Popen(command, stderr=log, start_new_session=True)


async def connect(folder: Path) -> Link:
    async with asyncio.timeout(20):
        while True:
            with suppress(LinkLost):
                return await connect_unix(folder / "a.sock", Identity("master"), expects="agent")
            await asyncio.sleep(0.05)


async def measure(folder: Path, agent: psutil.Process, scale: int, repeats: int) -> dict[str, Any]:
    link = await connect(folder)
    driver = Driver(link)
    await driver.introduce()
    found: dict[str, list[float]] = {key: [] for key in ("noop", "noop_cpu_us", "true", "bare")}
    for job in JOBS:
        await driver.tasks(job, 200)
    for _ in range(repeats):
        cpu = cpu_s(agent)
        found["noop"].append(await driver.tasks(NOOP, 20_000 // scale))
        found["noop_cpu_us"].append((cpu_s(agent) - cpu) / (20_000 // scale) * 1e6)
        found["true"].append(await driver.tasks(TRUE, 5_000 // scale))
        found["bare"].append(await asyncio.to_thread(bare_loop, 5_000 // scale))
    found["true_long"] = [await driver.tasks(TRUE, 20_000 // scale)]
    found["bare_long"] = [await asyncio.to_thread(bare_loop, 5_000 // scale)]
    found["chain_ms"] = await driver.chain(NOOP, 500 // scale)
    found["chain_true_ms"] = await driver.chain(TRUE, 200 // scale)
    found["agent_rss_mib"] = [agent.memory_info().rss / 2**20]
    driver.verify()
    link.send(encode(Shutdown("bench over")))
    link.flush()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with scratch() as folder:
        process = start_agent(folder)
        agent = psutil.Process(process.pid)
        scale = 50 if options.quick else 1
        found = asyncio.run(measure(folder, agent, scale, options.repeats))
        process.wait(30)
    ratios = [mine / bare for mine, bare in zip(found["true"], found["bare"], strict=True)]
    rows = [
        [name, *spread(values)]
        for name, values in (
            ("no-op tasks/s", found["noop"]),
            ("node's CPU, us a task", found["noop_cpu_us"]),
            ("no-op chain, ms a link", found["chain_ms"]),
            ("`true`/s by exec.run", found["true"]),
            ("`true`/s, 20,000 in a row", found["true_long"]),
            ("`true`/s, bare loop", found["bare"]),
            ("ratio", ratios),
            ("`true` chain, ms a link", found["chain_true_ms"]),
            ("agent's memory, MiB", found["agent_rss_mib"]),
        )
    ]
    table(["", "median", "least", "most"], rows)
    verdict("no-op tasks/s", median(found["noop"]), least=10_000)
    verdict("no-op chain, ms", median(found["chain_ms"]), most=0.4)
    verdict("`true`: ratio to the bare loop", median(ratios), least=0.70)
    long = found["true_long"][0] / found["bare_long"][0]
    verdict("`true` x 20,000: ratio to the bare loop beside it", long, least=0.70)
    save("node", found)


if __name__ == "__main__":
    main()
