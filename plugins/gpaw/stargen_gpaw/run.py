"""The note of a GPAW run, and what its program wrote."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stargen_dft import run

from stargen_gpaw.runner import ARRAYS, FAILURE, LOG, RESULT, STEPS, STOP, TASK

OUTPUTS = (RESULT, ARRAYS, FAILURE, STOP, "stdout.txt", "stderr.txt")
"""What must not be taken for the next run's."""


@dataclass(slots=True, kw_only=True)
class Run(run.Run):
    """What a task's folder tells of itself; the task itself lies beside it."""


def read_task(folder: Path) -> dict[str, Any]:
    return json.loads((folder / TASK).read_text(encoding="utf-8"))


def write_task(folder: Path, task: dict[str, Any]) -> None:
    """For the next run, whose outputs are not there yet."""
    for name in OUTPUTS:
        (folder / name).unlink(missing_ok=True)
    (folder / TASK).write_text(json.dumps(task, indent=1), encoding="utf-8")


def failure_of(folder: Path) -> dict[str, Any] | None:
    """What the program says went wrong."""
    try:
        return json.loads((folder / FAILURE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def ionic_steps(folder: Path) -> int:
    try:
        return (folder / STEPS).read_text(encoding="utf-8").count("\n")
    except OSError:
        return 0


def last_written(folder: Path) -> float:
    """When its log or its steps grew last, seconds since the epoch; 0 if they are not there."""
    times = [0.0]
    for name in (LOG, STEPS, TASK):
        try:
            times.append((folder / name).stat().st_mtime)
        except OSError:
            continue
    return max(times)


def last_lines(folder: Path, count: int = 12) -> str:
    """The end of what it printed, and if that is nothing, of its log."""
    for name in ("stderr.txt", "stdout.txt", LOG):
        try:
            lines = (folder / name).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        told = [line for line in lines if line.strip()]
        if told:
            return "\n".join(told[-count:])
    return ""
