"""Costs: where the time of an attempt goes, step by step.

A calculator's step is measured by the CPU time of its process, a program's by what the kernel
counted for it and for the children it waited for. CPU time in the kernel counts as reading and
writing, which it nearly all is for programs that compute; so does the time in which a process of
the program was seen to wait for a disk. What is neither computing nor reading nor writing nor
staging was spent waiting: for a core that something else had, for a network, for each other.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import NamedTuple

from stargen.model import StepCost

WORTH_TELLING_S = 0.5
"""An attempt that took less is not looked into: its result would carry more costs than content."""

_STALE_S = 0.05
_MIB = 2**20


class Usage(NamedTuple):
    """What one run of a program used.

    Parameters
    ----------
    wall_s : from its start to its end
    user_s, kernel_s : CPU time
    blocked : share of the looks at it (0 to 1) that found a process of it waiting for a disk
    read_mib, written_mib : what it asked the system for, from a cache or not
    """

    wall_s: float
    user_s: float
    kernel_s: float
    blocked: float = 0.0
    read_mib: float = 0.0
    written_mib: float = 0.0


class OwnProcess:
    """CPU time of this process; asking the kernel costs as much as a short task, so not each does.

    cores : how many it computes on
    """

    __slots__ = ("_read_at", "_times", "cores")

    def __init__(self) -> None:
        self.cores = 1
        self._read_at = 0.0
        self._times = os.times()

    def times(self, now: float) -> os.times_result:
        """As of `now` (monotonic seconds), or a little before."""
        if now - self._read_at >= _STALE_S:
            self._read_at, self._times = now, os.times()
        return self._times


class Costs:
    """The account of one attempt.

    Parameters
    ----------
    began : monotonic seconds
    own : this process, if the attempt computes in it; None if its programs compute
    """

    __slots__ = ("_began", "_cpu", "_own", "_ran", "_staging_s", "rows")

    def __init__(self, began: float, own: OwnProcess | None = None) -> None:
        self.rows: list[StepCost] = []
        self._began = began
        self._own = own
        self._cpu = None if own is None else own.times(began)
        self._staging_s = 0.0
        self._ran: list[tuple[Usage, int]] = []

    def staged(self, seconds: float) -> None:
        """Inputs were written, results read, files packed or unpacked."""
        self._staging_s += seconds

    def ran(self, usage: Usage, cores: int) -> None:
        """A program ran on so many cores."""
        self._ran.append((usage, cores))

    def end_step(self, step: int) -> None:
        """All since the last step ended belongs to this one."""
        now = time.monotonic()
        wall_s = now - self._began
        own, before = self._own, self._cpu
        if own is not None and before is not None:
            self._cpu = cpu = own.times(now)
            used = Usage(wall_s, cpu.user - before.user, cpu.system - before.system)
            self.ran(used, own.cores)
        row = StepCost(step, wall_s, staging_s=self._staging_s)
        for usage, cores in self._ran:
            row = _and(row, usage, cores)
        self.rows.append(row)
        self._staging_s, self._ran, self._began = 0.0, [], now


def _and(row: StepCost, usage: Usage, cores: int) -> StepCost:
    """The costs of a step in which a program ran, too, on so many cores."""
    compute_s = min(usage.wall_s, usage.user_s / cores)
    io_s = usage.kernel_s / cores + usage.blocked * usage.wall_s
    return row._replace(
        compute_s=row.compute_s + compute_s,
        io_s=row.io_s + min(io_s, usage.wall_s - compute_s),
        read_mib=row.read_mib + usage.read_mib,
        written_mib=row.written_mib + usage.written_mib,
    )


def read_and_written(pid: int) -> tuple[float, float]:
    """MiB that a process and the children it waited for asked for; also of one not reaped yet."""
    with suppress(OSError, ValueError), open(f"/proc/{pid}/io", "rb") as file:  # noqa: PTH123 - as in processes.py
        counts = dict(line.split(b": ") for line in file.read().splitlines())
        return int(counts[b"rchar"]) / _MIB, int(counts[b"wchar"]) / _MIB
    return 0.0, 0.0
