"""The journal as its one writer sees it: append, flush, read, snapshot.

`append` and `append_payload` only frame bytes in memory and say where they will lie. `flush` makes
a *group* of what was appended and commits it. While at most one group waits behind the one that is
being written the next is closed at once; under load it grows until there is room, so groups adapt
to the disk and no timer delays anybody. A small group that finds nothing in flight and a fast disk
is committed on the loop itself: that costs less than waking a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from stargen.clock import Clock
from stargen.errors import JournalCorrupt, JournalError, JournalFull
from stargen.files import NO_ROOM, filesystem_of, make_folder
from stargen.journal.entries import EntryFiles, runs
from stargen.journal.lock import Lock, acquire
from stargen.journal.recovery import End, Recovered, recover
from stargen.journal.snapshots import Snapshot, write_snapshot
from stargen.journal.tail import SEGMENT_BYTES, Group, Tail
from stargen.journal.writer import CommitThread, Observer, SegmentWriter
from stargen.model import Location

MAX_IN_FLIGHT = 2
"""Groups given to the disk: one being synced, and one that follows without a turn of the loop."""

INLINE_ITEMS = 16
INLINE_BYTES = 64 * 2**10
INLINE_BELOW_S = 0.002
INLINE_SHARE = 0.5
"""A group is committed on the loop if it is this small, the disk local and this fast, and no more
of the loop's time goes there than this. (A busy loop has more in a group before it comes to that;
a single large result is no sign of load.)"""

SYNC_WEIGHT = 0.2
"""Of the latest commit in the moving average of their times."""

STOP_S = 5.0
"""How long to wait for a thread that hangs in the system before it is left alone."""


def _ignore(_: object) -> None:
    pass


class Journal:
    """The journal of a campaign, held by this process; made by `open` inside a running event loop.

    Positions count records from 1; position 0 is before the first. All methods belong to the loop's
    thread, and all callbacks come there, never from inside a call.
    """

    def __init__(
        self,
        folder: Path,
        lock: Lock,
        recovered: Recovered,
        end: End,
        *,
        clock: Clock,
        on_durable: Callable[[int], None],
        on_full: Callable[[bool], None],
        on_error: Callable[[JournalError], None],
        observer: Observer,
        segment_bytes: int,
    ) -> None:
        self.folder = folder
        self.recovered = recovered
        self.durable_position = end.position
        self.full = False
        self.error: JournalError | None = None
        self._lock = lock
        self._clock = clock
        self._on_durable = on_durable
        self._on_full = on_full
        self._on_error = on_error
        self._loop = asyncio.get_running_loop()
        self._entries = EntryFiles(folder)

        started = clock.monotonic()
        self._writer = SegmentWriter(folder, end, lock, observer)
        # The first guess at the time of a sync: making a segment costs two of them.
        self._sync_s = (clock.monotonic() - started) / 2
        self._inline_from_s = math.inf if filesystem_of(folder).network else -math.inf
        self._thread = CommitThread(
            self._writer,
            clock,
            done=lambda count, took_s: self._tell(self._groups_done, count, took_s),
            full=lambda full: self._tell(self._room_changed, full),
            failed=lambda error: self._tell(self._fail, error),
        )
        self._in_flight: deque[Group] = deque()
        self._wanted = False
        self._closed = False
        self._committed = 0
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._tail = Tail(self._writer.segment, end.position, segment_bytes, self._hand_over)

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        clock: Clock,
        on_durable: Callable[[int], None],
        on_full: Callable[[bool], None] = _ignore,
        on_error: Callable[[JournalError], None] = _ignore,
        takeover: bool = False,
        observer: Observer = _ignore,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> Journal:
        """Take the journal of `folder`, which is made if it is not there, and mend its end.

        Parameters
        ----------
        on_durable : told the new `durable_position` once per group
        on_full : told True when the disk has no room, and False when it has again; what was
            appended meanwhile is kept in memory and written then
        on_error : told why the journal has stopped; it refuses everything from then on
        takeover : also from a holder on another host, of whom nobody here can know whether it lives
        observer : told the points "before-write", "after-write" and "after-sync" of each commit,
            in the thread that commits; for tests that die there
        segment_bytes : size at which a new segment is begun

        Raises
        ------
        JournalLocked, JournalCorrupt, JournalVersion, JournalFull
        """
        lock = None
        try:
            make_folder(folder)
            lock = acquire(folder, clock.wall(), takeover=takeover)
            recovered, end = recover(folder)
            if lock.note is not None:
                recovered = replace(recovered, warnings=(lock.note, *recovered.warnings))
            return cls(
                folder,
                lock,
                recovered,
                end,
                clock=clock,
                on_durable=on_durable,
                on_full=on_full,
                on_error=on_error,
                observer=observer,
                segment_bytes=segment_bytes,
            )
        except BaseException as error:
            if lock is not None:
                lock.release()
            if isinstance(error, OSError):
                raise _as_journal_error(error, folder) from error
            raise

    @property
    def epoch(self) -> int:
        """Counts the openings of this journal; greater than that of every master before."""
        return self._writer.epoch

    @property
    def position(self) -> int:
        """Records appended in all, durable or not."""
        return self._tail.position

    @property
    def pending_bytes(self) -> int:
        """What is appended and not yet durable; grows without bound while the disk is full."""
        return self._tail.pending_bytes + sum(len(group.buffer) for group in self._in_flight)

    def append(self, record: bytes) -> int:
        """Add a record; returns its position. Durable some time after the next `flush`."""
        return self._tail.append(record)

    def append_payload(self, entries: Sequence[bytes]) -> Location:
        """Add entries, which will lie one after another; returns where they all lie together.

        A record that is appended later and points to them is never on disk without them.
        """
        return self._tail.append_payload(entries)

    def flush(self) -> None:
        """Commit what was appended: now if the disk is free, otherwise as soon as it is.

        A small group may be durable when this returns; `durable_position` says so.
        """
        if self.error is not None:
            raise self.error
        if self._tail.is_empty:
            return
        if len(self._in_flight) >= MAX_IN_FLIGHT:
            self._wanted = True
        elif self._may_commit_here():
            self._commit_here()
        else:
            self._hand_over()

    async def until_durable(self) -> None:
        """Flush, and wait until all that has been appended so far is durable.

        Raises
        ------
        JournalError : if the journal stops before
        """
        self.flush()
        if self.error is not None:
            raise self.error
        target = self._committed + len(self._in_flight) + (not self._tail.is_empty)
        if target > self._committed:
            future = self._loop.create_future()
            self._waiters.append((target, future))
            await future

    def read(self, location: Location) -> bytes:
        """The bytes of an entry, written yet or not.

        Raises
        ------
        JournalCorrupt : if no such bytes were ever appended
        """
        for group in (self._tail, *self._in_flight):
            data = group.entry(location)
            if data is not None:
                return data
        return self._entries.read(location)

    def read_all(self, locations: Sequence[Location]) -> list[bytes]:
        """As `read` for each; entries that lie close together are read at one go."""
        entries: list[bytes] = []
        for whole, parts in runs(locations):
            try:
                data = self.read(whole)
            except JournalCorrupt:  # or the run goes on from one group to the next in memory
                entries += [self.read(at) for at in parts]
                continue
            lo = whole.offset
            entries += [data[at.offset - lo : at.offset - lo + at.size] for at in parts]
        return entries

    async def snapshot(self, state: bytes, position: int) -> None:
        """Keep `state`, which is that after record `position`, as what the next replay begins with.

        It is written in another thread, after the records that it covers are durable.

        Raises
        ------
        JournalFull : if there is no room; the journal itself goes on
        JournalLocked : if another master has taken over
        """
        if position > self.durable_position:
            await self.until_durable()
        try:
            self._lock.check()
            snapshot = Snapshot(position, self.epoch, state)
            await asyncio.to_thread(write_snapshot, self.folder, snapshot)
        except OSError as error:
            raise _as_journal_error(error, self.folder) from error

    async def close(self) -> None:
        """Make all durable, mark the end as whole, and give the lock back.

        Cancelled, it gives up what is not durable yet, as a crash would. It raises nothing: errors
        go to `on_error`.
        """
        if self._closed:
            return
        self._closed = True
        try:
            with contextlib.suppress(JournalError):
                await self.until_durable()
                self._mark_the_end()
        finally:
            self.error = self.error or JournalError(f"the journal {self.folder} is closed")
            self._tail.refuse(self.error)
            if self._thread.stop(STOP_S):
                self._writer.close()
                self._lock.release()
            self._entries.close()

    def _close_group(self) -> Group:
        group = self._tail.close()
        self._in_flight.append(group)
        self._wanted = False
        return group

    def _hand_over(self) -> None:
        self._thread.put(self._close_group())

    def _may_commit_here(self) -> bool:
        return (
            not self._in_flight
            and self._tail.items <= INLINE_ITEMS
            and self._tail.pending_bytes <= INLINE_BYTES
            and self._sync_s < INLINE_BELOW_S
            and self._clock.monotonic() >= self._inline_from_s
        )

    def _commit_here(self) -> None:
        group = self._close_group()
        started = self._clock.monotonic()
        try:
            self._writer.commit([group])
        except OSError as error:
            if error.errno in NO_ROOM:
                self._thread.put(group)  # it knows how to wait for room
            else:
                self._fail(error)
            return
        except JournalError as error:
            self._fail(error)
            return
        self.durable_position = group.position
        now = self._clock.monotonic()
        self._inline_from_s = now + (now - started) * (1 / INLINE_SHARE - 1)
        self._loop.call_soon(self._groups_done, 1, now - started)

    def _tell(self, callback: Callable[..., None], *args: object) -> None:
        """Call back on the loop, from the thread; a loop that is closed has nobody to hear it."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *args)

    def _groups_done(self, count: int, took_s: float) -> None:
        for _ in range(count):
            self.durable_position = self._in_flight.popleft().position
        self._committed += count
        self._sync_s += (took_s - self._sync_s) * SYNC_WEIGHT
        while self._waiters and self._waiters[0][0] <= self._committed:
            _, future = self._waiters.popleft()
            if not future.done():
                future.set_result(None)
        position = self.durable_position
        if self._wanted and self.error is None:
            self.flush()  # a group that this commits has its own turn to be told of
        self._on_durable(position)

    def _room_changed(self, full: bool) -> None:
        self.full = full
        self._on_full(full)

    def _fail(self, error: Exception) -> None:
        """Stop for good: after a failed sync only a replay can tell what is on disk."""
        if self.error is not None:
            return
        if isinstance(error, OSError):
            error = _as_journal_error(error, self.folder)
        if not isinstance(error, JournalError):
            error = JournalError(f"the journal {self.folder} has stopped: {error!r}")
        self.error = error
        self._tail.refuse(error)
        for _, future in self._waiters:
            if not future.done():
                future.set_exception(error)
        self._waiters.clear()
        self._loop.call_soon(self._on_error, error)

    def _mark_the_end(self) -> None:
        """Write a last mark: later damage before it cannot be taken for a torn end."""
        if self._in_flight or not self._tail.is_empty:
            return
        with contextlib.suppress(OSError):  # all else is durable; a missing mark harms nobody
            self._writer.commit([self._close_group()])


def _as_journal_error(error: OSError, folder: Path) -> JournalError:
    if error.errno in NO_ROOM:
        return JournalFull(f"there is no room for the journal {folder}: {error.strerror}")
    return JournalError(f"the journal {folder} cannot be used: {error}")
