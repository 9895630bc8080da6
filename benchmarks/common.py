"""What the benchmarks share: campaigns in a process of their own, their journals, tables, results.

A campaign is run by `Campaign.run` in a fresh process, by the wiring that `stargen up` uses, so
that its CPU time and memory are its own. `python benchmarks/common.py` is that process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from where import Sampler

if TYPE_CHECKING:
    from stargen.config import Settings

HERE = Path(__file__).parent
ROOT = HERE.parent
LIMIT_S = 3600.0
"""No campaign here should take as long."""


class Killed(Exception):
    """The process of a campaign was killed."""


MAP = """
[campaign]
name = "bench"
seed = 3
[[job]]
name = "make"
use = "echo.source"
params = {{ count = {tasks} }}
[[job]]
name = "map"
input = "make"
use = "{use}"
params = {{ {params} }}
grain = 1
"""
"""So many tasks of one calculator, a candidate each."""


@dataclass
class Run:
    """One run of a campaign, measured.

    Parameters
    ----------
    wall_s : of the whole process, start of the interpreter included
    master_cpu_s, nodes_cpu_s : CPU of the master; of agents, workers, programs and sinks
    master_rss_mib : the most memory that the master had
    where : shares of its CPU time, by stage and by module, if that was asked for
    """

    folder: Path
    wall_s: float
    state: str
    master_cpu_s: float
    nodes_cpu_s: float
    master_rss_mib: float
    where: dict[str, dict[str, float]]

    @property
    def journal(self) -> Path:
        return self.folder / "journal"


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder on a real disk, removed afterwards; STARGEN_BENCH_FOLDER says where."""
    base = os.environ.get("STARGEN_BENCH_FOLDER", Path.home())
    folder = Path(tempfile.mkdtemp(prefix="stargen-bench-", dir=base))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_campaign(folder: Path, text: str, *, cores: int = 2, where: bool = False) -> Run:
    """Run a campaign to its end on this machine, with agent and workers, in `folder`.

    Parameters
    ----------
    cores : that its tasks may use
    where : also ask where the master's time goes
    """
    return run_script(folder, text, "common.py", "--cores", str(cores), *["--where"] * where)


def run_script(folder: Path, text: str, script: str, *arguments: str) -> Run:
    """Run a campaign by one of the scripts here, which prints what `run_measured` returns.

    Raises
    ------
    Killed : the process ended by SIGKILL
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "bench.toml"
    file.write_text(text)
    began = time.perf_counter()
    process = subprocess.run(
        [sys.executable, str(HERE / script), str(file), *arguments],
        stdout=subprocess.PIPE,
        timeout=LIMIT_S,
        check=False,
    )
    wall_s = time.perf_counter() - began
    if process.returncode == -signal.SIGKILL:
        raise Killed
    if process.returncode != 0:
        raise RuntimeError(f"the campaign in {folder} ended with code {process.returncode}")
    return Run(folder / "out", wall_s, **json.loads(process.stdout))


def peak_mib(pid: int | str = "self") -> float:
    """The most memory that a process has had; what getrusage says is also its parent's."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def usage() -> dict[str, float]:
    """What this process has used, and what its children have that are gone."""
    mine = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "master_cpu_s": mine.ru_utime + mine.ru_stime,
        "nodes_cpu_s": children.ru_utime + children.ru_stime,
        "master_rss_mib": peak_mib(),
    }


def run_measured(
    master: Any, *, where: bool, requests: Sequence[tuple[str, str]] = ()
) -> dict[str, Any]:
    """Run a wired master in this process to its end; what that took, without its imports.

    Parameters
    ----------
    requests : (action, target) to carry out at the start
    """
    before = usage()["master_cpu_s"]
    with Sampler() if where else nullcontext() as sampler:
        outcome = asyncio.run(master.run(requests=requests))
    if outcome.left:
        raise RuntimeError(f"processes {outcome.left} are left")
    used = usage()
    used["master_cpu_s"] -= before
    return {"state": outcome.state, **used, "where": sampler.shares() if sampler else {}}


def be_master(
    file: Path,
    settings: Settings,
    *,
    where: bool = False,
    requests: Sequence[tuple[str, str]] = (),
) -> None:
    """Run a campaign to its end in this process; print what `run_script` reads."""
    from stargen.master.launch import Wiring

    master = Wiring(file, settings=settings, folder=file.parent / "out")
    print(json.dumps(run_measured(master, where=where, requests=requests)))


def show_where(run: Run, tasks: int) -> None:
    """Print where the master's CPU time of each task went, by stage and by module."""
    each_us = run.master_cpu_s / tasks * 1e6
    for name, shares in run.where.items():
        rows = [[what, each_us * share] for what, share in shares.items()]
        table([name, "us a task"], rows)


# --- what the journals say ------------------------------------------------------------------------


@dataclass
class JobLog:
    """One job as its journal tells it; `at` are wall-clock seconds."""

    began_at: float = float("inf")
    ended_at: float = 0.0
    finished: int = 0
    entries: list[tuple[int, int, int]] = field(default_factory=list)

    @property
    def span_s(self) -> float:
        return self.ended_at - self.began_at


def read_jobs(journal: Path) -> dict[str, JobLog]:
    """What each job put out and when, from the first record to the last."""
    from stargen.journal import read_records
    from stargen.records import PlanAdopted, TasksAssigned, TasksFinished, decode

    names: list[str] = []
    logs: dict[str, JobLog] = defaultdict(JobLog)
    for _, body in read_records(journal):
        record = decode(body)
        if isinstance(record, PlanAdopted):
            names = record.jobs
        elif isinstance(record, TasksAssigned):
            log = logs[names[record.job]]
            log.began_at = min(log.began_at, record.at)
        elif isinstance(record, TasksFinished):
            log = logs[names[record.job]]
            log.ended_at = record.at
            log.finished += len(record.rows)
            for row in record.rows:
                at = row.offset
                for size in row.sizes:
                    log.entries.append((row.segment, at, size))
                    at += size
    return logs


def read_entries(journal: Path, log: JobLog) -> Iterator[bytes]:
    """The entries that a job put out."""
    from stargen.journal.entries import EntryFiles
    from stargen.model import Location

    files = EntryFiles(journal)
    for where in log.entries:
        yield files.read(Location(*where))
    files.close()


def verify_candidates(journal: Path, log: JobLog, names: set[str]) -> None:
    """Each of `names` came out once, whole."""
    from stargen.crystal import decode_entry

    seen: set[str] = set()
    for entry in read_entries(journal, log):
        candidate = decode_entry(entry)
        assert candidate.crystal.n_atoms == len(candidate.crystal.frac_coords) > 0
        assert candidate.candidate_id not in seen, f"{candidate.candidate_id} came out twice"
        seen.add(candidate.candidate_id)
    assert seen == names, f"{len(seen ^ names)} candidates are missing or strange"


# --- tables and results ---------------------------------------------------------------------------


def table(heads: list[str], rows: list[list[Any]]) -> None:
    """Print a table, numbers to the right."""
    cells = [heads, *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(heads))]
    for row in cells:
        print("  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)))
    print(flush=True)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def median(values: Any) -> float:
    return statistics.median(list(values))


def spread(values: list[float]) -> list[float]:
    """Median, least, most."""
    return [median(values), min(values), max(values)]


def verdict(name: str, value: float, least: float | None = None, most: float | None = None) -> bool:
    """Print a figure beside its budget; True if it keeps it."""
    kept = (least is None or value >= least) and (most is None or value <= most)
    bound = f">= {least:,.4g}" if least is not None else f"<= {most:,.4g}"
    print(f"{'ok  ' if kept else 'MISS'}  {name}: {value:,.4g} (budget {bound})", flush=True)
    return kept


def save(name: str, results: Any) -> None:
    """Write results, and on what they were measured, to results/NAME.json.

    STARGEN_BENCH_RESULTS names another folder for them.
    """
    file = Path(os.environ.get("STARGEN_BENCH_RESULTS", HERE / "results")) / f"{name}.json"
    file.parent.mkdir(exist_ok=True)
    on = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "commit": _commit(),
        "sync_ms": sync_ms(file.parent),
    }
    plain = {"measured_on": on, "results": results}
    file.write_text(json.dumps(plain, indent=1, default=_plain) + "\n")
    print(f"written to {file}")


def sync_ms(folder: Path) -> float:
    """How long this disk takes to make a small write durable, now."""
    path, times = folder / "sync", []
    with path.open("wb", buffering=0) as file:
        for _ in range(50):
            file.write(bytes(600))
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    path.unlink()
    return median(times) * 1e3


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else asdict(value)


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()


# --- the process that runs a campaign -------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--cores", type=int)
    parser.add_argument("--where", action="store_true")
    options = parser.parse_args()

    from stargen.config import Limits, Pool, Settings

    settings = Settings(pool={"local": Pool(limits=Limits(cores=options.cores))})
    be_master(options.file, settings, where=options.where)


if __name__ == "__main__":
    main()
