"""What a task costs the master: a real campaign file, simulated agents over sockets, fsync on.

    python benchmarks/control_plane.py                 # 10^4, 10^5 and 10^6 tasks, one agent
    python benchmarks/control_plane.py --tasks 200000 --agents 8 --repeats 3
    python benchmarks/control_plane.py --tasks 200000 --maps 1 --where

A source makes candidates of about 500 bytes, one per task; the agents are real protocol and no
work, in a process of their own. The journal is read back and every candidate checked after each
run. The bare loop beside it only frames, writes and syncs as many payloads and records.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import shutil
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from zlib import crc32

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.simulated_agents import SimulatedLauncher, serve_agents

from stargen.config import Pool, Settings
from stargen.crystal import envelope_of
from stargen.journal import RecordReader
from stargen.journal.entries import EntryFiles
from stargen.master.launch import Wiring
from stargen.model import Location
from stargen.records import TasksAssigned, TasksFinished, decode

MAP = """
[[job]]
name = "map{n}"
input = "{input}"
use = "echo.map"
grain = 1
"""

CORES = 64
"""Of each agent."""

CAMPAIGN = """
[campaign]
name = "control-plane"

[[job]]
name = "make"
use = "echo.source"
grain = 1
params = {{ count = {tasks} }}
"""


PLACES = {
    ("tagged.py", "decode"): "reading messages",
    ("arrivals.py", "event"): "results into the journal",
    ("scheduler.py", "handle"): "deciding",
    ("kernel.py", "_remember"): "records: encode, append, fold",
    ("nodes.py", "perform"): "sending orders and acknowledgements",
    ("nodes.py", "flush"): "sending orders and acknowledgements",
    ("journal.py", "flush"): "committing",
    ("launch.py", "_restore"): "starting",
}
"""Innermost known function on the stack -> what it is part of."""


class Sampler:
    """Looks at the main thread's stack whenever some CPU time has gone."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def start(self) -> None:
        signal.signal(signal.SIGPROF, self._look)
        signal.setitimer(signal.ITIMER_PROF, 0.002, 0.002)

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0.0)

    def _look(self, number: int, frame: object) -> None:
        place = None
        while frame is not None:
            code = frame.f_code
            place = PLACES.get((Path(code.co_filename).name, code.co_name))
            if place is not None:
                break
            frame = frame.f_back
        place = place or "event loop, sockets, journal thread"
        self.counts[place] = self.counts.get(place, 0) + 1

    def show(self, us_per_task: float) -> None:
        total = sum(self.counts.values())
        for place, count in sorted(self.counts.items(), key=lambda item: -item[1]):
            print(f"  {us_per_task * count / total:6.1f} us  {place}")


def run_once(tasks: int, agents: int, maps: int, where: bool) -> dict:
    folder = Path(tempfile.mkdtemp(prefix="stargen-bench-", dir=Path.home()))
    try:
        return _run_in(folder, tasks, agents, maps, where)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def campaign_text(tasks: int, maps: int) -> str:
    """A source and so many maps behind it; `tasks` in all, one candidate each."""
    text = CAMPAIGN.format(tasks=tasks // (maps + 1))
    for n in range(1, maps + 1):
        text += MAP.format(n=n, input="make" if n == 1 else f"map{n - 1}")
    return text


def _run_in(folder: Path, tasks: int, agents: int, maps: int, where: bool) -> dict:
    campaign = folder / "campaign.toml"
    campaign.write_text(campaign_text(tasks, maps))
    names = [f"n{i}" for i in range(agents)]
    wiring = Wiring(
        campaign,
        settings=Settings(pool={name: Pool() for name in names}),
        folder=folder / "out",
        launcher=lambda name: SimulatedLauncher(),
    )
    wiring.folder.prepare()
    sockets = [str(wiring.folder.socket(f"agent-{name}")) for name in names]
    child = multiprocessing.get_context("spawn").Process(
        target=serve_agents, args=(sockets, CORES), daemon=True
    )
    child.start()
    sampler = Sampler() if where else None
    cpu, wall = time.process_time(), time.perf_counter()
    if sampler:
        sampler.start()
    outcome = asyncio.run(wiring.run())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if sampler:
        sampler.stop()
        sampler.show(cpu / tasks * 1e6)
    child.join(10)
    assert outcome.state == "done", outcome
    count, size, working = verify(folder / "out" / "journal", tasks // (maps + 1), maps + 1)
    return {
        "tasks": tasks,
        "agents": agents,
        "maps": maps,
        "wall_s": wall,
        "working_s": working,
        "tasks_per_s": count / working,
        "cpu_us_per_task": cpu / count * 1e6,
        "entry_bytes": size / count,
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "bare_us_per_task": bare(folder, min(tasks, 100_000), int(size / count)),
    }


def verify(journal: Path, each: int, jobs: int) -> tuple[int, int, float]:
    """Every candidate came out of every job once, as the agent made it.

    Returns how many results there are, their bytes, and the seconds from the first order to the
    last result.
    """
    seen = [bytearray(each) for _ in range(jobs)]
    files = EntryFiles(journal)
    size = 0
    first = last = None
    for _, body in RecordReader(journal).read():
        record = decode(body)
        if first is None and isinstance(record, TasksAssigned):
            first = record.at
        if not isinstance(record, TasksFinished):
            continue
        last = record.at
        for row in record.rows:
            (length,) = row.sizes
            entry = files.read(Location(row.segment, row.offset, length))
            assert crc32(entry[:-4]) == int.from_bytes(entry[-4:], "little")
            seen[record.job][int(envelope_of(entry).candidate_id.removeprefix("make/"))] += 1
            size += length
    files.close()
    assert seen == [b"\1" * each] * jobs, "a candidate is missing or doubled"
    return each * jobs, size, last - first


def bare(folder: Path, tasks: int, size: int) -> float:
    """Microseconds of CPU per task of a loop that only frames, writes and syncs, 64 at a time."""
    payload = os.urandom(size)
    record = os.urandom(40)
    began = time.process_time()
    with (folder / "bare").open("wb", buffering=0) as file:
        for _ in range(0, tasks, 64):
            group = bytearray()
            for _ in range(64):
                group += crc32(payload).to_bytes(4, "little") + payload + record
            file.write(group)
            os.fdatasync(file.fileno())
    return (time.process_time() - began) / tasks * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--agents", type=int, nargs="*", default=[1])
    parser.add_argument("--maps", type=int, default=0, help="map jobs behind the source")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--where", action="store_true", help="where the master's time goes")
    options = parser.parse_args()
    rows = []
    print(
        f"{'tasks':>9} {'agents':>6} {'tasks/s':>9} {'master us':>9} {'bare us':>8} {'RSS MiB':>8}"
    )
    for agents in options.agents:
        for tasks in options.tasks:
            runs = [
                run_once(tasks, agents, options.maps, options.where) for _ in range(options.repeats)
            ]
            rows += runs
            rate = statistics.median(run["tasks_per_s"] for run in runs)
            cpu = statistics.median(run["cpu_us_per_task"] for run in runs)
            bare_us = statistics.median(run["bare_us_per_task"] for run in runs)
            rss = max(run["peak_rss_mib"] for run in runs)
            print(f"{tasks:9} {agents:6} {rate:9.0f} {cpu:9.1f} {bare_us:8.1f} {rss:8.0f}")
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "control_plane.json").write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
