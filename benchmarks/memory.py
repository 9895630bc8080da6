"""The master's memory in a campaign of ten million candidates: `python benchmarks/memory.py`.

The production scheduler and status on a virtual clock with 2,000 nodes (virtual.py), through every
shape that remembers something: a source, a screen that keeps 40 %, duplicates by formula of which
a quarter is new, a relaxation, the best 500 and a sample of 1,000, and a last job that takes both.
The process holds the simulated nodes besides. `--quick` takes ten thousand on two nodes.
"""

from __future__ import annotations

import argparse
import random
import resource
import time
from collections.abc import Callable
from itertools import count

from common import save, table, verdict
from virtual import VirtualCluster, Work, job, planned

from stargen.codec import pack
from stargen.model import Resources, SelectSpec, Shape

CANDIDATES = 10_000_000
NODES, CORES = 2_000, 24
KEPT, NEW = 0.4, 0.25
FORMULAS = 3_000_000
BUDGET_MIB = 1024.0

Made = Callable[[random.Random, int], list[bytes]]


def maker(share: float = 1.0) -> Made:
    """Entries of new candidates for that share of what comes in."""
    numbers = count()

    def made(chance: random.Random, candidates: int) -> list[bytes]:
        return [
            entry(f"make/{next(numbers)}", chance)
            for _ in range(candidates)
            if share == 1.0 or chance.random() < share
        ]

    return made


def entry(name: str, chance: random.Random) -> bytes:
    """An envelope as a relaxed crystal has it; the blob matters to nobody here."""
    formula = f"X{chance.randrange(FORMULAS)}"
    clear = pack([name, bytes(16), formula, 8, {"e_above_hull": chance.expovariate(5.0)}])
    return len(clear).to_bytes(4, "little") + clear


def energy(envelope) -> float:
    return envelope.properties["e_above_hull"]


def campaign() -> tuple[dict[str, Work], Callable[[int], list]]:
    """What tasks are like, and the jobs for so many candidates."""
    work = {
        "make": Work(lambda chance, n: 0.002 * n, maker()),
        "screen": Work(lambda chance, n: 0.003 * n, maker(KEPT)),
        "unique": Work(lambda chance, n: 0.01 * n, maker(NEW)),
        "relax": Work(lambda chance, n: chance.expovariate(0.2 / n), maker()),
        "dft": Work(lambda chance, n: chance.expovariate(0.01), maker()),
    }

    def jobs(candidates: int) -> list:
        return [
            job("make", shape=Shape.SOURCE, total=candidates),
            job("screen", "make"),
            job("unique", "screen", shape=Shape.KEYED, key_of=lambda envelope: envelope.formula),
            job("relax", "unique"),
            job(
                "best",
                "relax",
                shape=Shape.GATHER,
                select=SelectSpec(order_by="e_above_hull", limit=500),
                predicate=lambda envelope: energy(envelope) < 0.1,
                rank=energy,
            ),
            job(
                "unbiased",
                "relax",
                shape=Shape.GATHER,
                select=SelectSpec(sample=1000),
                rank=lambda envelope: hash(envelope.candidate_id),
            ),
            job("dft", "best", "unbiased", grain=1, resources=Resources(cores=CORES)),
        ]

    return work, jobs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--candidates", type=int, default=CANDIDATES)
    options = parser.parse_args()
    candidates, nodes = (10_000, 2) if options.quick else (options.candidates, NODES)

    work, jobs = campaign()
    plan = planned(*jobs(candidates))
    cluster = VirtualCluster(plan, work, nodes=nodes, cores=CORES)
    began = time.perf_counter()
    account = cluster.run()
    took_s = time.perf_counter() - began
    states = cluster.scheduler.state.jobs
    assert states[0].out.length == candidates
    assert states[-1].finished == len(states[-1].seen) > 0
    rss_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    table(["job", "out", "tasks"], [[s.plan.name, s.out.length, s.finished] for s in states])
    each_us = account.master_s / candidates * 1e6
    snapshot_mib = len(cluster.scheduler.snapshot()) / 2**20
    rows = [[candidates, rss_mib, snapshot_mib, each_us, took_s]]
    table(["candidates", "peak MiB", "snapshot MiB", "master us each", "seconds"], rows)
    verdict("MiB of the master", rss_mib, most=BUDGET_MIB)
    save("memory", {"candidates": candidates, "peak_mib": rss_mib, "took_s": took_s})


if __name__ == "__main__":
    main()
