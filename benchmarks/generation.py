"""Crystals an hour with the shipped weights on two cores: `python benchmarks/generation.py`.

A real campaign, `diffusion.sample` by its defaults and the three cheap filters behind it, with and
without `balanced`. Counted are crystals that pass composition, charge and geometry, from the first
task to the last result, start-up of the workers and filters included.
"""

from __future__ import annotations

import argparse
from typing import Any

from common import read_jobs, run_campaign, save, scratch, table, verdict

PAPER_AN_HOUR = 5_663
"""All that the paper's generator makes on A800 GPUs; 1,859 of them valid."""

TEXT = """\
[campaign]
name = "generation"
seed = 1

[[job]]
name = "generate"
use = "diffusion.sample"
params = {{ count = {count}, balanced = {balanced} }}

[[job]]
name = "screen"
input = "generate"
[[job.step]]
use = "filters.composition"
[[job.step]]
use = "filters.charge"
[[job.step]]
use = "filters.geometry"
"""


def measured(count: int, balanced: str) -> dict[str, Any]:
    with scratch() as folder:
        run = run_campaign(folder, TEXT.format(count=count, balanced=balanced))
        logs = read_jobs(run.journal)
    made, passed = logs["generate"], logs["screen"]
    span_s = passed.ended_at - made.began_at
    return {
        "balanced": balanced,
        "made": len(made.entries),
        "passed": len(passed.entries),
        "share": len(passed.entries) / count,
        "span_s": span_s,
        "cpu_s": run.nodes_cpu_s,
        "made_an_hour": 3600 * len(made.entries) / span_s,
        "passed_an_hour": 3600 * len(passed.entries) / span_s,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2048)
    options = parser.parse_args()
    rows = [measured(options.count, balanced) for balanced in ("false", "true")]
    table([*rows[0]], [[*row.values()] for row in rows])
    print(f"the paper's generator: {PAPER_AN_HOUR:,} an hour, 1,859 of them valid\n")
    for row in rows:
        name = f"passing an hour, balanced = {row['balanced']}"
        verdict(name, row["passed_an_hour"], least=15_000)
    save("generation", rows)


if __name__ == "__main__":
    main()
