"""Snapshots: the state after a number of records, so that replay need not begin at the first."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from stargen.errors import JournalVersion
from stargen.files import write_atomically
from stargen.version import __version__

MAGIC = b"STARGENS"
MAJOR = 1
MINOR = 0
KEEP = 2

_HEADER = struct.Struct("<8sHHI16sQQQ")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state after the first `position` records, as the master of `epoch` packed it."""

    position: int
    epoch: int
    state: bytes


def snapshot_path(folder: Path, position: int) -> Path:
    return folder / f"snapshot-{position:012d}.state"


def snapshot_paths(folder: Path) -> list[Path]:
    """The snapshots in the folder, the newest first."""
    return sorted(folder.glob("snapshot-*.state"), reverse=True)


def write_snapshot(folder: Path, snapshot: Snapshot) -> None:
    """Write it durably and whole, then remove all but the newest `KEEP`."""
    version = __version__.encode("ascii", "replace")[:16]

    def header(crc: int) -> bytes:
        numbers = (snapshot.position, snapshot.epoch, len(snapshot.state))
        return _HEADER.pack(MAGIC, MAJOR, MINOR, crc, version, *numbers)

    crc = crc32(snapshot.state, crc32(header(0)))
    write_atomically(snapshot_path(folder, snapshot.position), header(crc), snapshot.state)
    for path in snapshot_paths(folder)[KEEP:]:
        path.unlink(missing_ok=True)


def read_snapshot(path: Path) -> Snapshot | None:
    """The snapshot in the file; None if it is damaged.

    Raises
    ------
    JournalVersion : if a newer major version wrote it
    """
    data = path.read_bytes()
    if len(data) < _HEADER.size or data[:8] != MAGIC:
        return None
    _, major, minor, crc, version, position, epoch, size = _HEADER.unpack_from(data)
    state = data[_HEADER.size :]
    if major != MAJOR:
        writer = version.rstrip(b"\0").decode("ascii", "replace")
        raise JournalVersion(
            f"{path.name} was written by Star-gen {writer} in snapshot form {major}.{minor};"
            f" Star-gen {__version__} reads form {MAJOR}"
        )
    head = data[:12] + bytes(4) + data[16 : _HEADER.size]
    if len(state) != size or crc32(state, crc32(head)) != crc:
        return None
    return Snapshot(position, epoch, state)


def newest_snapshot(
    folder: Path, accept: Callable[[Snapshot], bool] = lambda _: True
) -> tuple[Snapshot | None, list[str]]:
    """The newest one that is whole and accepted, and a warning for each newer one that is not."""
    warnings: list[str] = []
    for path in snapshot_paths(folder):
        try:
            snapshot = read_snapshot(path)
        except FileNotFoundError:  # the master has just replaced it
            continue
        if snapshot is not None and accept(snapshot):
            return snapshot, warnings
        problem = "is damaged" if snapshot is None else "is of a master that had been replaced"
        warnings.append(f"{path.name} {problem}; an older snapshot or the whole log is used")
    return None, warnings
