"""How much of a large cluster's time becomes results: `python benchmarks/efficiency.py`.

The production scheduler and task buffers on a virtual clock (virtual.py): 2,000 nodes of 24 cores,
tasks whose times are log-normal (median 17 s, sigma 1), 2 % of attempts fail, nodes die and come
back. Two kinds of tasks: a whole node each, as DFT steps, and one core each. Efficiency is the
core-seconds of tasks that ended well over those of all nodes from the first moment to the last,
dead nodes and the tail included.

The tail is as long as the longest of the last tasks, whoever schedules: with sigma 1 half an hour
where 48,000 run at a time. So a campaign must last some times longer before its tail is small, and
the efficiency before the last task went out is shown beside.

    python benchmarks/efficiency.py --tasks 2000000 --cores 24
"""

from __future__ import annotations

import argparse
import math
import random
import resource

from common import save, table, verdict
from virtual import Account, VirtualCluster, Work, job, planned

from stargen.model import Resources, Shape

NODES, NODE_CORES = 2_000, 24
MEDIAN_S, SIGMA = 17.0, 1.0
FAILING = 0.02
DEATHS_PER_HOUR = 0.002
"""Of each node: one of 2,000 every quarter of an hour."""
ENTRY = bytes(500)
TASKS = {24: 2_000_000, 1: 2_000_000}


def lognormal_s(chance: random.Random, candidates: int) -> float:
    return sum(chance.lognormvariate(math.log(MEDIAN_S), SIGMA) for _ in range(candidates))


def campaign(tasks: int, cores: int, nodes: int) -> tuple[Account, float]:
    """A source that costs next to nothing, and the tasks; also the memory of the process, MiB."""
    plan = planned(
        job("make", shape=Shape.SOURCE, total=tasks),
        job("compute", "make", grain=1, resources=Resources(cores=cores)),
    )
    work = {
        "make": Work(lambda chance, n: 0.002 * n, lambda chance, n: [ENTRY] * n),
        "compute": Work(lognormal_s, lambda chance, n: [ENTRY] * n, failing=FAILING),
    }
    cluster = VirtualCluster(
        plan, work, nodes=nodes, cores=NODE_CORES, deaths_per_hour=DEATHS_PER_HOUR
    )
    account = cluster.run()
    done = cluster.scheduler.state.jobs[1]
    assert done.out.length + len(done.quarantined) == tasks, "a candidate has no fate"
    return account, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def figures(account: Account) -> dict[str, float]:
    """Shares of all core-seconds, and what it took."""
    total = account.total
    lost = account.failed + account.killed + account.away + account.tail
    before_tail = total - account.tail_s * total / account.span_s
    return {
        "efficiency": account.useful / total,
        "until_last_sent": account.useful_before_tail / before_tail,
        "failed": account.failed / total,
        "deaths": (account.killed + account.away) / total,
        "tail": account.tail / total,
        "rest": 1 - (account.useful + lost) / total,
        "span_h": account.span_s / 3600,
        "tail_min": account.tail_s / 60,
        "tasks_per_s": account.tasks / account.span_s,
        "master_us": account.master_s / account.tasks * 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=int, help="how many, of one kind alone")
    parser.add_argument("--cores", type=int, default=24, help="of each of these")
    parser.add_argument("--quick", action="store_true", help="few nodes and tasks")
    options = parser.parse_args()
    kinds = {options.cores: options.tasks} if options.tasks else TASKS
    nodes, part = (50, 400) if options.quick else (NODES, 1)
    results: dict[int, dict[str, float]] = {}
    for cores, tasks in kinds.items():
        account, rss_mib = campaign(tasks // part, cores, nodes)
        results[cores] = {"tasks": tasks // part, **figures(account), "process_mib": rss_mib}
    heads = list(next(iter(results.values())))
    rows = [[name, *(row[name] for row in results.values())] for name in heads]
    table(["", *(f"{cores} cores a task" for cores in results)], rows)
    for cores, row in results.items():
        name = f"efficiency, {cores} cores a task"
        if row["tail_min"] / 60 < 0.05 * row["span_h"]:
            verdict(name, row["efficiency"], least=0.95)
        else:
            verdict(f"{name}, until the last was sent", row["until_last_sent"], least=0.95)
    save("efficiency", results)


if __name__ == "__main__":
    main()
