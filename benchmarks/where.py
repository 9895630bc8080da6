"""Where a process's CPU time goes: looks at the main thread's stack whenever some has gone by."""

from __future__ import annotations

import signal
from collections import Counter
from functools import cache
from pathlib import Path
from types import CodeType

EVERY_S = 0.002

VIEWERS = "viewers: their questions, and what is kept for them"

STAGES = {
    ("control.py", "_meet"): VIEWERS,
    ("glance.py", "take"): VIEWERS,
    ("tagged.py", "decode"): "reading messages",
    ("arrivals.py", "event"): "results into the journal",
    ("scheduler.py", "handle"): "deciding",
    ("kernel.py", "_remember"): "records: encode, append, fold",
    ("nodes.py", "perform"): "sending orders and acknowledgements",
    ("nodes.py", "flush"): "sending orders and acknowledgements",
    ("journal.py", "flush"): "committing",
    ("restoring.py", "restore"): "starting",
}
"""Innermost known function on the stack -> which stage of a task's way through the master it is."""

REST = "event loop, sockets, journal thread"


class Sampler:
    """Counts samples by stage, and by the module whose code ran."""

    def __init__(self) -> None:
        self.stages: Counter[str] = Counter()
        self.modules: Counter[str] = Counter()

    def __enter__(self) -> Sampler:
        signal.signal(signal.SIGPROF, self._look)
        signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0.0)

    def _look(self, number: int, frame) -> None:
        self.modules[_module(frame.f_code.co_filename)] += 1
        stage = None
        while frame is not None and stage is None:
            stage, frame = _stage(frame.f_code), frame.f_back
        self.stages[stage or REST] += 1

    def shares(self) -> dict[str, dict[str, float]]:
        """Share of the samples in each stage, and in each module."""
        return {"stages": _shares(self.stages), "modules": _shares(self.modules)}


@cache
def _stage(code: CodeType) -> str | None:
    return STAGES.get((Path(code.co_filename).name, code.co_name))


@cache
def _module(file: str) -> str:
    return "stargen/" + file.rpartition("/stargen/")[2] if "/stargen/" in file else Path(file).name


def _shares(counts: Counter[str]) -> dict[str, float]:
    total = max(1, counts.total())
    return {name: count / total for name, count in counts.most_common(20)}
