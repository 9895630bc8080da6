"""Files that travel over the link, between a master and agents that share no folder with it.

Input files go to the agent when it learns of a job that reads them, asked for piece by piece.
Checkpoints go to the master when an attempt keeps one, and with a task to whoever tries it next.
A file that arrives is written beside its place, and put there once it is whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

PIECE_BYTES = 1024 * 1024
CHECKPOINT_NAMES = ("folder.tar.zst", "state")
"""What a task's checkpoint may consist of; the state comes last, and makes it one."""


class Piece(NamedTuple):
    """A part of a file; the last one ends it."""

    offset: int
    data: bytes
    last: bool


class FileRow(NamedTuple):
    """One file of an input: its path below it ("" for the input itself), size, time of writing."""

    below: str
    size: int
    written_ns: int


def files_of(path: Path) -> list[FileRow]:
    """What an input consists of: one file, or all of a folder; nothing if it is not there."""
    found = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    rows: list[FileRow] = []
    for file in found:
        status = file.stat()
        below = "" if file == path else file.relative_to(path).as_posix()
        rows.append(FileRow(below, status.st_size, status.st_mtime_ns))
    return rows


def place_of(folder: Path, name: str) -> Path:
    """Where the input that is called so lies in an agent's folder of inputs."""
    return folder / blake2b(name.encode(), digest_size=8).hexdigest() / Path(name).name


def read_piece(path: Path, offset: int) -> Piece:
    """What comes next of a file. OSError if it cannot be read."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(offset)
        data = file.read(PIECE_BYTES)
    return Piece(offset, data, offset + len(data) >= size)


def pieces_of(path: Path) -> Iterable[Piece]:
    """A whole file; nothing if it is not there."""
    offset, last = 0, not path.is_file()
    while not last:
        piece = read_piece(path, offset)
        offset, last = offset + len(piece.data), piece.last
        yield piece


def take_piece(path: Path, piece: Piece) -> bool:
    """Write a part of a file down; True if the file is now whole, and in its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.part")
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if not piece.offset else 0)
    fd = os.open(beside, flags, 0o600)
    try:
        os.pwrite(fd, piece.data, piece.offset)
        if piece.last:
            os.fsync(fd)
    finally:
        os.close(fd)
    if piece.last:
        beside.replace(path)
    return piece.last


def forget(folder: Path) -> None:
    """Remove a task's checkpoint, if there is one."""
    with suppress(OSError):
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
