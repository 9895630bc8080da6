"""Give each of many candidates its own fault, run them as one campaign, print what became of them.

python examples/vasp-mock/fault_table.py

"after" is how long it took from the fault to what was done about it. Every energy that was kept is
compared with that of the same crystal relaxed here, without Star-gen.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from trial import Fate, environment, fates, left_over, start, write, wrong_energies

PLAN: list[dict[str, Any]] = [
    *({"fault": kind, "at_step": 2} for kind in (
        "zbrent", "brmix", "edddav", "eddrmm", "zpotrf", "posmap", "pricel", "too_few_bands",
        "nonconv", "hang", "truncate", "killed", "crash", "empty-contcar", "broken-contcar",
        "positive-energy", "disk-full", "time-limit", "never-starts", "slow-start",
    )),
    {"fault": "node-loss", "at_step": 2, "times": 9},
    {"fault": "oom", "at_step": 2, "times": 99},
    {"fault": "set_core_wf", "times": 99},
    {"fault": "rhosyg", "times": 99},
]  # fmt: skip

_WAIT_S = 540.0
_HEADINGS = ("fault", "after", "attempts", "what was done", "end")
_WIDTHS = (15, 7, 8, 78, 0)


def line(cells: tuple[str, ...]) -> str:
    """One line of the table; the last cell is as long as it is."""
    padded = [f"{cell:{width}}" for cell, width in zip(cells, _WIDTHS, strict=True)]
    return "  ".join(padded).rstrip()


def row(fault: str, fate: Fate, log: list[list[Any]]) -> str:
    """What became of one candidate."""
    done = [f"{c['fault']}: {changed(c['changes'])}" for c in fate.corrections]
    done += [f"{each.failure}: tried elsewhere" for each in fate.failures[:1] if fate.kept]
    attempts = len(fate.failures) + fate.kept
    after = seconds(fate, log[0][2:]) if log else ""
    what = "; ".join(done) or "nothing"
    return line((fault, after, str(attempts), what[: _WIDTHS[3]], fate.end))


def seconds(fate: Fate, fault: list[float]) -> str:
    """From the first fault to the first thing that was done about it."""
    since_inputs, at = fault
    if fate.corrections:
        return f"{max(0.0, fate.corrections[0]['after_s'] - since_inputs):.1f} s"
    return f"{fate.failures[0].at - at:.1f} s" if fate.failures else ""


def changed(changes: dict[str, Any]) -> str:
    """The new values."""
    return ", ".join(f"{key}={new}" for key, (_, new) in changes.items()) or "tried again"


def main() -> int:
    """Run, print, and say whether all is accounted for."""
    with tempfile.TemporaryDirectory() as name:
        folder, count = Path(name).resolve(), len(PLAN) + 1
        write(folder, count, ["relax"])
        plan = [{**fault, "only": f"read/{k}"} for k, fault in enumerate(PLAN)]
        log = folder / "faults.log"
        environ = environment(folder, plan) | {"STARGEN_MOCK_VASP_LOG": str(log)}
        began = time.monotonic()
        master = start(folder, environ)
        try:
            code = master.wait(timeout=_WAIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(master.pid, signal.SIGTERM)
            code = master.wait()
        rows = [json.loads(text) for text in log.read_text().splitlines()]
        found = fates(folder, count)
        print(line(_HEADINGS))
        for k, fault in enumerate([*(fault["fault"] for fault in PLAN), "none"]):
            mine = [row for row in rows if row[0] == f"read/{k}"]
            print(row(fault, found[f"read/{k}"], mine))
        kept = sum(fate.kept for fate in found.values())
        wrong = len(wrong_energies(found))
        set_aside = sum(fate.end.startswith("quarantined") for fate in found.values())
        once = all(fate.times_ended == 1 for fate in found.values())
        left = left_over(folder)
        print(
            f"\n{count} candidates: {kept} kept, {set_aside} quarantined; each ended once: "
            f"{once}; wrong energies: {wrong}; processes left over: {len(left)}; exit code {code}; "
            f"{time.monotonic() - began:.0f} s"
        )
        return 0 if once and not left and not wrong else 1


if __name__ == "__main__":
    sys.exit(main())
