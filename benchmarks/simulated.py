"""Campaigns with simulated agents: a real master, and nodes that answer at once.

`run_simulated` runs one in a process of its own, which `python benchmarks/simulated.py` is; the
agents are one more process, that speaks the real protocol over UNIX sockets.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import sys
from pathlib import Path
from typing import Any
from zlib import crc32

from common import ROOT, JobLog, Run, read_entries, run_measured, run_script, usage

sys.path.insert(0, str(ROOT / "tests"))

CAMPAIGN = """
[campaign]
name = "control-plane"
[[job]]
name = "make"
use = "echo.source"
grain = {source_grain}
params = {{ count = {count} }}
"""

MAP = """
[[job]]
name = "pass"
input = "make"
use = "echo.map"
grain = 1
"""

SOURCE_GRAIN = 64
CORES = 24
"""Of each simulated agent; how much it takes ahead depends on it."""


def campaign(shape: str, tasks: int) -> str:
    """A campaign of about `tasks` tasks: a source's, one candidate out of each; or a map's, whose
    candidates a source makes many at a time, one in and one out."""
    if shape == "source":
        return CAMPAIGN.format(source_grain=1, count=tasks)
    return CAMPAIGN.format(source_grain=SOURCE_GRAIN, count=tasks) + MAP


def run_simulated(
    folder: Path, text: str, *, agents: int, where: bool = False, die_at: int = 0
) -> Run:
    """Run it to its end.

    Parameters
    ----------
    where : also ask where the master's time goes
    die_at : the master is to kill itself on the way (see `_die_at`); common.Killed is raised then
    """
    more = ["--where"] * where + ["--die-at", str(die_at)]
    return run_script(folder, text, "simulated.py", "--agents", str(agents), *more)


def verify_simulated(journal: Path, log: JobLog, count: int) -> float:
    """Every ordinal came out once, with the bytes its agent made; the mean size of an entry."""
    from stargen.crystal import envelope_of

    seen = bytearray(count)
    size = 0
    for entry in read_entries(journal, log):
        assert crc32(entry[:-4]) == int.from_bytes(entry[-4:], "little"), "an entry is damaged"
        seen[int(envelope_of(entry).candidate_id.removeprefix("make/"))] += 1
        size += len(entry)
    assert seen == b"\1" * count, "a candidate is missing or doubled"
    return size / count


# --- the master's process -------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--agents", type=int, required=True)
    parser.add_argument("--where", action="store_true")
    parser.add_argument("--die-at", type=int, default=0)
    options = parser.parse_args()

    from support.simulated_agents import serve_agents

    master, sockets = wired(options.file, options.agents)
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    nodes = context.Process(target=serve_agents, args=(sockets, CORES, ready), daemon=True)
    nodes.start()
    ready.wait()  # or the master would spend its time on knocking at sockets that are not there yet
    if options.die_at:
        _die_at(options.die_at, nodes.pid)
    said = run_measured(master, where=options.where)
    nodes.join(30)
    print(json.dumps(said | {"nodes_cpu_s": usage()["nodes_cpu_s"]}))


def wired(file: Path, nodes: int) -> tuple[Any, list[str]]:
    """A master of so many simulated nodes, and the sockets at which they are to listen."""
    from support.simulated_agents import SimulatedLauncher

    from stargen.config import Pool, Settings
    from stargen.master.launch import Wiring

    names = [f"n{i}" for i in range(nodes)]
    master = Wiring(
        file,
        settings=Settings(pool={"simulated": Pool(hosts=tuple(names))}),
        folder=file.parent / "out",
        launcher=lambda name: SimulatedLauncher(),
    )
    master.folder.prepare()
    return master, [str(master.folder.socket(f"agent-{name}")) for name in names]


def _die_at(tasks: int, nodes: int | None) -> None:
    """Kill this process when it would next keep a snapshot with that many tasks finished."""
    from stargen.master.kernel import Kernel

    usual = Kernel.keep_snapshot

    async def keep_snapshot(self: Kernel) -> None:
        if sum(job.finished for job in self.scheduler.state.jobs) >= tasks:
            os.kill(nodes or 0, signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
        await usual(self)

    Kernel.keep_snapshot = keep_snapshot


if __name__ == "__main__":
    main()
