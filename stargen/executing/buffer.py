"""Task buffer: what waits on a node, in a CPU, a GPU and an IO queue (paper, algorithm 2). Pure.

Tasks of one job with the same resources and priority form a *line*; a line waits in the queue of
its kind. Lines are served by priority, and among equals the GPU queue before IO before CPU,
because a GPU that idles costs most and CPU tasks would take the core that feeds it; then by
arrival of their first task. What does not fit is passed over by what does, but not for ever: a
line that has had nothing for `patience_s` has its resources kept free.

A line is served through *grants*. A grant may run task after task of its line (a worker draws some
ahead), until `should_yield` says that another line deserves its resources more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from stargen.executing.capacity import Capacity, Grant
from stargen.messages import AttemptRef, TaskOrder
from stargen.model import Kind, Resources

_SERVED_FIRST: dict[Kind, int] = {"gpu": 0, "io": 1, "cpu": 2}


class Waiting(NamedTuple):
    """One task that waits: its place in arrival order, its master's epoch, its order."""

    arrival: int
    epoch: int
    order: TaskOrder


class Line:
    """Tasks that are alike to the buffer, in order of arrival; `grants`: shares they run on."""

    __slots__ = ("blocked_since", "grants", "job", "priority", "resources", "waiting")

    def __init__(self, job: int, resources: Resources, priority: int) -> None:
        self.job = job
        self.resources = resources
        self.priority = priority
        self.waiting: deque[Waiting] = deque()
        self.grants = 0
        self.blocked_since: float | None = None

    def ref(self, waiting: Waiting) -> AttemptRef:
        """The name of one of its tasks on the wire."""
        return AttemptRef(self.job, waiting.order.ordinal, waiting.epoch, waiting.order.n)

    @property
    def rank(self) -> tuple[int, int, int]:
        """What lines with tasks are sorted by; the smallest is served first."""
        return (-self.priority, _SERVED_FIRST[self.resources.kind], self.waiting[0].arrival)


class TaskBuffer:
    """The three queues of one node, and the account of its resources."""

    def __init__(self, capacity: Capacity, patience_s: float = 30.0) -> None:
        self.capacity = capacity
        self._patience_s = patience_s
        self._queues: dict[Kind, dict[tuple[int, Resources, int], Line]] = {
            kind: {} for kind in _SERVED_FIRST
        }
        self._arrivals = 0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def waiting(self) -> dict[Kind, int]:
        """How many tasks wait in each queue."""
        return {
            kind: sum(len(line.waiting) for line in queue.values())
            for kind, queue in self._queues.items()
        }

    def refs(self) -> list[AttemptRef]:
        """Every waiting attempt, in order of arrival."""
        found = sorted((w.arrival, line.ref(w)) for line in self._lines() for w in line.waiting)
        return [ref for _, ref in found]

    def accept(
        self,
        job: int,
        resources: Resources,
        priority: int,
        epoch: int,
        orders: Iterable[TaskOrder],
    ) -> Line:
        """Let tasks wait. ValueError if this node can never run them."""
        if not self.capacity.possible(resources):
            raise ValueError(f"this node has {self.capacity.total}, not {resources}")
        queue = self._queues[resources.kind]
        line = queue.get((job, resources, priority))
        if line is None:
            self._forget_idle_lines()
            line = queue[job, resources, priority] = Line(job, resources, priority)
        waiting, arrival = line.waiting, self._arrivals
        for order in orders:
            waiting.append(Waiting(arrival, epoch, order))
            arrival += 1
        self._size += arrival - self._arrivals
        self._arrivals = arrival
        return line

    def next(self, now: float) -> Line | None:
        """The line that should get a grant now: the first that fits; None if none does."""
        return self._first_that_fits(now, None)

    def should_yield(self, line: Line, grant: Grant, now: float) -> bool:
        """True if, were `grant` free, another line would get its resources before `line`."""
        if self._size == len(line.waiting):
            return False
        chosen = self._first_that_fits(now, grant)
        return chosen is not None and chosen is not line

    def _first_that_fits(self, now: float, freed: Grant | None) -> Line | None:
        chosen: Line | None = None
        for line in self._in_order():
            if self.capacity.fits(line.resources, freed):
                chosen = line
                break
            if line.blocked_since is None:
                line.blocked_since = now
            elif not line.grants and now - line.blocked_since >= self._patience_s:
                self.capacity.reserve(line.resources)
        self.capacity.unreserve()
        return chosen

    def grant(self, line: Line, prefer: Iterable[int] = ()) -> Grant:
        """Give `line` one share; on the cores `prefer` if they are free."""
        grant = self.capacity.take(line.resources, prefer)
        line.grants += 1
        line.blocked_since = None
        return grant

    def finish(self, line: Line, grant: Grant) -> None:
        """The share is free again."""
        self.capacity.release(grant)
        line.grants -= 1
        line.blocked_since = None

    def draw(self, line: Line, count: int) -> list[Waiting]:
        """Take up to `count` tasks out, the oldest first."""
        waiting = line.waiting
        drawn = [waiting.popleft() for _ in range(min(count, len(waiting)))]
        self._size -= len(drawn)
        return drawn

    def put_back(self, line: Line, rows: Sequence[Waiting]) -> None:
        """Drawn tasks that did not start wait again, in their old places; before `finish`."""
        rows = sorted(rows, key=lambda waiting: waiting.arrival)
        waiting = line.waiting
        if rows and waiting and rows[-1].arrival > waiting[0].arrival:
            line.waiting = deque(sorted([*rows, *waiting], key=lambda w: w.arrival))
        else:
            waiting.extendleft(reversed(rows))
        self._size += len(rows)

    def give_back(self, job: int, count: int) -> list[AttemptRef]:
        """Take out up to `count` tasks of `job` that have not started, the newest first."""
        lines = [line for line in self._lines() if line.job == job]
        found = sorted(
            ((w.arrival, line.ref(w)) for line in lines for w in line.waiting), reverse=True
        )
        return self.remove([ref for _, ref in found[:count]])

    def remove(self, refs: Iterable[AttemptRef]) -> list[AttemptRef]:
        """Take these out; returns those that were waiting."""
        wanted = set(refs)
        removed: list[AttemptRef] = []
        for line in self._lines():
            mine = [ref for w in line.waiting if (ref := line.ref(w)) in wanted]
            if mine:
                removed += mine
                line.waiting = deque(w for w in line.waiting if line.ref(w) not in wanted)
        self._size -= len(removed)
        return removed

    def _lines(self) -> list[Line]:
        return [line for queue in self._queues.values() for line in queue.values()]

    def _in_order(self) -> list[Line]:
        """Lines with tasks, the most deserving first."""
        return sorted((line for line in self._lines() if line.waiting), key=lambda line: line.rank)

    def _forget_idle_lines(self) -> None:
        for queue in self._queues.values():
            for key in [key for key, line in queue.items() if not line.waiting and not line.grants]:
                del queue[key]
