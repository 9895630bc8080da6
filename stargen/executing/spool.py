"""Spool: results on the agent's own disk, from the moment they exist until the master has them.

A folder of numbered segments; each is a row of frames ``u32 length | u32 crc32 | message``, where a
message is TasksDone or TasksFailed exactly as it goes to the master. Memory holds only which
attempt lies in which frame. A segment whose results are all acknowledged is deleted; the one that
is being written is cut to nothing instead. The system keeps what was written when the agent dies;
`sync` makes it outlive the machine, and is asked for when the master is away.

Whoever opens the folder adopts what is in it: an agent that takes a dead one's place hands over
its results. A torn end is where the dead one stopped writing, and is cut off.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import NamedTuple

from stargen import messages
from stargen.errors import RemoteProtocolError
from stargen.messages import AttemptRef, TasksDone, TasksFailed

_FRAME = struct.Struct("<II")
_SEGMENT_BYTES = 64 * 1024 * 1024
_WORTH_CUTTING = 1024 * 1024

Results = TasksDone | TasksFailed


class _Place(NamedTuple):
    segment: int
    offset: int
    size: int


@dataclass(slots=True)
class _Segment:
    path: Path
    size: int = 0
    open_results: int = 0


def refs_of(results: Results) -> list[AttemptRef]:
    """The attempts that a message of results speaks of."""
    if isinstance(results, TasksDone):
        job = results.job
        return [AttemptRef(job, row.ordinal, row.epoch, row.n) for row in results.rows]
    return [AttemptRef(row.job, row.ordinal, row.epoch, row.n) for row in results.rows]


class Spool:
    """The results of one agent that nobody has acknowledged yet.

    Parameters
    ----------
    folder : on a disk of this node; made if absent
    limit_bytes : `full` from here on
    observer : told of named points, for tests that kill the agent there
    """

    def __init__(
        self,
        folder: Path,
        *,
        limit_bytes: int = 8 * 1024**3,
        observer: Callable[[str], None] = lambda point: None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.limit_bytes = limit_bytes
        self.failed: str | None = None
        self._observer = observer
        self._fd = -1
        self._current = 0
        self._segments: dict[int, _Segment] = {}
        self._places: dict[AttemptRef, _Place] = {}
        self._unwritten: list[tuple[bytes, list[AttemptRef]]] = []
        for path in sorted(folder.glob("*.spool")):
            if path.stem.isdecimal():
                self._adopt(path)
        self._start_segment(max(self._segments, default=0) + 1)

    def __len__(self) -> int:
        return len(self._places) + sum(len(refs) for _, refs in self._unwritten)

    def __contains__(self, ref: AttemptRef) -> bool:
        return ref in self._places or any(ref in refs for _, refs in self._unwritten)

    @property
    def full(self) -> bool:
        """True if no more results can be kept safely."""
        return self.failed is not None or self.size >= self.limit_bytes

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(segment.size for segment in self._segments.values())

    def refs(self) -> list[AttemptRef]:
        """Every attempt whose result is here, oldest first."""
        return [*self._places, *(ref for _, refs in self._unwritten for ref in refs)]

    def append(self, message: bytes, refs: list[AttemptRef]) -> None:
        """Keep a message of results. If the disk refuses, it is held in memory, and `full` says so.

        Parameters
        ----------
        message : an encoded TasksDone or TasksFailed
        refs : the attempts it speaks of
        """
        self._observer("before-spool-write")
        self._unwritten.append((message, refs))
        self.retry()
        self._observer("after-spool-write")

    def retry(self) -> None:
        """Write what the disk refused before, if it now takes it."""
        try:
            if self._segments[self._current].size >= _SEGMENT_BYTES:
                self._start_segment(self._current + 1)
            while self._unwritten:
                self._write(*self._unwritten[0])
                del self._unwritten[0]
        except OSError as error:
            self.failed = f"{self.folder}: {error.strerror or error}"
        else:
            self.failed = None

    def acknowledge(self, refs: Iterable[AttemptRef]) -> None:
        """The master's disk has these: forget them."""
        for ref in refs:
            place = self._places.pop(ref, None)
            if place is None:
                self._forget_unwritten(ref)
                continue
            segment = self._segments[place.segment]
            segment.open_results -= 1
            if not segment.open_results and place.segment != self._current:
                segment.path.unlink(missing_ok=True)
                del self._segments[place.segment]
        current = self._segments[self._current]
        if not current.open_results and current.size > _WORTH_CUTTING:
            self.cut()
        self._observer("after-ack")

    def cut(self) -> None:
        """Free the disk space of the current segment if all its results are acknowledged."""
        current = self._segments[self._current]
        if current.size and not current.open_results:
            os.ftruncate(self._fd, 0)
            current.size = 0

    def read(self, refs: Iterable[AttemptRef]) -> Iterator[Results]:
        """The results of these attempts, one message per frame that holds any of them."""
        wanted = set(refs)
        places = {place: None for ref, place in self._places.items() if ref in wanted}
        for place in places:
            with self._segments[place.segment].path.open("rb") as file:
                file.seek(place.offset)
                yield _only(_decode(file.read(place.size)), wanted)
        for message, held in self._unwritten:
            if wanted.intersection(held):
                yield _only(_decode(message), wanted)

    def sync(self) -> None:
        """Let what was written outlive the machine. May take long: not for the event loop."""
        for segment in list(self._segments.values()):
            with suppress(FileNotFoundError):
                fd = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fdatasync(fd)
                finally:
                    os.close(fd)

    def close(self) -> None:
        """Leave the folder to a successor, or empty if everything was acknowledged."""
        self.cut()
        os.close(self._fd)
        current = self._segments[self._current]
        if not current.size:
            current.path.unlink(missing_ok=True)

    def _write(self, message: bytes, refs: list[AttemptRef]) -> None:
        segment = self._segments[self._current]
        frame = _FRAME.pack(len(message), zlib.crc32(message)) + message
        written = 0
        try:
            while written < len(frame):
                written += os.write(self._fd, frame[written:] if written else frame)
        except OSError:
            os.ftruncate(self._fd, segment.size)
            raise
        place = _Place(self._current, segment.size + _FRAME.size, len(message))
        segment.size += len(frame)
        self._place(refs, place)

    def _place(self, refs: Iterable[AttemptRef], place: _Place) -> None:
        segment = self._segments[place.segment]
        for ref in refs:
            if ref not in self._places:
                self._places[ref] = place
                segment.open_results += 1

    def _forget_unwritten(self, ref: AttemptRef) -> None:
        for index, (_, refs) in enumerate(self._unwritten):
            if ref in refs:
                refs.remove(ref)
                if not refs:
                    del self._unwritten[index]
                return

    def _start_segment(self, number: int) -> None:
        path = self.folder / f"{number:08d}.spool"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd
        self._current = number
        self._segments[number] = _Segment(path)

    def _adopt(self, path: Path) -> None:
        number = int(path.stem)
        segment = self._segments[number] = _Segment(path)
        data = path.read_bytes()
        while segment.size < len(data):
            body = _body_at(data, segment.size)
            if body is None:
                break
            refs = refs_of(_decode(body))
            self._place(refs, _Place(number, segment.size + _FRAME.size, len(body)))
            segment.size += _FRAME.size + len(body)
        if not segment.open_results:
            path.unlink()
            del self._segments[number]


def _body_at(data: bytes, offset: int) -> bytes | None:
    """The message of the frame at `offset`; None if the frame is torn or damaged."""
    if offset + _FRAME.size > len(data):
        return None
    size, checksum = _FRAME.unpack_from(data, offset)
    body = data[offset + _FRAME.size : offset + _FRAME.size + size]
    return body if len(body) == size and zlib.crc32(body) == checksum else None


def _decode(message: bytes) -> Results:
    results = messages.decode(message)
    if not isinstance(results, TasksDone | TasksFailed):
        raise RemoteProtocolError(f"a {type(results).__name__} in the spool")
    return results


def _only(results: Results, wanted: set[AttemptRef]) -> Results:
    """The part of a message that speaks of wanted attempts."""
    kept = [ref in wanted for ref in refs_of(results)]
    if isinstance(results, TasksDone):
        return TasksDone(results.job, list(compress(results.rows, kept)))
    return TasksFailed(list(compress(results.rows, kept)))
