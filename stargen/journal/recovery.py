"""Opening a journal after whatever happened: what is whole is kept, a torn end is cut off."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from stargen.errors import JournalCorrupt
from stargen.files import sync_folder
from stargen.journal.frames import FrameWalk, synced_beyond
from stargen.journal.framing import HEADER_SIZE, PAYLOAD, RECORD, SegmentHeader
from stargen.journal.reader import read_records
from stargen.journal.segments import opened, read_chain, segment_path
from stargen.journal.snapshots import Snapshot, newest_snapshot


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a journal remembers.

    Parameters
    ----------
    snapshot : the newest state that can be read, or None
    snapshot_position : records that it covers; 0 without one
    position : records in all
    records : those behind the snapshot, each with its position; to be walked through once
    unchecked : so many segments, the oldest, lie behind the snapshot, and nobody has read them
    warnings : what was found and mended, in plain words
    """

    snapshot: bytes | None
    snapshot_position: int
    position: int
    records: Iterator[tuple[int, bytes]]
    unchecked: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class End:
    """Where a journal ends: the last segment, its epoch, its bytes, and the records in all."""

    segment: int
    epoch: int
    offset: int
    position: int


@dataclass(frozen=True, slots=True)
class Scan:
    """What the frames of one segment amount to; `end` is where the good part ends."""

    end: int
    records: int
    payloads: int
    payload_bytes: int
    problem: str | None


def scan_segment(fd: int, end: int) -> Scan:
    """Walk the segment up to `end`, with every checksum."""
    walk = FrameWalk(fd, HEADER_SIZE, end, payloads=True)
    records = payloads = payload_bytes = 0
    for kind, _, body in walk:
        if kind == RECORD:
            records += 1
        elif kind == PAYLOAD and body is not None:
            payloads += 1
            payload_bytes += len(body)
    return Scan(walk.offset, records, payloads, payload_bytes, walk.problem)


def recover(folder: Path) -> tuple[Recovered, End]:
    """Mend and check the journal; the caller holds its lock.

    Every frame that replay will need is checked, so that damage is found before anything runs.

    Raises
    ------
    JournalCorrupt : at damage before the torn end
    JournalVersion : if a newer major version wrote it
    """
    headers, last, torn = _mend(folder)
    snapshot, warnings = newest_snapshot(folder, lambda found: _of_this_log(found, headers))
    covered = snapshot.position if snapshot else 0
    for unfinished in folder.glob("snapshot-*.tmp"):
        unfinished.unlink()
    end = _check(folder, headers, last, covered)
    if covered > end.position:
        name = segment_path(folder, end.segment).name
        problem = f"the log ends at record {end.position}, a snapshot was taken at {covered}"
        raise JournalCorrupt(problem, segment=name, offset=end.offset)
    recovered = Recovered(
        snapshot=snapshot.state if snapshot else None,
        snapshot_position=covered,
        position=end.position,
        records=read_records(folder, covered, end.position),
        unchecked=_covered_segments(headers, covered),
        warnings=(*torn, *warnings),
    )
    return recovered, end


def cut_torn_end(folder: Path) -> list[str]:
    """Cut off what a crash left half written; returns a sentence on each cut.

    The caller holds the lock. `Journal.open` does the same.

    Raises
    ------
    JournalCorrupt : if what looks torn was once synced, so that cutting would lose records
    """
    _, _, warnings = _mend(folder)
    return warnings


def _mend(folder: Path) -> tuple[list[SegmentHeader], Scan | None, list[str]]:
    """Cut the torn end; the headers of the whole segments, a scan of the last, and warnings."""
    headers, torn = read_chain(folder)
    warnings: list[str] = []
    if torn is not None:
        path = segment_path(folder, torn)
        path.unlink()
        sync_folder(folder)
        warnings.append(f"{path.name} was torn while it was made; removed")
    if not headers:
        return headers, None, warnings
    path = segment_path(folder, headers[-1].segment)
    with opened(path, os.O_RDWR) as fd:
        # What a killed master wrote but did not sync must be on disk before anybody builds on it.
        # What a failed sync left in memory only must not be believed: dropped, and read anew.
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        size = os.fstat(fd).st_size
        scan = scan_segment(fd, size)
        if scan.problem is not None:
            if synced_beyond(fd, scan.end):
                raise JournalCorrupt(scan.problem, segment=path.name, offset=scan.end)
            os.ftruncate(fd, scan.end)
            os.fsync(fd)
            warnings.append(
                f"{path.name}: its last {size - scan.end} bytes, from byte {scan.end} on, were half"
                f" written ({scan.problem}); cut off"
            )
    return headers, scan, warnings


def _of_this_log(snapshot: Snapshot, headers: list[SegmentHeader]) -> bool:
    """False for a snapshot that a replaced master took of records that nobody else has."""
    epochs = [header.epoch for header in headers if header.before < snapshot.position]
    return not epochs or epochs[-1] <= snapshot.epoch


def _covered_segments(headers: list[SegmentHeader], covered: int) -> int:
    """How many segments hold nothing behind position `covered`; the last one is always read."""
    return sum(following.before <= covered for following in headers[1:])


def _check(folder: Path, headers: list[SegmentHeader], last: Scan | None, covered: int) -> End:
    """Check the closed segments that hold records behind position `covered`; where all ends."""
    needed = headers[_covered_segments(headers, covered) :]
    for header, following in pairwise(needed):
        path = segment_path(folder, header.segment)
        with opened(path) as fd:
            scan = scan_segment(fd, following.previous)
        position = header.before + scan.records
        problem = scan.problem
        if problem is None and position != following.before:
            problem = f"{position} records up to here where there were {following.before}"
        if problem is not None:
            raise JournalCorrupt(problem, segment=path.name, offset=scan.end)
    if last is None:
        return End(segment=0, epoch=0, offset=0, position=0)
    header = headers[-1]
    return End(header.segment, header.epoch, last.end, header.before + last.records)
