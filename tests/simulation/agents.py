"""Agents on the production task buffer, whose tasks take as long as chance will."""

from __future__ import annotations

import random
from collections.abc import Callable

from stargen.executing.buffer import Line, TaskBuffer
from stargen.executing.capacity import Capacity, Grant, Topology
from stargen.messages import (
    AckResults,
    Attach,
    AttemptRef,
    CancelTasks,
    DefineJob,
    GaveBack,
    Inventory,
    RunTasks,
    Settle,
    TakeBack,
    TaskDone,
    TaskFault,
    TaskOrder,
    TasksDone,
    TasksFailed,
)
from stargen.model import Resources, Shape
from stargen.scheduling.nodelist import resources_form, resources_from
from tests.simulation.cluster import entry, name_of

Work = Callable[[str, list[str], list[str]], list[str] | None]
"""(job, candidate ids, kept ids) -> ids that come out; None: this attempt fails."""


class Agent:
    """One node: the production buffer, and tasks that take as long as chance will."""

    def __init__(self, name: str, cores: int, work: Work, chance: random.Random) -> None:
        self.name = name
        self.incarnation = 0
        self.executions = 0
        self.let_go: set[tuple[int, int]] = set()
        """Tasks whose results it keeps no longer, for the master said that they are safe."""
        self._resources = Resources(cores=cores)
        self._work = work
        self._chance = chance
        self._spool: dict[AttemptRef, TaskDone | TaskFault] = {}
        self.die()

    def die(self) -> None:
        """The process ends; its successor finds the spool on the disk."""
        topology = Topology((tuple(range(self._resources.cores)),))
        self._buffer = TaskBuffer(Capacity(self._resources, topology))
        self._running: dict[AttemptRef, tuple[float, TaskOrder, Line, Grant]] = {}
        self._jobs: dict[int, DefineJob] = {}
        self._defined: set[int] = set()
        self._said: list[object] = []
        self._attached = False
        self._epoch = 0
        self.incarnation += 1

    def hang_up(self) -> None:
        self._attached = False
        self._said.clear()

    def says(self) -> list[object]:
        said, self._said = self._said, []
        return said

    def hear(self, message: object) -> None:
        match message:
            case Attach():
                self._attached, self._epoch = True, message.epoch
                self._defined.clear()
                self._said.append(self._inventory())
            case Settle():
                self._cancel(message.cancel)
                known = {*message.keep, *message.cancel, *message.deliver}
                self._cancel([ref for ref in self._in_hand() if ref not in known])
                self._deliver([ref for ref in message.deliver if ref in self._spool])
            case DefineJob():
                self._jobs[message.job] = message
                self._defined.add(message.job)
            case RunTasks():
                assert message.job in self._defined, "tasks of a job that nobody defined"
                request = resources_from(message.resources)
                self._buffer.accept(
                    message.job, request, message.priority, self._epoch, message.tasks
                )
            case AckResults():
                for ref in message.attempts:
                    if isinstance(self._spool.pop(ref, None), TaskDone):
                        self.let_go.add((ref.job, ref.ordinal))
            case CancelTasks():
                self._said.append(GaveBack(self._cancel(message.attempts), message.reason))
            case TakeBack():
                back = self._buffer.give_back(message.job, message.count)
                self._said.append(GaveBack(back, "asked"))
            case _:
                raise AssertionError(f"an agent is told {message}")

    def work(self, now: float) -> None:
        """Begin what fits, and end what is due."""
        while (line := self._buffer.next(now)) is not None:
            (waiting,) = self._buffer.draw(line, 1)
            grant = self._buffer.grant(line)
            ends_at = now + self._chance.expovariate(2.0)
            self._running[line.ref(waiting)] = (ends_at, waiting.order, line, grant)
        ended = [ref for ref, (ends_at, *_) in self._running.items() if ends_at <= now]
        for ref in ended:
            _, order, line, grant = self._running.pop(ref)
            self._buffer.finish(line, grant)
            self._spool[ref] = self._result(ref, order)
        if self._attached:
            self._deliver(ended)

    def _result(self, ref: AttemptRef, order: TaskOrder) -> TaskDone | TaskFault:
        job = self._jobs[ref.job]
        names = [name_of(data) for data in order.entries]
        if job.shape == Shape.SOURCE.value:
            names = [f"{job.name}/{n}" for n in range(order.lo, order.hi)]
        self.executions += 1
        out = self._work(job.name, names, [name_of(data) for data in order.kept])
        if out is None:
            return TaskFault(*ref, "calculation", "boom", "it broke")
        return TaskDone(ref.ordinal, ref.epoch, ref.n, 0.5, [entry(name) for name in out])

    def _deliver(self, refs: list[AttemptRef]) -> None:
        for ref in refs:
            result = self._spool[ref]
            done = isinstance(result, TaskDone)
            self._said.append(TasksDone(ref.job, [result]) if done else TasksFailed([result]))

    def _in_hand(self) -> list[AttemptRef]:
        return [*self._running, *self._buffer.refs()]

    def _cancel(self, refs: list[AttemptRef]) -> list[AttemptRef]:
        gone = self._buffer.remove(refs)
        for ref in refs:
            if ref in self._running:
                _, _, line, grant = self._running.pop(ref)
                self._buffer.finish(line, grant)
                gone.append(ref)
            self._spool.pop(ref, None)
        return gone

    def _inventory(self) -> Inventory:
        form = resources_form(self._resources)
        running, spooled = self._in_hand(), list(self._spool)
        return Inventory(
            "c", self.name, self.incarnation, "boot", "host", 0, form, running, spooled
        )
