"""What a task costs the master: `python benchmarks/control_plane.py`.

A campaign file, the wiring of `stargen up`, a journal with fsync; the agents are the real protocol
over UNIX sockets without any work, in a process of their own. Two shapes: a source, one candidate
of 500 bytes out of each task, and a map, one in and one out. The journal is read back after each
run and every candidate checked. A skeleton that does nothing but frames, a dict and fsync runs in
turns with it (skeleton.py), to tell a slow machine from a slow master.

    python benchmarks/control_plane.py --tasks 200000 --agents 1 200 --repeats 3
    python benchmarks/control_plane.py --where          # where a task's microseconds go
"""

from __future__ import annotations

import argparse

from common import median, read_jobs, save, scratch, show_where, table, verdict
from simulated import campaign, run_simulated, verify_simulated
from skeleton import skeleton

SHAPES = ("source", "map")
SIZES = (10_000, 100_000, 1_000_000)
AGENTS = (1, 16, 200, 2000)
SKELETON_TASKS = 200_000


def measure(shape: str, tasks: int, agents: int) -> dict:
    """One run, verified; a task is one of the job whose tasks hold one candidate."""
    with scratch() as folder:
        run = run_simulated(folder, campaign(shape, tasks), agents=agents)
        jobs = read_jobs(run.journal)
        verify_simulated(run.journal, jobs["make"], tasks)
        log = jobs["pass" if shape == "map" else "make"]
        size = verify_simulated(run.journal, log, tasks)
    assert log.finished == tasks, log.finished
    began_at = min(job.began_at for job in jobs.values())
    return {
        "shape": shape,
        "tasks": tasks,
        "agents": agents,
        "per_s": tasks / (log.ended_at - began_at),
        "master_us": run.master_cpu_s / tasks * 1e6,
        "nodes_us": run.nodes_cpu_s / tasks * 1e6,
        "master_rss_mib": run.master_rss_mib,
        "entry_bytes": size,
    }


def plan(options: argparse.Namespace) -> list[tuple[str, int, int]]:
    """Which runs to do: sizes with the first number of agents, then the other numbers.

    Those with the most tasks: 2,000 agents have cores for 48,000, so that a smaller campaign would
    show how they join, and not what they do from then on.
    """
    runs = [(shape, tasks, options.agents[0]) for shape in SHAPES for tasks in options.tasks]
    most = max(options.tasks)
    return runs + [(shape, most, n) for shape in SHAPES for n in options.agents[1:]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--agents", type=int, nargs="+", default=list(AGENTS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--where", action="store_true")
    options = parser.parse_args()
    if options.where:
        where(sorted(options.tasks)[len(options.tasks) // 2], options.agents[0])
        return
    wanted = plan(options)
    results: dict[tuple[str, int, int], list[dict]] = {key: [] for key in wanted}
    bare: list[dict] = []
    for _ in range(options.repeats):
        with scratch() as folder:
            bare.append(skeleton(folder, SKELETON_TASKS))
        for key in wanted:
            results[key].append(measure(*key))
    report(results, bare)


def where(tasks: int, agents: int) -> None:
    for shape in SHAPES:
        with scratch() as folder:
            run = run_simulated(folder, campaign(shape, tasks), agents=agents, where=True)
            print(f"{shape}, {tasks} tasks, {agents} agents")
            show_where(run, tasks)


def report(results: dict[tuple[str, int, int], list[dict]], bare: list[dict]) -> None:
    names = ("per_s", "master_us", "nodes_us", "master_rss_mib")
    rows = [
        [*key, *(median(r[name] for r in runs) for name in names)] for key, runs in results.items()
    ]
    skeleton_us = median(run["cpu_us"] for run in bare)
    bare_per_s = median(run["per_s"] for run in bare)
    rows.append(["skeleton", SKELETON_TASKS, 1, bare_per_s, skeleton_us, "", ""])
    table(["shape", "tasks", "agents", "tasks/s", "master us", "agents us", "master MiB"], rows)
    few = next(iter(results))[2]
    for shape in SHAPES:
        mine = {key[1:]: runs for key, runs in results.items() if key[0] == shape}
        slowest = min(median(r["per_s"] for r in runs) for runs in mine.values())
        verdict(f"{shape}: tasks a second, the slowest run", slowest, least=20_000)
        by_size = [runs for (_, agents), runs in mine.items() if agents == few]
        most = max(tasks for tasks, _ in mine)
        by_agents = [runs for (tasks, _), runs in mine.items() if tasks == most]
        for what, compared in (("size", by_size), ("agents", by_agents)):
            flat = _spread(compared)
            verdict(f"{shape}: most over least tasks a second, by {what}", flat, most=1.2)
    save("control_plane", {"runs": [r for runs in results.values() for r in runs], "bare": bare})


def _spread(runs_of: list[list[dict]]) -> float:
    rates = [median(run["per_s"] for run in runs) for runs in runs_of]
    return max(rates) / min(rates)


if __name__ == "__main__":
    main()
