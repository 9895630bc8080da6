"""The microkernel: event -> scheduler -> journal -> commands, for ever.

Each turn takes everything that waits, stamps it with the clock, lets the scheduler decide, appends
its records to the journal and folds them into the status. Commands wait, in order, until the
records behind which they came are on disk; meanwhile the loop goes on. So memory leads the disk,
and nothing leaves the process before what it follows from is safe.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from stargen.clock import Clock
from stargen.codec import pack
from stargen.errors import JournalFull
from stargen.folding import fold
from stargen.glance import OF_TASKS, Ends
from stargen.journal.journal import Journal
from stargen.master.inbox import Inbox
from stargen.records import Alerted, Record, TasksAssigned, TasksFinished, encode
from stargen.scheduling.events import (
    Asked,
    Command,
    DiskStateChanged,
    EndCampaign,
    EnvelopesRead,
    ReadEnvelopes,
    Step,
    Ticked,
)
from stargen.scheduling.scheduler import Scheduler
from stargen.status import Status
from stargen.status_forms import freeze
from stargen.version import __version__

_TICK_S = 1.0
_SNAPSHOT_ROWS = 400_000
"""Replay takes in some 200,000 rows a second; two seconds of it are worth a snapshot."""
_BEHIND_BYTES = 256 * 2**20
"""So much may wait for a slow or full disk before nothing more is taken in."""


class Performer(Protocol):
    """Carries out the commands that concern nodes."""

    def perform(self, command: Command) -> None: ...

    def flush(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Ended:
    """How the loop came to its end."""

    state: str
    reason: str


class Kernel:
    """One campaign's loop."""

    def __init__(
        self,
        scheduler: Scheduler,
        journal: Journal,
        inbox: Inbox,
        *,
        status: Status,
        clock: Clock,
        performer: Performer,
    ) -> None:
        self.scheduler = scheduler
        self.journal = journal
        self.inbox = inbox
        self.status = status
        self._clock = clock
        self._performer = performer
        self._due: deque[tuple[int, list[Command]]] = deque()
        self._ended: Ended | None = None
        self._caught_up = asyncio.Event()
        self._rows = 0
        self.ends = Ends()
        self.nodes_changed_at = journal.position
        """Of the last record that may have changed more of a node than its counts of tasks."""
        self._failure: Exception | None = None
        self._group: asyncio.TaskGroup | None = None

    # --- the loop ---------------------------------------------------------------------------------

    async def begin(self, adopted: Record, asked: Sequence[Asked] = ()) -> None:
        """Take the campaign: the plan and the new epoch are on disk when this returns."""
        self.note(adopted)
        at = self._clock.wall()
        self._do(self.scheduler.start(at, socket.gethostname(), os.getpid(), __version__))
        if asked:
            self._do(self.scheduler.handle(*asked))
        await self.journal.until_durable()

    @property
    def over(self) -> bool:
        """True if there is nothing to run for."""
        return self._ended is not None

    async def run(self) -> Ended:
        """Turn until the campaign is over, or is told to stop.

        Raises
        ------
        InvariantBroken, JournalError, or what else made it impossible to go on
        """
        async with asyncio.TaskGroup() as self._group:
            ticking = self._group.create_task(self._tick())
            while self._ended is None:
                await self._turn()
            ticking.cancel()
        return self._ended

    async def _turn(self) -> None:
        happened = await self.inbox.take()
        if self._failure is not None:
            raise self._failure
        at = self._clock.wall()
        events = [event for make in happened if (event := make(at)) is not None]
        if events:
            self._do(self.scheduler.handle(*events))
        while self.journal.pending_bytes > _BEHIND_BYTES and self._failure is None:
            self._caught_up.clear()
            await self._caught_up.wait()

    def _do(self, step: Step) -> None:
        for record in step.records:
            self._remember(record)
        self._due.append((self.journal.position, step.commands))
        self._continue()

    def _remember(self, record: Record) -> None:
        form = encode(record)
        position = self.journal.append(form)
        fold(self.status, record)
        self._rows += len(record.rows) if isinstance(record, TasksAssigned | TasksFinished) else 1
        if not isinstance(record, TasksAssigned):
            self.ends.take(position, record, form)
        if not isinstance(record, OF_TASKS):
            self.nodes_changed_at = position

    def _continue(self) -> None:
        """Perform what may be performed, and see to it that the rest becomes so."""
        self._perform_due()
        if self.journal.error is None:
            self.journal.flush()
            self._perform_due()  # a small group is on disk by now
        if self._rows > _SNAPSHOT_ROWS and self._group is not None:
            self._rows = 0
            self._group.create_task(self.keep_snapshot())

    def _perform_due(self) -> None:
        """Perform the commands whose records are on disk."""
        durable = self.journal.durable_position
        due = self._due
        while due and due[0][0] <= durable:
            for command in due.popleft()[1]:
                self._perform(command)
        self._performer.flush()

    def _perform(self, command: Command) -> None:
        if isinstance(command, ReadEnvelopes):
            entries = self.journal.read_all(command.locations)
            job, input_, lo = command.job, command.input, command.lo
            self.inbox.put(lambda at: EnvelopesRead(at, job, input_, lo, entries))
        elif isinstance(command, EndCampaign):
            if command.state == "stopped" or self.scheduler.state.ended is not None:
                self.end(command.state, command.reason)  # and it was not taken back meanwhile
        else:
            self._performer.perform(command)

    # --- what others tell it ----------------------------------------------------------------------

    def durable(self, position: int) -> None:
        """The journal has put all up to `position` on disk."""
        self._caught_up.set()
        try:
            self._continue()
        except Exception as error:  # in a callback of the event loop nobody would hear it
            self.fail(error)

    def disk_full(self, full: bool) -> None:
        """The journal's disk has no room, or has again."""
        self.inbox.put(lambda at: DiskStateChanged(at, full))

    def note(self, record: Record) -> None:
        """Remember a fact that is not the scheduler's."""
        self._remember(record)
        self._continue()

    def conclude(self, record: Record) -> None:
        """Remember a fact that is the scheduler's, when it decides nothing any more."""
        self.scheduler.apply(record)
        self.note(record)

    def alert(self, text: str) -> None:
        """Tell people."""
        self.note(Alerted(self._clock.wall(), text))

    def end(self, state: str, reason: str) -> None:
        """Leave the loop after this turn; the first reason stands."""
        self._ended = self._ended or Ended(state, reason)
        self.inbox.put(lambda at: None)

    def fail(self, error: Exception) -> None:
        """Going on is impossible: `run` raises this."""
        self._failure = self._failure or error
        self._caught_up.set()
        self.inbox.put(lambda at: None)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            self.inbox.put(Ticked)

    # --- snapshots --------------------------------------------------------------------------------

    async def keep_snapshot(self) -> None:
        """Write the state down, so that the next master need not read everything."""
        state = pack([self.scheduler.snapshot(), freeze(self.status)])
        try:
            await self.journal.snapshot(state, self.journal.position)
        except JournalFull as error:
            self.alert(f"no snapshot was kept: {error}")
