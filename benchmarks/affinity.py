"""In-memory computing: `python benchmarks/affinity.py [--quick] [--repeats 2]`.

Tasks that need 50 MB of shared data. On one node with four workers: each task loads the data, each
worker does, or the node does once and all workers map the same memory. Then on four nodes, tasks
for six sets of data: in trickles, one after another, and in bursts, many at once. How often a node
had to load, with affinity keys and without. Sums over entries of the data are checked against what
they must be.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from common import (
    HERE,
    MAP,
    be_master,
    median,
    read_entries,
    read_jobs,
    run_script,
    save,
    scratch,
    table,
    verdict,
)

LOOKS = 10_000
MOST = 6
"""Sets of data that trickles of tasks look things up in."""
WAYS = {"task": "each task loads", "worker": "each worker loads", "node": "once on the node"}

FEED = """
[[job]]
name = "make-{n}"
use = "echo.source"
params = {{ count = {tasks}, seconds = 0.15 }}
resources = {{ cores = 0, {feed} }}
grain = 1
[[job]]
name = "look-{n}"
input = "make-{n}"
use = "{use}"
params = {{ table = "{table}", how = "node" }}
grain = 1
"""


FEEDS = {"trickles": "custom = {{ drop-{n} = 1 }}", "bursts": "io = 1"}


def make_table(path: Path, megabytes: int, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).integers(0, 1000, megabytes * 10**6 // 8)
    np.save(path, values)
    return values


def expected(values: np.ndarray, job: str, use: str, candidate: str, seed: int) -> float:
    """What a task must have come to, by the rule of `Context.rng`."""
    from stargen.calculators.conformance import LocalContext

    rng = LocalContext(job=job, use=use, seed=seed).rng(candidate)
    return float(values[rng.integers(len(values), size=LOOKS)].sum())


def looked(journal: Path, job: str) -> list[Any]:
    from stargen.crystal import decode_entry

    return [decode_entry(entry) for entry in read_entries(journal, read_jobs(journal)[job])]


def one_node(folder: Path, how: str, tasks: int, values: np.ndarray) -> dict[str, float]:
    params = f'table = "{folder.parent}/table-0.npy", how = "{how}"'
    text = MAP.format(tasks=tasks, use="tables.look", params=params)
    run = run_script(folder, text, "affinity.py", "--campaign", "1", "4")
    done = looked(run.journal, "map")
    assert len(done) == tasks
    for each in done[:: max(1, tasks // 20)]:
        ought = expected(values, "map", "tables.look", each.candidate_id, 3)
        assert each.properties["total"] == ought
    memory = {each.properties["pid"]: each.properties["pss_mib"] for each in done}
    log = read_jobs(run.journal)["map"]
    return {
        "tasks_per_s": tasks / log.span_s,
        "cpu_ms": run.nodes_cpu_s / tasks * 1e3,
        "loads": sum(each.properties["loads"] for each in done),
        "workers_mib": sum(memory.values()),
    }


def four_nodes(folder: Path, feed: str, use: str, tables: int, tasks: int) -> dict[str, float]:
    jobs: list[str] = []
    for n in range(tables):
        told = {"n": n, "tasks": tasks, "table": folder.parent / f"table-{n}.npy"}
        jobs.append(FEED.format(**told, use=use, feed=FEEDS[feed].format(n=n)))
    text = '[campaign]\nname = "bench"\nseed = 3\n' + "".join(jobs)
    run = run_script(folder, text, "affinity.py", "--campaign", "4", "1")
    done = [each for n in range(tables) for each in looked(run.journal, f"look-{n}")]
    assert len(done) == tables * tasks
    return {"loads": sum(each.properties["loads"] for each in done), "wall_s": run.wall_s}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", nargs="?", type=Path, help="run this campaign; for itself")
    parser.add_argument("--campaign", nargs=2, type=int, metavar=("NODES", "CORES"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    if options.file is not None:
        run_it(options.file, *options.campaign)
        return
    path = [str(HERE / "tables"), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(path).rstrip(os.pathsep)
    megabytes = 50
    tasks, trickle, tables = (60, 8, 3) if options.quick else (1000, 40, MOST)
    with scratch() as folder:
        made = [make_table(folder / f"table-{n}.npy", megabytes, n) for n in range(tables)]
        values = made[0]
        ways: dict[str, dict[str, float]] = {}
        for how in WAYS:
            runs = [
                one_node(folder / f"{how}-{i}", how, tasks, values) for i in range(options.repeats)
            ]
            ways[how] = {name: median(run[name] for run in runs) for name in runs[0]}
        nodes = {
            feed: {
                use: four_nodes(folder / f"{feed}-{use}", feed, use, tables, trickle)
                for use in ("tables.anywhere", "tables.look")
            }
            for feed in FEEDS
        }
    print(f"{tasks} tasks that look {LOOKS:,} numbers up in {megabytes} MB, one node, 4 workers")
    table(
        ["", "tasks/s", "CPU ms/task", "loads", "MiB of all workers"],
        [[words, *ways[how].values()] for how, words in WAYS.items()],
    )
    print(f"{tables} jobs with {megabytes} MB each, {trickle} tasks a job, four nodes of one core")
    names = {"tables.anywhere": "no affinity", "tables.look": "affinity"}
    rows = [
        [f"{feed}, {names[use]}", *row.values()]
        for feed, uses in nodes.items()
        for use, row in uses.items()
    ]
    table(["", "loads", "wall s"], rows)
    gain = ways["node"]["tasks_per_s"] / ways["task"]["tasks_per_s"]
    verdict("tasks/s against loading per task", gain, least=1.0 if options.quick else 2.0)
    spared = ways["worker"]["workers_mib"] / ways["node"]["workers_mib"]
    verdict("memory of workers that load against those that map", spared, least=1.05)
    for feed, least in (("trickles", 1.0 if options.quick else 2.0), ("bursts", 1.0)):
        fewer = nodes[feed]["tables.anywhere"]["loads"] / nodes[feed]["tables.look"]["loads"]
        verdict(f"loads without affinity against those with, {feed}", fewer, least=least)
    save("affinity", {"one node": ways, "four nodes": nodes, "megabytes": megabytes})


def run_it(file: Path, nodes: int, cores: int) -> None:
    """Run a campaign on so many nodes, all of them this machine."""
    from stargen.config import Limits, Pool, Settings

    limits = Limits(cores=cores, memory_gib=2.0, gpus=0, shared_gib=1.0)
    pools = {f"n{i}": Pool(limits=limits) for i in range(nodes)}
    drops = {f"drop-{n}": 1.0 for n in range(MOST)}  # the first node lets them fall, one by one
    settings = Settings(pool=pools | {"n0": Pool(limits=replace(limits, custom=drops))})
    be_master(file, settings)


if __name__ == "__main__":
    main()
