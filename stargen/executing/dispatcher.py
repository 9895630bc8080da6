"""Dispatcher: brings tasks from the buffer to workers, and knows who is at what.

A *slot* is one grant at work: it binds a share of the node to a worker (for external programs, to
one thread of their host) and has some tasks in hand. A slot lives as long as its line has tasks and
no other line deserves the share more. One that runs dry *lingers* for a moment, because in a chain
of jobs the next task often comes a moment later; it makes way as soon as anybody wants its share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from stargen.executing.board import Cell
from stargen.executing.buffer import Line, TaskBuffer, Waiting
from stargen.executing.capacity import Grant
from stargen.executing.pace import Pace
from stargen.executing.pool import WorkerPool
from stargen.executing.worker import Worker
from stargen.messages import AttemptRef, Checkpointed, DefineJob, RunTasks
from stargen.model import AttemptId, Scratch
from stargen.scheduling.nodelist import resources_form

_MOST_BYTES = 8 * 1024 * 1024


class Keeper(Protocol):
    """Where earlier attempts left their checkpoints."""

    def load(self, job: str, ordinal: int) -> bytes | None: ...


@dataclass(slots=True, eq=False)
class Slot:
    """One grant at work. `stuck`: its task takes long, it gets no others until that has ended."""

    number: int
    worker: Worker
    line: Line
    grant: Grant
    job: DefineJob
    flying: dict[AttemptId, Waiting] = field(default_factory=dict[AttemptId, Waiting])
    stuck: bool = False
    dry_since: float | None = None

    @property
    def cell(self) -> Cell:
        """What it is at now."""
        return self.worker.board.read(self.number)

    def ref(self, attempt: AttemptId) -> AttemptRef:
        """The name on the wire of an attempt in hand."""
        return self.line.ref(self.flying[attempt])


class Flight(NamedTuple):
    """An attempt that a slot runs now."""

    slot: Slot
    ref: AttemptRef
    cell: Cell


class Dispatcher:
    """The slots of one node.

    Parameters
    ----------
    buffer : what waits, and the account of the node
    pool : the workers
    checkpoints : of earlier attempts
    place : where task folders of a kind lie
    on_trouble : told that tasks could not be started, and why
    """

    def __init__(
        self,
        buffer: TaskBuffer,
        pool: WorkerPool,
        checkpoints: Keeper,
        place: Callable[[Scratch], Path],
        on_trouble: Callable[[list[AttemptRef], str], None],
    ) -> None:
        self.jobs: dict[int, DefineJob] = {}
        self.hosts: dict[AttemptId, list[str]] = {}
        """The hosts that an attempt has for itself, if it has several."""
        self.pace = Pace()
        self._buffer = buffer
        self._pool = pool
        self._checkpoints = checkpoints
        self._place = place
        self._on_trouble = on_trouble
        self._slots: list[Slot] = []
        self._slot_of: dict[AttemptId, Slot] = {}

    @property
    def slots(self) -> list[Slot]:
        return self._slots

    def in_hand(self) -> list[AttemptRef]:
        """Every attempt that a worker has, running or about to."""
        return [slot.ref(attempt) for slot in self._slots for attempt in slot.flying]

    def running(self) -> list[Flight]:
        """What runs at this moment."""
        flights: list[Flight] = []
        for slot in self._slots:
            cell = slot.cell
            attempt = AttemptId(cell.epoch, cell.n)
            if cell.busy and attempt in slot.flying:
                flights.append(Flight(slot, slot.ref(attempt), cell))
        return flights

    def slot_of(self, ref: AttemptRef) -> Slot | None:
        """Who has this attempt in hand."""
        return self._slot_of.get(AttemptId(ref.epoch, ref.n))

    def define(self, job: DefineJob) -> None:
        """Learn of a job, or of a change to it: what has not begun runs by the new definition."""
        if self.jobs.get(job.job) == job:
            return
        self.jobs[job.job] = job
        for slot in self._slots:
            if slot.job.job == job.job:
                slot.job = job
                slot.worker.define(job)
                slot.worker.flush()

    # --- towards workers --------------------------------------------------------------------------

    def feed(self, now: float, hungry: Iterable[Slot] | None = None) -> None:
        """Top up these slots (all by default), then grant what is free."""
        for slot in list(self._slots if hungry is None else hungry):
            self._top_up(slot, now)
        while len(self._buffer):
            line = self._buffer.next(now)
            if line is None:
                if not self.close_dry_slots(now, now):
                    return
            elif not self._open_slot(line, now):
                return

    def close_dry_slots(self, before: float, now: float) -> bool:
        """End the slots that lingered since `before` or longer; True if there were any."""
        dry = [s for s in self._slots if s.dry_since is not None and s.dry_since <= before]
        for slot in dry:
            self._close_slot(slot, now)
        return bool(dry)

    def _open_slot(self, line: Line, now: float) -> bool:
        """Give the line a share and a worker; False if no worker can be started."""
        self.close_dry_slots(now, now)  # their workers may be the right ones
        job, request = self.jobs[line.job], line.resources
        warm = None if job.program else self._pool.suited(job, request.cores, None)
        capacity = self._buffer.capacity
        if request.memory_gib:
            self._pool.make_room(request.memory_gib, capacity.free_gib(), warm)
        grant = self._buffer.grant(line, warm.cores if warm is not None else ())
        try:
            place = self._place(request.scratch)
            worker = self._worker_for(job, grant)
        except OSError as error:
            self._buffer.finish(line, grant)
            refs = [line.ref(waiting) for waiting in line.waiting]
            self._buffer.remove(refs)
            self._on_trouble(refs, f"no worker can be started: {error}")
            return False
        taken = {slot.number for slot in self.slots_of(worker)}
        number = next(n for n in range(len(taken) + 1) if n not in taken)
        slot = Slot(number, worker, line, grant, job)
        self._slots.append(slot)
        worker.grant(number, grant, resources_form(request), place)
        self._top_up(slot, now)
        return True

    def _worker_for(self, job: DefineJob, grant: Grant) -> Worker:
        if job.program:
            return self._pool.host(job, lambda worker: len(self.slots_of(worker)))
        return self._pool.take(job, grant)

    def _top_up(self, slot: Slot, now: float) -> None:
        """Give a slot more of its line's tasks, or end it if there is nothing more for it."""
        line, have = slot.line, len(slot.flying)
        window = self.pace.window(line.job)
        if have and (slot.stuck or have > window // 2 or not line.waiting):
            return
        if not slot.worker.usable:
            self._close_slot(slot, now)
            return
        if not line.waiting:
            slot.dry_since = now
            return
        if self._buffer.should_yield(line, slot.grant, now):
            self._close_slot(slot, now)
            return
        slot.dry_since = None
        share = -(-len(line.waiting) // line.grants)
        fit = _MOST_BYTES // (1 + sum(map(len, line.waiting[0].order.entries)))
        rows = self._buffer.draw(line, max(1, min(window - have, share, fit)))
        self._send(slot, rows)

    def _send(self, slot: Slot, rows: list[Waiting]) -> None:
        line = slot.line
        together: dict[tuple[int, tuple[str, ...]], list[Waiting]] = {}
        for row in rows:
            attempt = AttemptId(row.epoch, row.order.n)
            slot.flying[attempt] = row
            self._slot_of[attempt] = slot
            hosts = tuple(self.hosts.get(attempt, ())) if self.hosts else ()
            together.setdefault((row.epoch, hosts), []).append(row)
        for (epoch, hosts), mine in together.items():
            kept = self._kept(slot.job, mine)
            orders = [row.order for row in mine]
            run = RunTasks(line.job, [], line.priority, orders, epoch, slot.number, list(hosts))
            slot.worker.run(run, kept)
        slot.worker.flush()

    def _kept(self, job: DefineJob, rows: list[Waiting]) -> list[Checkpointed]:
        """Checkpoints of earlier attempts, for jobs that make any."""
        if job.checkpoint == "none" and len(job.steps) < 2:
            return []
        ordinals = [row.order.ordinal for row in rows]
        found = [(ordinal, self._checkpoints.load(job.name, ordinal)) for ordinal in ordinals]
        return [Checkpointed(job.job, o, state) for o, state in found if state is not None]

    def _close_slot(self, slot: Slot, now: float) -> None:
        if slot.flying:
            return
        self._slots.remove(slot)
        self._buffer.finish(slot.line, slot.grant)
        if not any(other.worker is slot.worker for other in self._slots):
            self._pool.rest(slot.worker, now)

    # --- from workers -----------------------------------------------------------------------------

    def landed(self, attempts: Iterable[AttemptId]) -> set[Slot]:
        """These have ended; returns the slots that now have less in hand."""
        touched: set[Slot] = set()
        for attempt in attempts:
            slot = self._slot_of.pop(attempt, None)
            self.hosts.pop(attempt, None)
            if slot is not None:
                del slot.flying[attempt]
                slot.stuck = False
                touched.add(slot)
        return touched

    def returned(self, attempts: Iterable[AttemptId]) -> set[Slot]:
        """These never started: they wait again. Returns as `landed`."""
        found: dict[Slot, list[AttemptId]] = {}
        for attempt in attempts:
            slot = self._slot_of.get(attempt)
            if slot is not None:
                found.setdefault(slot, []).append(attempt)
        for slot, mine in found.items():
            self._buffer.put_back(slot.line, [slot.flying.pop(attempt) for attempt in mine])
            for attempt in mine:
                del self._slot_of[attempt]
        return set(found)

    def slots_of(self, worker: Worker) -> list[Slot]:
        """What a worker is at."""
        return [slot for slot in self._slots if slot.worker is worker]

    def bury(self, worker: Worker) -> None:
        """The worker is gone: what it had in hand and did not lose waits again."""
        for slot in self.slots_of(worker):
            self.returned(list(slot.flying))
            self._slots.remove(slot)
            self._buffer.finish(slot.line, slot.grant)
        self._pool.ended(worker)


def attempts_of(rows: Iterable[AttemptRef]) -> list[AttemptId]:
    """The attempts that these names stand for."""
    return [AttemptId(ref.epoch, ref.n) for ref in rows]
