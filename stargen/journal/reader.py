"""Reading a journal that another process may be writing."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

from stargen.errors import JournalCorrupt, JournalError
from stargen.files import pread_all
from stargen.journal.frames import FrameWalk, mark_before, synced_beyond
from stargen.journal.framing import HEADER_SIZE, RECORD, SegmentHeader
from stargen.journal.segments import opened, read_chain, read_header, segment_path
from stargen.model import Location


class RecordReader:
    """Follows the records of a journal folder; each `read` goes on where the last one ended.

    A half-written end is not damage: reading stops before it and finds it whole later. What is read
    may not be durable yet; a reader whose deeds must outlast a power cut bounds `read` by the
    position that the master calls durable.

    Parameters
    ----------
    after : position of the last record that is known already; 0 for none
    """

    def __init__(self, folder: Path, after: int = 0) -> None:
        self.folder = folder
        self.position = after
        self._segment = 0
        self._offset = HEADER_SIZE
        self._count = 0

    def read(self, until: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Each record behind `position` that is there whole, with its position.

        Parameters
        ----------
        until : position of the last record to give; None for all

        Raises
        ------
        JournalCorrupt : at damage before the end
        JournalError : if the journal ends before `position`
        """
        suspect = None
        while (until is None or self.position < until) and self._find():
            following, end = self._extent()
            problem = yield from self._walk(end, until)
            place = (self._segment, self._offset)
            if problem is None:
                if until is not None and self.position >= until:
                    return
                if following is None:
                    return self._refuse_a_shorter_journal()
                self._turn_to(following)
            elif place == suspect:
                name = segment_path(self.folder, self._segment).name
                raise JournalCorrupt(problem, segment=name, offset=self._offset)
            elif following is not None or self._was_synced():
                suspect = place  # it may have been half written when it was read: look once more
            else:
                return

    def _find(self) -> bool:
        """Go to the segment that holds the record behind `position`; False if there is none yet."""
        if not self._segment:
            headers, _ = read_chain(self.folder)
            for header in headers:
                if header.before <= self.position:
                    self._segment, self._count = header.segment, header.before
            if self._segment:
                self._approach()
        return self._segment > 0

    def _approach(self) -> None:
        """Leap over most of what is known already."""
        with opened(segment_path(self.folder, self._segment)) as fd:
            mark = mark_before(fd, self._extent()[1], self.position)
        if mark is not None and mark.before >= self._count:
            self._offset, self._count = mark.offset, mark.before

    def _extent(self) -> tuple[SegmentHeader | None, int]:
        """The header of the next segment, if there is one, and where this one ends so far."""
        path = segment_path(self.folder, self._segment)
        following = read_header(segment_path(self.folder, self._segment + 1))
        size = path.stat().st_size
        if following is None:
            return None, size
        if following.previous > size:
            problem = f"the segment has lost its end from here to byte {following.previous}"
            raise JournalCorrupt(problem, segment=path.name, offset=size)
        if following.previous < self._offset:
            raise JournalError(f"{path.name} was read beyond what survived a crash; start again")
        return following, following.previous

    def _walk(self, end: int, until: int | None) -> Generator[tuple[int, bytes], None, str | None]:
        with opened(segment_path(self.folder, self._segment)) as fd:
            walk = FrameWalk(fd, self._offset, end, payloads=False)
            for kind, _, body in walk:
                self._offset = walk.offset
                if kind == RECORD and body is not None:
                    self._count += 1
                    if self._count > self.position:
                        self.position = self._count
                        yield self._count, body
                        if self._count == until:
                            break
            return walk.problem

    def _was_synced(self) -> bool:
        with opened(segment_path(self.folder, self._segment)) as fd:
            return synced_beyond(fd, self._offset)

    def _turn_to(self, following: SegmentHeader) -> None:
        if following.before != self._count:
            name = segment_path(self.folder, self._segment).name
            problem = f"{self._count} records up to here where there were {following.before}"
            raise JournalCorrupt(problem, segment=name, offset=self._offset)
        self._segment, self._offset = following.segment, HEADER_SIZE

    def _refuse_a_shorter_journal(self) -> None:
        if self._count < self.position:
            raise JournalError(
                f"{self.folder} holds {self._count} records, and {self.position} were read before:"
                " it is another journal, or has lost its end"
            )


def read_records(
    folder: Path, after: int = 0, until: int | None = None
) -> Iterator[tuple[int, bytes]]:
    """The records behind position `after`, each with its position; see `RecordReader.read`."""
    return RecordReader(folder, after).read(until)


def read_entry(folder: Path, location: Location) -> bytes:
    """The bytes of one payload entry.

    Raises
    ------
    JournalCorrupt : if the segment is not there or ends before the entry does
    """
    fd = open_segment(folder, location)
    try:
        return entry_at(fd, location)
    finally:
        os.close(fd)


def open_segment(folder: Path, location: Location) -> int:
    """A file descriptor of the segment that `location` names; JournalCorrupt if it is missing."""
    path = segment_path(folder, location.segment)
    try:
        return os.open(path, os.O_RDONLY)
    except FileNotFoundError as error:
        problem = "this segment is missing"
        raise JournalCorrupt(problem, segment=path.name, offset=location.offset) from error


def entry_at(fd: int, location: Location) -> bytes:
    """The bytes at `location`, whose segment is open as `fd`."""
    data = pread_all(fd, location.size, location.offset)
    if len(data) < location.size:
        raise no_entry(location)
    return data


def no_entry(location: Location) -> JournalCorrupt:
    """What to raise where an entry should be and is not."""
    problem = f"an entry of {location.size} bytes should stand here"
    name = segment_path(Path(), location.segment).name
    return JournalCorrupt(problem, segment=name, offset=location.offset)
