"""No-op functions in real workers, one call a task, journal on: `python benchmarks/functions.py`.

A select that waits for all candidates holds the measured job back, so that making them is not
measured. The bare ProcessPoolExecutor beside it keeps no journal, survives nothing, and pickles an
integer each way where Star-gen carries a crystal. `--quick` takes a fiftieth.

A link of a chain, and a round trip, each wait for one sync of the disk; what that takes is shown
beside them.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from common import (
    median,
    read_jobs,
    run_campaign,
    save,
    scratch,
    show_where,
    spread,
    sync_ms,
    table,
    verdict,
    verify_candidates,
)

BATCH = """
[campaign]
name = "functions"
[[job]]
name = "make"
use = "echo.source"
params = {{ count = {tasks} }}
[[job]]
name = "all"
input = "make"
select = {{ order_by = "nsites", limit = {tasks} }}
[[job]]
name = "no-op"
input = "all"
use = "echo.map"
grain = 1
"""

CHAIN = """
[campaign]
name = "chain"
[[job]]
name = "link-0"
use = "echo.source"
params = { count = 1 }
"""

LINK = """
[[job]]
name = "link-{n}"
input = "link-{before}"
use = "echo.map"
grain = 1
"""

ROUND_TRIPS = """
[campaign]
name = "round-trips"
[[job]]
name = "make"
use = "echo.source"
params = {{ count = {count} }}
[[job]]
name = "all"
input = "make"
select = {{ where = 'formula = "FLi"', order_by = "nsites", limit = {links} }}
[[job]]
name = "one-by-one"
input = "all"
use = "echo.keyed"
grain = 1
"""
"""Candidates of one key go through a keyed job one after another, each when the last is on disk."""

SALTS = 20
"""echo.source makes as many formulas in turn; LiF is the first."""


def no_op(value: int) -> int:
    return value


def bare_pool(tasks: int) -> float:
    """Tasks a second of a ProcessPoolExecutor with two processes, one call a task."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(no_op, range(200)))
        began = time.perf_counter()
        count = sum(value == i for i, value in enumerate(pool.map(no_op, range(tasks))))
        took_s = time.perf_counter() - began
    assert count == tasks
    return tasks / took_s


def batch(folder: Path, tasks: int) -> dict:
    """Tasks a second of the job `no-op`."""
    run = run_campaign(folder, BATCH.format(tasks=tasks))
    jobs = read_jobs(run.journal)
    log = jobs["no-op"]
    assert log.finished == tasks, log.finished
    verify_candidates(run.journal, log, {f"make/{i}" for i in range(tasks)})
    return {
        "tasks": tasks,
        "per_s": tasks / log.span_s,
        "master_us": run.master_cpu_s / tasks * 1e6,
        "nodes_us": run.nodes_cpu_s / tasks * 1e6,
        "master_rss_mib": run.master_rss_mib,
    }


def chain(folder: Path, links: int) -> float:
    """Milliseconds a link of a chain of jobs, each one no-op task."""
    jobs = [LINK.format(n=n, before=n - 1) for n in range(1, links + 1)]
    run = run_campaign(folder, CHAIN + "".join(jobs))
    logs = read_jobs(run.journal)
    assert all(logs[f"link-{n}"].finished == 1 for n in range(links + 1))
    verify_candidates(run.journal, logs[f"link-{links}"], {"link-0/0"})
    return (logs[f"link-{links}"].ended_at - logs["link-1"].began_at) / links * 1e3


def round_trips(folder: Path, links: int) -> float:
    """Milliseconds from one result on disk to the next, when each waits for the one before."""
    run = run_campaign(folder, ROUND_TRIPS.format(count=links * SALTS, links=links))
    log = read_jobs(run.journal)["one-by-one"]
    assert log.finished == links, log.finished
    return log.span_s / links * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--where", action="store_true", help="where the master's time goes")
    options = parser.parse_args()
    part = 50 if options.quick else 1
    sizes, links = [20_000 // part, 100_000 // part], 500 // part

    with scratch() as folder:
        if options.where:
            show_where(run_campaign(folder, BATCH.format(tasks=sizes[1]), where=True), sizes[1])
            return
        pool: list[float] = []
        ours: dict[int, list[dict]] = {size: [] for size in sizes}
        chains: list[float] = []
        trips: list[float] = []
        syncs: list[float] = []
        for k in range(options.repeats):
            pool.append(bare_pool(sizes[0]))
            for size in sizes:
                ours[size].append(batch(folder / f"batch-{size}-{k}", size))
            syncs.append(sync_ms(folder))
            chains.append(chain(folder / f"chain-{k}", links))
            trips.append(round_trips(folder / f"trips-{k}", links))
            syncs.append(sync_ms(folder))
    figures = ["per_s", "master_us", "nodes_us", "master_rss_mib"]
    rows = [
        [size, *(median(run[name] for run in runs) for name in figures)]
        for size, runs in ours.items()
    ]
    rows.append([f"pool {sizes[0]:,}", median(pool), "", "", ""])
    table(["no-ops", "tasks/s", "master us", "nodes us", "master MiB"], rows)
    lonely = [["a chain of jobs", *spread(chains)], ["a durable round trip", *spread(trips)]]
    table(["ms", "median", "least", "most"], [*lonely, ["a sync of the disk", *spread(syncs)]])
    small, large = (median(run["per_s"] for run in ours[size]) for size in sizes)
    verdict("times a bare ProcessPoolExecutor", small / median(pool), least=2.0)
    verdict("many as fast as few", large / small, least=0.9)
    verdict("ms a link of a chain of jobs", median(chains), most=1.25)
    verdict("ms a durable round trip", median(trips), most=1.6)
    results = {"pool_per_s": pool, "ours": ours, "chain_ms": chains, "round_trip_ms": trips}
    results["sync_ms"] = syncs
    save("functions", results)


if __name__ == "__main__":
    main()
