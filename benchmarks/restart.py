"""How long a master needs to take up a long campaign again: `python benchmarks/restart.py`.

A campaign with simulated agents runs until a million tasks are finished and the next snapshot is
due; there the master kills itself, so that the tail to replay is as long as it can be. The time
counts from the start of the new process until its epoch, and then its first order, is on disk. The
campaign then goes on to its end and everything is verified. `--quick` takes a tenth.
"""

from __future__ import annotations

import argparse
import time
from contextlib import suppress
from pathlib import Path

from common import Killed, median, read_jobs, save, scratch, table, verdict
from simulated import campaign, run_simulated, verify_simulated

AGENTS = 4
SNAPSHOT_TASKS = 300_000
"""A snapshot is due at least this often."""


def restart(folder: Path, tasks: int, shape: str) -> dict:
    """Seconds until the new master has the campaign, and until it sends its first order."""
    count = tasks + SNAPSHOT_TASKS
    text = campaign(shape, count)
    with suppress(Killed):
        run_simulated(folder, text, agents=AGENTS, die_at=tasks)
        raise RuntimeError("the master met no snapshot after the last task that was to be finished")
    before = sum(log.finished for log in read_jobs(folder / "out" / "journal").values())
    started_at = time.time()
    run = run_simulated(folder, text, agents=AGENTS)
    taken_s, ordered_s = (at - started_at for at in _second_epoch(run.journal))
    log = read_jobs(run.journal)["pass" if shape == "map" else "make"]
    verify_simulated(run.journal, log, count)
    return {
        "shape": shape,
        "finished_before": before,
        "taken_s": taken_s,
        "first_order_s": ordered_s,
        "journal_mib": sum(p.stat().st_size for p in run.journal.glob("*.log")) / 2**20,
        "master_rss_mib": run.master_rss_mib,
    }


def _second_epoch(journal: Path) -> tuple[float, float]:
    """When the second master took the campaign, and when it sent its first order."""
    from stargen.journal import read_records
    from stargen.records import EpochStarted, TasksAssigned, decode

    taken_at = 0.0
    epochs = 0
    for _, body in read_records(journal):
        record = decode(body)
        if isinstance(record, EpochStarted):
            epochs += 1
            taken_at = record.at
        elif isinstance(record, TasksAssigned) and epochs == 2:
            return taken_at, record.at
    raise AssertionError("the second master sent nothing")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    tasks = 100_000 if options.quick else 1_000_000
    runs: list[dict] = []
    for k in range(options.repeats):
        for shape in ("source", "map"):
            with scratch() as folder:
                runs.append(restart(folder / f"{shape}-{k}", tasks, shape))
    rows = [list(run.values()) for run in runs]
    table(["jobs", "finished", "taken s", "first order s", "journal MiB", "master MiB"], rows)
    for shape in ("source", "map"):
        figure = median(run["first_order_s"] for run in runs if run["shape"] == shape)
        verdict(f"s until the first order ({shape})", figure, most=10.0)
    save("restart", runs)


if __name__ == "__main__":
    main()
