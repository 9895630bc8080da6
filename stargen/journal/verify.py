"""Checking a whole journal: every checksum, every snapshot."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from stargen.errors import JournalCorrupt
from stargen.journal.frames import synced_beyond
from stargen.journal.recovery import Scan, scan_segment
from stargen.journal.segments import (
    opened,
    read_header,
    segment_numbers,
    segment_path,
)
from stargen.journal.snapshots import read_snapshot, snapshot_paths


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that were once durable and are not what they were."""

    file: str
    offset: int
    problem: str


@dataclass(frozen=True, slots=True)
class SegmentReport:
    """What one segment holds.

    Parameters
    ----------
    version : of the Star-gen that wrote it
    bytes : of its good part, header and frames
    before : records in all earlier segments
    unfinished : bytes at the end of the last segment that are half written: by a crash, or by a
        master that is at it
    ignored : bytes that a master wrote after another one had taken over
    """

    name: str
    version: str
    epoch: int
    bytes: int
    before: int
    records: int
    payloads: int
    payload_bytes: int
    unfinished: int = 0
    ignored: int = 0


@dataclass(frozen=True, slots=True)
class SnapshotReport:
    """One snapshot; `position` is None if it cannot be read."""

    name: str
    bytes: int
    position: int | None


@dataclass(frozen=True, slots=True)
class Report:
    """What `verify` found; `damage` in the order of the log."""

    segments: tuple[SegmentReport, ...]
    snapshots: tuple[SnapshotReport, ...]
    damage: tuple[Damage, ...]

    @property
    def ok(self) -> bool:
        """True if nothing durable is damaged; an unfinished end is no damage."""
        return not self.damage and all(s.position is not None for s in self.snapshots)

    @property
    def records(self) -> int:
        return sum(segment.records for segment in self.segments)

    @property
    def bytes(self) -> int:
        return sum(segment.bytes for segment in self.segments)


def verify(folder: Path) -> Report:
    """Read the whole journal and check it; a master may be writing it meanwhile.

    Raises
    ------
    JournalVersion : if a newer major version wrote it
    """
    segments: list[SegmentReport] = []
    damage: list[Damage] = []
    for number in range(1, max(segment_numbers(folder), default=0) + 1):
        found = _check(folder, number)
        if isinstance(found, Damage):
            damage.append(found)
        elif found is not None:
            segments.append(found)
    snapshots = tuple(_snapshot(path) for path in snapshot_paths(folder))
    return Report(tuple(segments), snapshots, tuple(damage))


def damage_of(folder: Path, number: int) -> Damage | None:
    """The first damage in one segment, None if it is sound.

    Raises
    ------
    JournalVersion : if a newer major version wrote it
    """
    found = _check(folder, number)
    return found if isinstance(found, Damage) else None


def _check(folder: Path, number: int) -> SegmentReport | Damage | None:
    try:
        return _segment(folder, number)
    except JournalCorrupt as error:
        return Damage(error.segment, error.offset, error.problem)


def _segment(folder: Path, number: int) -> SegmentReport | None:
    """The segment's report, None if it is still being made; raises JournalCorrupt if it is bad."""
    path = segment_path(folder, number)
    header = read_header(path)
    following = None
    with contextlib.suppress(JournalCorrupt):  # that is told when its turn comes
        following = read_header(segment_path(folder, number + 1))
    if header is None:
        if following is None and path.exists():
            return None
        problem = "the header is damaged" if path.exists() else "this segment is missing"
        raise JournalCorrupt(problem, segment=path.name, offset=0)
    with opened(path) as fd:
        end = following.previous if following else None
        scan, size = _scan(fd, end, path.name)
    records = header.before + scan.records
    if following is not None and records != following.before:
        problem = f"{records} records up to here where there were {following.before}"
        raise JournalCorrupt(problem, segment=path.name, offset=scan.end)
    return SegmentReport(
        name=path.name,
        version=header.version,
        epoch=header.epoch,
        bytes=scan.end,
        before=header.before,
        records=scan.records,
        payloads=scan.payloads,
        payload_bytes=scan.payload_bytes,
        unfinished=0 if following else size - scan.end,
        ignored=size - scan.end if following else 0,
    )


def _scan(fd: int, end: int | None, name: str) -> tuple[Scan, int]:
    """A scan that met no damage, and the file's size; `end` is None if the segment may grow."""
    suspect = None
    while True:
        size = os.fstat(fd).st_size
        scan = scan_segment(fd, size if end is None else end)
        if scan.problem is None or (end is None and not synced_beyond(fd, scan.end)):
            return scan, size
        if end is not None or scan.end == suspect:
            raise JournalCorrupt(scan.problem, segment=name, offset=scan.end)
        suspect = scan.end  # a master may have been writing there just then: look once more


def _snapshot(path: Path) -> SnapshotReport:
    snapshot = read_snapshot(path)
    position = snapshot.position if snapshot else None
    return SnapshotReport(path.name, path.stat().st_size, position)
