"""Groups of frames on their way to the disk.

A `SegmentWriter` is used by one thread at a time: by the journal's own thread while groups are
queued there, by the event loop while none are.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from stargen.clock import Clock
from stargen.files import NO_ROOM
from stargen.journal.framing import HEADER_SIZE, MARK_SIZE, Mark, SegmentHeader, encode_mark
from stargen.journal.lock import Lock
from stargen.journal.recovery import End
from stargen.journal.segments import create_segment, segment_path
from stargen.journal.tail import Group

RETRY_S = 0.5
"""How often a full disk is tried again."""

SWITCH_S = 1e-4
"""The interpreter's switch interval while a journal is open. A busy event loop lets go of the
interpreter's lock for an instant in each turn: too short for a waiting thread to wake up, and every
time its patience of 5 ms begins anew, so that it can starve for seconds (benchmarks/journal_sync.py
shows it). A patience shorter than a turn ends that."""

Observer = Callable[[str], None]
"""Told the named points of a commit; tests die there."""


class SegmentWriter:
    """Writes and syncs groups, and makes the next segment when a group belongs to it."""

    def __init__(self, folder: Path, end: End, lock: Lock, observe: Observer) -> None:
        self.epoch = end.epoch + 1
        self.segment = end.segment
        self.synced = end.offset
        self._folder = folder
        self._lock = lock
        self._observe = observe
        self._fd = -1
        self._turn_to(end.segment + 1, end.position)

    def commit(self, groups: Sequence[Group]) -> None:
        """Make groups that follow each other in one segment durable.

        Raises
        ------
        OSError : nothing more may be synced through this file descriptor; see `reopen`
        JournalLocked : if another master took the lock; nothing was written
        """
        self._lock.check()
        first = groups[0]
        if first.segment != self.segment:
            self._turn_to(first.segment, first.before)
        for group in groups:
            mark = Mark(group.offset, self.synced, group.before)
            group.buffer[:MARK_SIZE] = encode_mark(mark)
        self._observe("before-write")
        _write(self._fd, [group.buffer for group in groups], first.offset)
        self._observe("after-write")
        os.fdatasync(self._fd)
        self._observe("after-sync")
        self.synced = groups[-1].end

    def reopen(self) -> None:
        """Take a new file descriptor, through which a group can be written and synced again.

        After a failed sync the system may hold pages for clean that never reached the disk, so a
        sync alone must not be tried again; a group that is written again whole may.
        """
        os.close(self._fd)
        self._fd = -1
        self._fd = os.open(segment_path(self._folder, self.segment), os.O_RDWR)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def _turn_to(self, segment: int, before: int) -> None:
        header = SegmentHeader(segment, self.epoch, before, previous=self.synced)
        fd = create_segment(self._folder, header)
        self.close()
        self._fd, self.segment, self.synced = fd, segment, HEADER_SIZE


def _write(fd: int, buffers: list[bytearray], offset: int) -> None:
    """Write all of the buffers from `offset` on; the system may take them in parts."""
    views = [memoryview(buffer) for buffer in buffers]
    while views:
        written = os.pwritev(fd, views, offset)
        offset += written
        while views and written >= len(views[0]):
            written -= len(views.pop(0))
        if written:
            views[0] = views[0][written:]


class CommitThread:
    """The journal's one thread: sleeps until groups come, and commits all that wait at once.

    Parameters
    ----------
    done : told how many groups are durable now, and how long that took in seconds
    full : told that the disk has no room, and that it has again
    failed : told why nothing more will be written; the thread has ended then
    """

    def __init__(
        self,
        writer: SegmentWriter,
        clock: Clock,
        *,
        done: Callable[[int, float], None],
        full: Callable[[bool], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._writer = writer
        self._clock = clock
        self._done = done
        self._full = full
        self._failed = failed
        self._queue: queue.SimpleQueue[Group | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._switch_s = sys.getswitchinterval()
        sys.setswitchinterval(min(self._switch_s, SWITCH_S))
        self._thread.start()

    def put(self, group: Group) -> None:
        self._queue.put(group)

    def stop(self, timeout_s: float) -> bool:
        """End the thread, whatever still waits; False if it hangs in the system beyond the time."""
        self._stop.set()
        self._queue.put(None)
        self._thread.join(timeout_s)
        sys.setswitchinterval(self._switch_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while (group := self._queue.get()) is not None:
                for groups in _by_segment([group, *self._waiting()]):
                    started = self._clock.monotonic()
                    if not self._commit(groups):
                        return
                    self._done(len(groups), self._clock.monotonic() - started)
        except Exception as error:  # whatever it is, the loop must hear that nothing is written
            self._failed(error)

    def _waiting(self) -> Iterator[Group]:
        while True:
            try:
                group = self._queue.get_nowait()
            except queue.Empty:
                return
            if group is None:
                self._queue.put(None)
                return
            yield group

    def _commit(self, groups: list[Group]) -> bool:
        """Commit, waiting for room where there is none; False if told to stop meanwhile."""
        waited = False
        while not self._stop.is_set():
            try:
                if waited:
                    self._writer.reopen()
                self._writer.commit(groups)
            except OSError as error:
                if error.errno not in NO_ROOM:
                    raise
                if not waited:
                    self._full(True)
                waited = True
                self._stop.wait(RETRY_S)
                continue
            if waited:
                self._full(False)
            return True
        return False


def _by_segment(groups: list[Group]) -> list[list[Group]]:
    runs: list[list[Group]] = []
    for group in groups:
        if runs and runs[-1][0].segment == group.segment:
            runs[-1].append(group)
        else:
            runs.append([group])
    return runs
