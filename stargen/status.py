"""The picture of a campaign that people look at; stargen/folding.py makes it from records.

It keeps nothing that grows with the campaign but the open tasks. Candidates are counted in when the
job is done with them, so a job's `taken` is the sum of what it put out, dropped, set aside and, for
fan-outs, more.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

_RECENT_S = 30
_LAST = 50

OpenTask = tuple[str, int, float, int, int]
"""(node, candidates, when it was sent there, epoch and number of the attempt), unfinished.

The node is "" between two tries, and the rest 0 then. It is a plain tuple for its speed.
"""

UNTOLD: OpenTask = ("", 1, 0.0, 0, 0)
"""Of a task that nothing is known of."""


class Meter:
    """Counts per second over the last half minute, and since the first."""

    __slots__ = ("_seconds", "last_at", "since", "total")

    def __init__(self) -> None:
        self._seconds: deque[list[int]] = deque(maxlen=_RECENT_S)
        self.since: float | None = None
        self.last_at = 0.0
        self.total = 0

    def add(self, at: float, count: int) -> None:
        second = int(at)
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1][1] += count
        else:
            self._seconds.append([second, count])
        if self.since is None:
            self.since = at
        self.last_at = at
        self.total += count

    def form(self) -> list[Any]:
        return [self.since, self.last_at, self.total, [list(pair) for pair in self._seconds]]

    @classmethod
    def from_form(cls, form: list[Any]) -> Meter:
        made = cls()
        made.since, made.last_at, made.total, seconds = form
        made._seconds.extend(seconds)
        return made

    def now(self, at: float) -> float:
        """Per second, over the last `_RECENT_S` seconds (or since the first, if that is less)."""
        if self.since is None:
            return 0.0
        from_ = at - _RECENT_S
        counted = sum(count for second, count in self._seconds if second >= from_)
        return counted / max(1.0, min(_RECENT_S, at - self.since))

    def mean(self) -> float:
        """Per second, from the first to the last."""
        return self.total / max(1.0, self.last_at - self.since) if self.since is not None else 0.0


@dataclass(slots=True)
class JobStatus:
    """One job. Counts are of candidates; `finished`, `running` and `failed` are of tasks."""

    name: str
    shape: str = "map"
    inputs: list[int] = field(default_factory=list[int])
    total: int | None = None
    taken: int = 0
    out: int = 0
    dropped: dict[str, int] = field(default_factory=dict[str, int])
    quarantined: int = 0
    finished: int = 0
    running: int = 0
    failed: int = 0
    busy_s: float = 0.0
    held: str | None = None
    closed: str | None = None
    waits: bool = False
    unlisted: int = 0
    """Unfinished tasks that this picture was made without; see stargen/glance.py."""
    meter: Meter = field(default_factory=Meter)
    open: dict[int, OpenTask] = field(default_factory=dict[int, OpenTask])
    """Unfinished tasks by their ordinals, in the order in which they were sent."""

    @property
    def unfinished(self) -> int:
        return len(self.open) + self.unlisted


@dataclass(slots=True)
class NodeStatus:
    """One node."""

    name: str
    pool: str
    resources: list[Any]
    agent_id: str = ""
    incarnation: int = 0
    state: str = "ready"
    reason: str = ""
    running: int = 0
    finished: int = 0
    failed: int = 0


@dataclass(slots=True)
class AllocationStatus:
    """One job of ours in a batch system; `refused`: what was last said against one of its name."""

    name: str
    pool: str
    nodes: int
    walltime_s: float
    state: str = "planned"
    since: float = 0.0
    reason: str = ""
    job_id: str = ""
    refused: str = ""


@dataclass(slots=True)
class FailureGroup:
    """Failures that look alike."""

    job: int
    failure: str
    signature: str
    node: str
    count: int = 0
    first_at: float = 0.0
    last_at: float = 0.0
    ordinal: int = 0
    message: str = ""
    detail: str = ""
    verdicts: dict[str, int] = field(default_factory=dict[str, int])


@dataclass(slots=True)
class Status:
    """Everything that is shown of a campaign."""

    state: str = "new"
    reason: str = ""
    started_at: float | None = None
    at: float = 0.0
    epoch: int = 0
    host: str = ""
    pid: int = 0
    jobs: list[JobStatus] = field(default_factory=list[JobStatus])
    nodes: dict[str, NodeStatus] = field(default_factory=dict[str, NodeStatus])
    failures: dict[tuple[int, str, str, str], FailureGroup] = field(
        default_factory=dict[tuple[int, str, str, str], FailureGroup]
    )
    allocations: dict[str, AllocationStatus] = field(default_factory=dict[str, AllocationStatus])
    alerts: deque[tuple[float, str]] = field(
        default_factory=lambda: deque[tuple[float, str]](maxlen=_LAST)
    )
    events: deque[tuple[float, str]] = field(
        default_factory=lambda: deque[tuple[float, str]](maxlen=_LAST)
    )
    late: int = 0
    ended: bool = False
    away_s: float = 0.0
    """How long no master ran, between its first one and now."""
    campaign_id: str = ""

    @property
    def running(self) -> int:
        return sum(job.running for job in self.jobs)

    @property
    def finished(self) -> int:
        return sum(job.finished for job in self.jobs)

    def tell(self, at: float, text: str) -> None:
        self.events.append((at, text))

    def alert(self, at: float, text: str) -> None:
        self.alerts.append((at, text))
        self.tell(at, text)

    def waiting(self, job: JobStatus) -> int:
        """Candidates that came into `job` and that it is not done with."""
        return max(0, sum(self.jobs[i].out for i in job.inputs) - job.taken)
