"""Give each of many candidates its own fault, run them as one campaign, print what became of them.

python examples/vasp-mock/fault_table.py
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from trial import Fate, environment, fates, left_over, start, write

PLAN: list[dict[str, Any]] = [
    *({"fault": kind, "at_step": 2} for kind in (
        "zbrent", "brmix", "edddav", "zpotrf", "posmap", "too_few_bands", "nonconv", "hang",
        "truncate", "killed", "crash", "empty-contcar", "broken-contcar", "positive-energy",
        "disk-full", "time-limit", "never-starts", "slow-start",
    )),
    {"fault": "node-loss", "at_step": 2, "times": 9},
    {"fault": "oom", "at_step": 2, "times": 99},
    {"fault": "set_core_wf", "times": 99},
    {"fault": "rhosyg", "times": 99},
]  # fmt: skip


def row(fault: str, fate: Fate) -> str:
    """One line of the table; `seen in` is from the run's begin to its correction."""
    corrected = "; ".join(f"{c['fault']} -> {changed(c['changes'])}" for c in fate.corrections)
    failed = "; ".join(f"{kind}: {message}" for kind, message in fate.failures)
    done = corrected or (failed if fate.end == "kept" else "") or "nothing"
    attempts = 1 + len(fate.failures) - fate.end.startswith("quarantined")
    seen = f"{fate.corrections[0]['after_s']:.1f} s" if fate.corrections else ""
    return f"{fault:16s} {seen:>7s} {attempts:8d}  {done[:84]:84s}  {fate.end[:120]}"


def changed(changes: dict[str, Any]) -> str:
    return ", ".join(f"{key}={new}" for key, (_, new) in changes.items()) or "tried again"


def main() -> int:
    """Run, print, and say whether all is accounted for."""
    with tempfile.TemporaryDirectory() as name:
        folder, count = Path(name).resolve(), len(PLAN) + 1
        write(folder, count, ["relax"])
        plan = [{**fault, "only": f"read/{k}"} for k, fault in enumerate(PLAN)]
        began = time.monotonic()
        master = start(folder, environment(folder, plan))
        code = master.wait(timeout=540)
        found = fates(folder, count)
        print(f"{'fault':16s} {'seen in':>7s} {'attempts':>8s}  {'what was done':84s}  end")
        for k, fault in enumerate([*(fault["fault"] for fault in PLAN), "none"]):
            print(row(fault, found[f"read/{k}"]))
        ends = [fate.end.split(":")[0] for fate in found.values()]
        once = all(fate.times_ended == 1 for fate in found.values())
        left = left_over(folder)
        print(
            f"\n{count} candidates: {ends.count('kept')} kept, {ends.count('quarantined')} "
            f"quarantined; each ended once: {once}; processes left over: {len(left)}; "
            f"exit code {code}; {time.monotonic() - began:.0f} s"
        )
        return 0 if once and not left else 1


if __name__ == "__main__":
    sys.exit(main())
