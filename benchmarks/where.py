"""Where a process's CPU time goes: looks at the main thread's stack whenever some has gone by."""

from __future__ import annotations

import gc
import signal
import time
from collections import Counter
from functools import cache
from pathlib import Path
from types import CodeType

EVERY_S = 0.002

VIEWERS = "viewers: their questions, and what is kept for them"
SNAPSHOTS = "snapshots"
COLLECTOR = "Python's collector of garbage"

STAGES = {
    ("control.py", "_meet"): VIEWERS,
    ("glance.py", "take"): VIEWERS,
    ("tagged.py", "decode"): "reading messages",
    ("arrivals.py", "event"): "results into the journal",
    ("scheduler.py", "handle"): "deciding",
    ("kernel.py", "_remember"): "records: encode, append, fold",
    ("nodes.py", "perform"): "sending orders and acknowledgements",
    ("nodes.py", "flush"): "sending orders and acknowledgements",
    ("kernel.py", "keep_snapshot"): SNAPSHOTS,
    ("journal.py", "flush"): "committing",
    ("restoring.py", "restore"): "starting",
}
"""Innermost known function on the stack -> which stage of a task's way through the master it is."""

REST = "event loop, sockets, journal thread"


class Sampler:
    """Seconds of CPU time by stage, and by the module whose code ran.

    Each look counts for all the time since the last: none can be had while a library works in C.
    """

    def __init__(self) -> None:
        self.stages: Counter[str] = Counter()
        self.modules: Counter[str] = Counter()
        self._last_s = self._collecting_since_s = time.process_time()

    def __enter__(self) -> Sampler:
        self._last_s = time.process_time()
        gc.callbacks.append(self._collect)
        signal.signal(signal.SIGPROF, self._look)
        signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        gc.callbacks.remove(self._collect)

    def _look(self, number: int, frame) -> None:
        now_s = time.process_time()
        passed_s, self._last_s = now_s - self._last_s, now_s
        self.modules[_module(frame.f_code.co_filename)] += passed_s
        stage = None
        while frame is not None and stage is None:
            stage, frame = _stage(frame.f_code), frame.f_back
        self.stages[stage or REST] += passed_s

    def _collect(self, phase: str, info: object) -> None:
        if phase == "start":
            self._collecting_since_s = time.process_time()
            return
        took_s = time.process_time() - self._collecting_since_s
        self.stages[COLLECTOR] += took_s
        self._last_s += took_s

    def shares(self) -> dict[str, dict[str, float]]:
        """Share of the time in each stage, and in each module."""
        return {"stages": _shares(self.stages), "modules": _shares(self.modules)}


@cache
def _stage(code: CodeType) -> str | None:
    return STAGES.get((Path(code.co_filename).name, code.co_name))


@cache
def _module(file: str) -> str:
    return "stargen/" + file.rpartition("/stargen/")[2] if "/stargen/" in file else Path(file).name


def _shares(counts: Counter[str]) -> dict[str, float]:
    total = counts.total() or 1.0
    return {name: count / total for name, count in counts.most_common(20)}
