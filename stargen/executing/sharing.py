"""Shared data: what many tasks need (weights, tables of a hull), made once on a node and mapped by
all its workers.

Theory of operation. Everything lies in one folder per agent, on the RAM disk or, what is too large
for its quota, on a disk. Each piece of data is a folder named by the hash of its key, beside it a
lock file. Who finds no such folder takes the lock, looks again, fills a folder of another name and
renames it, so that a piece is there whole or not at all, and is made once however many ask. Users
hold the lock shared for as long as they live; what nobody holds is removed, the least recently used
first, when room is needed. The kernel lets go of a dead process's locks, so none is ever left.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

from stargen.executing.staging import SharedPlace, bytes_in

_GIB = 2**30


class SharedStore:
    """One process's way to the shared data of its node."""

    def __init__(self, place: SharedPlace) -> None:
        self._place = place
        self._quota = int(place.quota_gib * _GIB)
        self._held: dict[str, tuple[int, Path]] = {}

    def folder(self, key: str, make: Callable[[Path], None]) -> Path:
        """The folder of that key, filled by `make` if it is not there; held until `close`.

        Raises
        ------
        Exception : what `make` raises; the next who asks tries again
        """
        name = blake2b(key.encode(), digest_size=16).hexdigest()
        held = self._held.get(name)
        if held is not None:
            return held[1]
        self._place.disk.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._place.disk / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)
            while (found := self._find(name)) is None:
                fcntl.flock(lock, fcntl.LOCK_EX)  # not atomic: look again, and again afterwards
                if self._find(name) is None:
                    self._make(name, make)
                fcntl.flock(lock, fcntl.LOCK_SH)
            os.utime(lock)
        except BaseException:
            os.close(lock)
            raise
        self._held[name] = (lock, found)
        return found

    def close(self) -> None:
        """Let go of everything."""
        for lock, _ in self._held.values():
            os.close(lock)
        self._held.clear()

    def _find(self, name: str) -> Path | None:
        places = (self._place.ram / name, self._place.disk / name)
        return next((path for path in places if path.is_dir()), None)

    def _make(self, name: str, make: Callable[[Path], None]) -> None:
        """Fill the folder; on the RAM disk if it fits there, now or once others have left."""
        base = self._place.ram if self._quota else self._place.disk
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = base / f"{name}.{os.getpid()}.tmp"
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
        try:
            try:
                make(beside)
            except OSError:
                if base is self._place.disk or shutil.disk_usage(base).free > self._quota:
                    raise
                base, beside = self._on_disk(name, beside)  # the RAM disk is full
                make(beside)
            if base is self._place.ram and not self._has_room(bytes_in(beside)):
                base, beside = self._on_disk(name, beside)
            beside.replace(base / name)
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    def _on_disk(self, name: str, before: Path) -> tuple[Path, Path]:
        """The same unfinished folder, on the disk."""
        beside = self._place.disk / before.name
        shutil.rmtree(beside, ignore_errors=True)
        shutil.move(before, beside)
        return self._place.disk, beside

    def _has_room(self, needed: int) -> bool:
        """Make room on the RAM disk, if that can be; False if it cannot."""
        with self._bookkeeping():
            sizes = {p.name: bytes_in(p) for p in self._place.ram.iterdir() if "." not in p.name}
            used = sum(sizes.values())
            for name in sorted(sizes, key=self._used_at):
                if used + needed <= self._quota:
                    break
                if self._evict(name):
                    used -= sizes[name]
        return used + needed <= self._quota

    def _used_at(self, name: str) -> float:
        with suppress(OSError):
            return (self._place.disk / f"{name}.lock").stat().st_mtime
        return 0.0

    def _evict(self, name: str) -> bool:
        """Remove what nobody uses; False if somebody does."""
        lock = os.open(self._place.disk / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            shutil.rmtree(self._place.ram / name, ignore_errors=True)
            return True
        finally:
            os.close(lock)

    @contextmanager
    def _bookkeeping(self) -> Generator[None]:
        """One process at a time makes room."""
        lock = os.open(self._place.disk / "room.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)
