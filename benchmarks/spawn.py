"""`true` by exec.run through one agent with two slots: `python benchmarks/spawn.py`.

Beside it, in turns: two threads that each call subprocess.call(["true"]), which keep no journal and
no results. As in functions.py a select holds the measured job back until all candidates are there.
`--quick` takes a fiftieth.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import threading
import time
from pathlib import Path

from common import median, read_jobs, run_campaign, save, scratch, table, verdict, verify_candidates

CAMPAIGN = """
[campaign]
name = "spawn"
[[job]]
name = "make"
use = "echo.source"
params = {{ count = {tasks} }}
[[job]]
name = "all"
input = "make"
select = {{ order_by = "nsites", limit = {tasks} }}
[[job]]
name = "spawn"
input = "all"
use = "exec.run"
params = {{ argv = ["true"] }}
"""


def bare_loop(tasks: int) -> dict[str, float]:
    """`true` a second with two threads, and CPU microseconds each, those of the children too."""
    codes: list[int] = []

    def work() -> None:
        codes.extend(subprocess.call(["true"]) for _ in range(tasks // 2))

    threads = [threading.Thread(target=work) for _ in range(2)]
    began, cpu = time.perf_counter(), _cpu_s()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s = time.perf_counter() - began
    assert codes == [0] * (tasks // 2 * 2)
    return {"per_s": len(codes) / took_s, "cpu_us": (_cpu_s() - cpu) / len(codes) * 1e6}


def _cpu_s() -> float:
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in both)


def ours(folder: Path, tasks: int) -> dict[str, float]:
    run = run_campaign(folder, CAMPAIGN.format(tasks=tasks))
    log = read_jobs(run.journal)["spawn"]
    assert log.finished == tasks, log.finished
    verify_candidates(run.journal, log, {f"make/{i}" for i in range(tasks)})
    return {
        "per_s": tasks / log.span_s,
        "cpu_us": (run.master_cpu_s + run.nodes_cpu_s) / tasks * 1e6,
        "master_us": run.master_cpu_s / tasks * 1e6,
        "master_rss_mib": run.master_rss_mib,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    part = 50 if options.quick else 1
    few, many = 5_000 // part, 20_000 // part

    bare: list[dict[str, float]] = []
    runs: dict[int, list[dict[str, float]]] = {few: [], many: []}
    with scratch() as folder:
        for k in range(options.repeats):
            for tasks, row in runs.items():
                bare.append(bare_loop(few))
                row.append(ours(folder / f"{tasks}-{k}", tasks))
    rows = [["two threads", few, *_medians(bare, "per_s", "cpu_us"), "", ""]]
    names = ("per_s", "cpu_us", "master_us", "master_rss_mib")
    rows += [["stargen", tasks, *_medians(row, *names)] for tasks, row in runs.items()]
    table(["", "runs of true", "per s", "CPU us", "of it master", "master MiB"], rows)
    slow, quick = (median(run["per_s"] for run in runs[tasks]) for tasks in (many, few))
    verdict("times two threads of subprocess.call", slow / bare_median(bare), least=0.70)
    verdict("many as fast as few", slow / quick, least=0.95)
    save("spawn", {"bare": bare, "ours": runs})


def bare_median(bare: list[dict[str, float]]) -> float:
    return median(run["per_s"] for run in bare)


def _medians(runs: list[dict[str, float]], *names: str) -> list[float]:
    return [median(run[name] for run in runs) for name in names]


if __name__ == "__main__":
    main()
