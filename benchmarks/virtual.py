"""A cluster on a virtual clock: the production scheduler, and nodes with the production buffer.

Nothing is computed and nothing sleeps. A task takes as long as the caller's profile says; messages
take `MESSAGE_S` each way; the master's turns take `TURN_S` and `EVENT_S` for each event, twice what
control_plane.py measures, and what arrives meanwhile waits for the next turn. Chance comes from
the seed alone.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from heapq import heappop, heappush
from itertools import count
from tempfile import TemporaryFile
from typing import Any, NamedTuple

from common import ROOT

from stargen.executing.buffer import Line, TaskBuffer, Waiting
from stargen.executing.capacity import Capacity, Grant, Topology
from stargen.folding import fold
from stargen.master.definitions import adoption
from stargen.messages import AttemptRef, TaskFault, TaskOrder
from stargen.model import Campaign, JobSpec, Resources, Retries, Shape
from stargen.records import Record, encode
from stargen.scheduling.events import (
    DoneRow,
    EndCampaign,
    EnvelopesRead,
    Event,
    FailuresArrived,
    NodeAttached,
    NodeDetached,
    ReadEnvelopes,
    ResultsArrived,
    SendTasks,
    Step,
    TakeBackTasks,
    TasksGivenBack,
    Ticked,
)
from stargen.scheduling.plan import JobPlan, Plan
from stargen.scheduling.scheduler import Scheduler
from stargen.status import Status

sys.path.insert(0, str(ROOT / "tests"))

MESSAGE_S = 0.001
TURN_S = 0.001
EVENT_S = 40e-6
TICK_S = 1.0


@dataclass(frozen=True, slots=True)
class Work:
    """What tasks of a job are like.

    Parameters
    ----------
    task_s : seconds that this many candidates take
    made : the entries that come out of this many
    failing : share of attempts that fail, somewhere on their way
    """

    task_s: Callable[[random.Random, int], float]
    made: Callable[[random.Random, int], list[bytes]]
    failing: float = 0.0


def job(
    name: str,
    *inputs: str,
    shape: Shape = Shape.MAP,
    resources: Resources = Resources(),  # noqa: B008 - frozen
    retries: Retries = Retries(calculation=3),  # noqa: B008 - frozen
    **rest: Any,
) -> JobPlan:
    """A job of a plan; `planned` numbers it."""
    spec = JobSpec(name, inputs=inputs, retries=retries, select=rest.pop("select", None))
    return JobPlan(0, spec, shape, (), (), request=(resources,), **rest)


def planned(*jobs: JobPlan) -> Plan:
    """The plan of these jobs, upstream ones first."""
    from support.plans import joined

    specs = tuple(each.spec for each in jobs)
    numbered = (replace(each, **place) for each, place in zip(jobs, joined(specs), strict=True))
    return Plan(Campaign("virtual", specs), tuple(numbered), "digest", "text")


class Flight(NamedTuple):
    """A task that a node runs."""

    line: Line
    grant: Grant
    waiting: Waiting
    began: float


@dataclass
class Account:
    """What became of the cores' time, in core-seconds, and of the master's."""

    useful: float = 0.0
    failed: float = 0.0
    killed: float = 0.0
    away: float = 0.0
    tail: float = 0.0
    """Idle since the last task was sent for the first time."""
    useful_before_tail: float = 0.0
    total: float = 0.0
    longest_s: float = 0.0
    span_s: float = 0.0
    tail_s: float = 0.0
    tasks: int = 0
    deaths: int = 0
    master_s: float = 0.0


@dataclass
class Node:
    """One node: the production buffer, and what runs."""

    name: str
    cores: int
    incarnation: int = 0
    alive: bool = False
    running: dict[AttemptRef, Flight] = field(default_factory=dict)
    buffer: TaskBuffer = field(init=False)

    def start(self) -> None:
        topology = Topology((tuple(range(self.cores)),))
        self.buffer = TaskBuffer(Capacity(Resources(cores=self.cores), topology))
        self.running.clear()
        self.incarnation += 1
        self.alive = True


class VirtualCluster:
    """Runs one plan to its end.

    Parameters
    ----------
    work : by job
    nodes, cores : how many nodes, and of each how many cores
    deaths_per_hour : expected deaths of each node in an hour
    away_s : after its death a node is gone for so long
    """

    def __init__(
        self,
        plan: Plan,
        work: dict[str, Work],
        *,
        nodes: int,
        cores: int,
        deaths_per_hour: float = 0.0,
        away_s: float = 900.0,
        seed: int = 0,
    ) -> None:
        self.plan = plan
        self.now = 0.0
        self.account = Account()
        self.status = Status()
        self.scheduler = Scheduler(plan)
        self._work = [work.get(job.name) for job in plan.jobs]
        self._nodes = {f"n{i}": Node(f"n{i}", cores) for i in range(nodes)}
        self._cores = nodes * cores
        self._deaths_per_s = deaths_per_hour / 3600.0
        self._away_s = away_s
        self._chance = random.Random(seed)
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()
        self._inbox: list[Event] = []
        self._ended: EndCampaign | None = None
        self._disk = TemporaryFile(buffering=0)  # noqa: SIM115 - as long as the cluster
        self._is_read = any(state.routes for state in self.scheduler.state.jobs)
        self._written = 0
        self._busy = 0
        self._worked = self._since = 0.0
        self._newest = [-1] * len(plan.jobs)
        self._last_sent = (0.0, 0.0, 0.0)

    def run(self) -> Account:
        """Until the campaign is over."""
        self._remember(adoption(self.plan, self.now, "virtual"))
        step = self.scheduler.start(self.now, "host", 1, "virtual")
        for record in step.records:
            self._remember(record)
        self._take(step)
        for node in self._nodes.values():
            self._join(node)
        self._at(TICK_S, self._tick)
        while self._ended is None:
            at = self._agenda[0][0]
            while self._agenda and self._agenda[0][0] <= at:
                self.now, _, do = heappop(self._agenda)
                do()
        assert self._ended.state == "done", self._ended
        self._occupy(0)
        at, worked, lost = self._last_sent
        account = self.account
        account.span_s, account.tail_s = self.now, self.now - at
        account.total = self._cores * self.now
        account.tail = self._cores * account.tail_s - (self._worked - worked)
        account.useful_before_tail = worked - lost
        return account

    # --- the master -------------------------------------------------------------------------------

    def _tell(self, event: Event) -> None:
        """Something reaches the master, which takes all that waits when its turn comes."""
        if not self._inbox:
            self._at(TURN_S, self._turn)
        self._inbox.append(event)

    def _turn(self) -> None:
        events, self._inbox = self._inbox, []
        began = time.process_time()
        step = self.scheduler.handle(*events)
        for record in step.records:
            self._remember(record)
        self.account.master_s += time.process_time() - began
        self._at(EVENT_S * len(events), lambda: self._take(step))

    def _remember(self, record: Record) -> None:
        encode(record)
        fold(self.status, record)

    def _take(self, step: Step) -> None:
        for command in step.commands:
            match command:
                case SendTasks():
                    self._at(MESSAGE_S, lambda c=command: self._accept(c))
                case TakeBackTasks():
                    self._at(MESSAGE_S, lambda c=command: self._give_back(c))
                case EndCampaign():
                    self._ended = command
                case ReadEnvelopes():
                    entries = [
                        os.pread(self._disk.fileno(), where.size, where.offset)
                        for where in command.locations
                    ]
                    self._tell(
                        EnvelopesRead(self.now, command.job, command.input, command.lo, entries)
                    )
                case _:
                    pass

    def _tick(self) -> None:
        self._tell(Ticked(self.now))
        self._at(TICK_S, self._tick)

    # --- the nodes --------------------------------------------------------------------------------

    def _join(self, node: Node) -> None:
        node.start()
        resources = Resources(cores=node.cores)
        self._tell(
            NodeAttached(
                self.now, node.name, "local", node.name, node.incarnation, resources, [], []
            )
        )
        if self._deaths_per_s:
            life = node.incarnation
            self._at(self._chance.expovariate(self._deaths_per_s), lambda: self._die(node, life))

    def _die(self, node: Node, life: int) -> None:
        """With all that it runs; the master sees a link that is cut."""
        if node.incarnation != life:
            return
        node.alive = False
        account = self.account
        account.deaths += 1
        for flight in node.running.values():
            cores = flight.line.resources.cores
            self._occupy(-cores)
            account.killed += cores * (self.now - flight.began)
        account.away += node.cores * self._away_s
        node.running.clear()
        self._tell(NodeDetached(self.now, node.name, "the stream ended"))
        self._at(self._away_s, lambda: self._join(node))

    def _accept(self, command: SendTasks) -> None:
        node = self._nodes[command.node]
        if not node.alive:
            return
        if command.rows[-1].ordinal > self._newest[command.job]:
            self._newest[command.job] = command.rows[-1].ordinal
            self._occupy(0)
            account = self.account
            self._last_sent = self.now, self._worked, account.failed + account.killed
        orders = [TaskOrder(row.ordinal, row.n, row.lo, row.hi, [], []) for row in command.rows]
        epoch = self.scheduler.state.epoch
        node.buffer.accept(command.job, command.resources, command.priority, epoch, orders)
        self._begin(node)

    def _occupy(self, cores: int) -> None:
        """So many more cores work from now on."""
        self._worked += self._busy * (self.now - self._since)
        self._busy, self._since = self._busy + cores, self.now

    def _begin(self, node: Node) -> None:
        while (line := node.buffer.next(self.now)) is not None:
            grant = node.buffer.grant(line)
            (waiting,) = node.buffer.draw(line, 1)
            ref = line.ref(waiting)
            node.running[ref] = Flight(line, grant, waiting, self.now)
            self._occupy(line.resources.cores)
            work = self._work[line.job]
            assert work is not None
            order = waiting.order
            task_s = work.task_s(self._chance, order.hi - order.lo)
            fails = work.failing > 0 and self._chance.random() < work.failing
            if fails:
                task_s *= self._chance.random()
            self._at(task_s, partial(self._finish, node, node.incarnation, ref, fails))

    def _finish(self, node: Node, life: int, ref: AttemptRef, fails: bool) -> None:
        if node.incarnation != life or not node.alive:
            return
        flight = node.running.pop(ref)
        node.buffer.finish(flight.line, flight.grant)
        took_s, cores = self.now - flight.began, flight.line.resources.cores
        self._occupy(-cores)
        core_s = took_s * cores
        if fails:
            self.account.failed += core_s
            fault = TaskFault(*ref, "calculation", "chance", "by chance", duration_s=took_s)
            event: Event = FailuresArrived(self.now, node.name, [fault])
        else:
            event = self._result(node, ref, flight, took_s)
            self.account.useful += core_s
        self._at(MESSAGE_S, lambda: self._tell(event))
        self._begin(node)

    def _result(self, node: Node, ref: AttemptRef, flight: Flight, took_s: float) -> ResultsArrived:
        account, order = self.account, flight.waiting.order
        account.tasks += 1
        account.longest_s = max(account.longest_s, took_s)
        work = self._work[ref.job]
        assert work is not None
        entries = work.made(self._chance, order.hi - order.lo)
        at = self._written
        self._written += sum(map(len, entries))
        if self._is_read:
            self._disk.write(b"".join(entries))
        return ResultsArrived(self.now, node.name, [DoneRow(*ref, took_s, 1, at, entries)])

    def _give_back(self, command: TakeBackTasks) -> None:
        node = self._nodes[command.node]
        if node.alive:
            back = node.buffer.give_back(command.job, command.count)
            event = TasksGivenBack(self.now, node.name, back, "asked")
            self._at(MESSAGE_S, lambda: self._tell(event))

    def _at(self, after_s: float, do: Callable[[], None]) -> None:
        heappush(self._agenda, (self.now + after_s, next(self._number), do))
