"""The state of one job: its lanes, its open tasks, its stream and its counts.

Everything here changes only by records (see scheduler.apply), so that replay gives the same state.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from stargen.codec import pack
from stargen.model import Location, Request, Resources, Shape
from stargen.scheduling.aggregator import PARTITIONS, Ranking
from stargen.scheduling.intervals import IntervalSet
from stargen.scheduling.lifecycle import TaskState
from stargen.scheduling.nodelist import resources_form, resources_from
from stargen.scheduling.plan import JobPlan
from stargen.scheduling.streams import ENDLESS, KeyedLane, Lane, OrdinalLane, Stream

_SMOOTHING = 0.2


class Task:
    """An open task: a range of a lane, and its tries so far."""

    __slots__ = (
        "assigned_at",
        "epoch",
        "failed_on",
        "hi",
        "lane",
        "lo",
        "memory_factor",
        "n",
        "node",
        "ordinal",
        "pinned",
        "request",
        "state",
        "tries",
    )

    def __init__(self, ordinal: int, lane: int, lo: int, hi: int) -> None:
        self.ordinal = ordinal
        self.lane = lane
        self.lo = lo
        self.hi = hi
        self.state: TaskState = "queued"
        self.node = ""
        self.epoch = 0
        self.n = 0
        self.request: Resources | None = None
        self.assigned_at = 0.0
        self.memory_factor = 1.0
        self.tries: dict[str, int] | None = None
        self.failed_on = ""
        """The node on which its last attempt failed: another try is better made elsewhere."""
        self.pinned: Location | None = None
        """Where the candidate of a reopened quarantine lies; its lane has moved on."""

    def tried(self, failure: str) -> int:
        """How often an attempt ended with this class of failure."""
        return self.tries.get(failure, 0) if self.tries else 0

    def count_try(self, failure: str) -> None:
        if self.tries is None:
            self.tries = {}
        self.tries[failure] = self.tries.get(failure, 0) + 1

    def form(self) -> list[Any]:
        request = None if self.request is None else resources_form(self.request)
        return [
            self.ordinal, self.lane, self.lo, self.hi, self.state, self.node, self.epoch, self.n,
            request, self.assigned_at, self.memory_factor, self.tries,
            None if self.pinned is None else list(self.pinned), self.failed_on,
        ]  # fmt: skip

    @classmethod
    def from_form(cls, form: list[Any]) -> Task:
        made = cls(*form[:4])
        made.state, made.node, made.epoch, made.n = form[4:8]
        made.request = None if form[8] is None else resources_from(form[8])
        made.assigned_at, made.memory_factor, made.tries = form[9:12]
        made.pinned = None if form[12] is None else Location(*form[12])
        made.failed_on = form[13] if len(form) > 13 else ""
        return made


class Pace:
    """How long a job's candidates take and how many come out, as running means."""

    __slots__ = ("candidate_s", "fan_out", "spread_s", "task_s")

    def __init__(self) -> None:
        self.candidate_s: float | None = None
        self.task_s: float | None = None
        self.spread_s = 0.0
        self.fan_out = 1.0

    def learn(self, duration_s: float, n_in: int, n_out: int) -> None:
        """One task took `duration_s` for `n_in` candidates and put out `n_out`."""
        each = duration_s / n_in
        if self.candidate_s is None or self.task_s is None:
            self.candidate_s, self.task_s, self.fan_out = each, duration_s, n_out / n_in
            return
        self.candidate_s += _SMOOTHING * (each - self.candidate_s)
        off = duration_s - self.task_s
        self.task_s += _SMOOTHING * off
        self.spread_s += _SMOOTHING * (abs(off) - self.spread_s)
        self.fan_out += _SMOOTHING * (n_out / n_in - self.fan_out)


class Quarantine:
    """One candidate set aside."""

    __slots__ = ("lane", "location", "position", "reason")

    def __init__(self, lane: int, position: int, location: Location | None, reason: str) -> None:
        self.lane = lane
        self.position = position
        self.location = location
        self.reason = reason


class JobState:
    """One job on its way."""

    def __init__(self, plan: JobPlan, upstream: list[Stream]) -> None:
        self.plan = plan
        self.out = Stream()
        self.upstream = upstream
        self.tasks: dict[int, Task] = {}
        self.retry: deque[int] = deque()
        """Ordinals of queued tasks, and perhaps of some that are not queued any more."""
        self.next_ordinal = 0
        self.pace = Pace()
        self.held: str | None = None
        self.held_by = ""
        self.closed: str | None = None
        self.finished = 0
        self.dropped: dict[str, int] = {}
        self.quarantined: list[Quarantine] = []
        self.failures = 0
        self.arrived = [0] * len(plan.inputs)
        """How much of each input has been routed; used by jobs that route."""
        self.steered: list[tuple[int, dict[str, Any]]] = []
        """For a source that adapts: (ordinal, parameters that hold from there on), ascending."""
        self.seen: set[int] = set()
        """Hashes of candidate ids, for jobs with several inputs: each comes through once."""
        self.requests: list[Request] = [plan.request]
        """Resource requests of the lanes, for jobs that choose by envelope; else only one."""
        self.kept = Stream()
        self.kept_by_key: dict[int, int | tuple[int, ...]] = {}
        self.ranking = self._first_ranking()
        self.lanes = self._first_lanes()

    def _first_ranking(self) -> Ranking | None:
        select = self.plan.spec.select
        limit = (select.limit or select.sample) if select else None
        return Ranking(limit) if limit else None

    def _first_lanes(self) -> list[Lane]:
        plan = self.plan
        if plan.shape is Shape.SOURCE:
            return [OrdinalLane(plan.total)]
        if plan.is_select:
            return []
        if plan.shape is Shape.KEYED:
            return [KeyedLane() for _ in range(PARTITIONS)]
        if self.routes:
            return [Lane(Stream())]
        return [Lane(self.upstream[0])]

    @property
    def index(self) -> int:
        return self.plan.index

    @property
    def routes(self) -> bool:
        """True if each arriving candidate must be told its lane by its envelope."""
        plan = self.plan
        return (
            plan.is_select
            or plan.shape is Shape.KEYED
            or plan.request_of is not None
            or len(plan.inputs) > 1
        )

    @property
    def source_lane(self) -> OrdinalLane:
        lane = self.lanes[0]
        assert isinstance(lane, OrdinalLane)
        return lane

    @property
    def cannot_end(self) -> bool:
        """True for a source that has not said where it ends."""
        return self.plan.shape is Shape.SOURCE and self.source_lane.end == ENDLESS

    def request_for(self, task_lane: int) -> Request:
        """The resource request of a lane's tasks."""
        return self.requests[task_lane if len(self.requests) > 1 else 0]

    def consumed(self) -> int:
        """Candidates of the input that the job is done with, turned-away ones included."""
        if self.plan.is_select:
            return sum(self.arrived)
        done = sum(lane.done.total for lane in self.lanes)
        if self.routes:
            queued = sum(lane.length for lane in self.lanes)
            return sum(self.arrived) - (queued - done)
        return done

    def in_tasks(self) -> int:
        """Candidates of open tasks."""
        return sum(lane.cursor - lane.done.total for lane in self.lanes)

    def backlog(self) -> int:
        """Candidates that came in and are in no task yet.

        Those at work are bounded by the nodes; were they counted, a bound on what waits would
        leave the nodes of a large cluster idle.
        """
        came_in = sum(stream.length for stream in self.upstream)
        return came_in - self.consumed() - self.in_tasks()

    def reserved(self) -> float:
        """Candidates that open tasks are expected to put out."""
        return self.in_tasks() * max(self.pace.fan_out, 0.0)

    def needed_from(self, input_: int) -> int:
        """The first entry of that input whose location this job may still ask for."""
        if self.closed is not None:
            return self.upstream[input_].length
        return self.arrived[input_] if self.routes else self.lanes[0].done.floor

    def params_at(self, ordinal: int) -> bytes:
        """The packed parameters that steering set for `ordinal`; empty if the file's hold."""
        found = next((p for at, p in reversed(self.steered) if at <= ordinal), None)
        return pack(found) if found is not None else b""

    def keep(self, key: int, position: int) -> None:
        """Output `position` was kept under `key`."""
        self.kept.append(self.out.location(position))
        mine = self.kept.length - 1
        before = self.kept_by_key.get(key)
        if before is None:
            self.kept_by_key[key] = mine
        else:
            self.kept_by_key[key] = (*before, mine) if isinstance(before, tuple) else (before, mine)

    def kept_locations(self, key: int) -> list[Location]:
        """Where the candidates lie that `key` has kept so far, in order."""
        at = self.kept_by_key.get(key, ())
        return [self.kept.location(i) for i in (at if isinstance(at, tuple) else (at,))]

    # --- snapshot ---------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        own_lanes = [
            [
                lane.cursor,
                lane.done.as_list(),
                lane.end if isinstance(lane, OrdinalLane) else None,
                lane.stream.state() if self.routes else None,
                lane.keys_state() if isinstance(lane, KeyedLane) else None,
            ]
            for lane in self.lanes
        ]
        return {
            "out": self.out.state(),
            "lanes": own_lanes,
            "tasks": [self.tasks[ordinal].form() for ordinal in sorted(self.tasks)],
            "next": self.next_ordinal,
            "pace": [
                self.pace.candidate_s, self.pace.task_s, self.pace.spread_s, self.pace.fan_out
            ],
            "held": [self.held, self.held_by],
            "closed": self.closed,
            "finished": self.finished,
            "dropped": self.dropped,
            "failures": self.failures,
            "quarantined": [
                [q.lane, q.position, None if q.location is None else list(q.location), q.reason]
                for q in self.quarantined
            ],
            "arrived": self.arrived,
            "steered": self.steered,
            "seen": sorted(self.seen),
            "requests": [[resources_form(r) for r in request] for request in self.requests],
            "kept": self.kept.state(),
            "keys": [list(self.kept_by_key), list(self.kept_by_key.values())],
            "ranking": self.ranking.state() if self.ranking is not None else None,
        }  # fmt: skip

    def load(self, state: dict[str, Any]) -> None:
        """Take the state of a snapshot; the out stream keeps its identity for its readers."""
        self.out.become(Stream.from_state(state["out"]))
        while len(self.lanes) < len(state["lanes"]):
            self.lanes.append(Lane(Stream()))
        for lane, (cursor, done, end, stream, keys) in zip(self.lanes, state["lanes"], strict=True):
            lane.cursor, lane.done = cursor, IntervalSet.from_list(done)
            if isinstance(lane, OrdinalLane):
                lane.end = end
            if stream is not None:
                lane.stream.become(Stream.from_state(stream))
            if isinstance(lane, KeyedLane):
                lane.load_keys(keys)
        self.tasks = {form[0]: Task.from_form(form) for form in state["tasks"]}
        self.retry = deque(o for o, task in self.tasks.items() if task.state == "queued")
        self.next_ordinal = state["next"]
        pace = self.pace
        pace.candidate_s, pace.task_s, pace.spread_s, pace.fan_out = state["pace"]
        (self.held, self.held_by), self.closed = state["held"], state["closed"]
        self.finished, self.dropped = state["finished"], state["dropped"]
        self.failures = state["failures"]
        self.quarantined = [
            Quarantine(lane, position, None if where is None else Location(*where), reason)
            for lane, position, where, reason in state["quarantined"]
        ]
        self.arrived, self.seen = state["arrived"], set(state["seen"])
        self.steered = [(ordinal, params) for ordinal, params in state["steered"]]
        self.requests = [tuple(resources_from(r) for r in request) for request in state["requests"]]
        self.kept.become(Stream.from_state(state["kept"]))
        keys, values = state["keys"]
        self.kept_by_key = {
            int(key): value if isinstance(value, int) else tuple(value)
            for key, value in zip(keys, values, strict=True)
        }
        if self.ranking is not None:
            self.ranking.load(state["ranking"])
