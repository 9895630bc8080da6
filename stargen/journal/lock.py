"""One writer per journal: a lock file that names who holds it.

The file is put in place whole, by a hard link or a rename, which are atomic on network file systems
too. Its holder also keeps it locked with flock where that works, so that the death of a holder on
this host is certain. A holder that was replaced finds another file in its place (`check`).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from stargen.errors import JournalLocked
from stargen.files import filesystem_of, sync_folder
from stargen.processes import boot_id, process_of


@dataclass(frozen=True, slots=True)
class Holder:
    """A process, told apart from all others: also from later ones with its number.

    Parameters
    ----------
    started : clock ticks from the start of its machine to its own
    boot : names that start of its machine
    since : wall-clock seconds at which it took the lock
    """

    host: str
    pid: int
    started: int
    boot: str
    since: float

    def __str__(self) -> str:
        taken = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.pid} on {self.host} since {taken}"


def this_process(now: float) -> Holder:
    me = process_of(os.getpid())
    started = me.started if me is not None else 0
    return Holder(socket.gethostname(), os.getpid(), started, boot_id(), now)


class Lock:
    """The held lock of a journal folder."""

    def __init__(self, path: Path, fd: int, note: str | None) -> None:
        self.path = path
        self.note = note
        self._fd = fd
        self._file = _identity(os.fstat(fd))

    def check(self) -> None:
        """Raise JournalLocked if another process took the lock away from us."""
        try:
            ours = _identity(self.path.stat()) == self._file
        except FileNotFoundError:
            ours = False
        if not ours:
            raise JournalLocked(str(read_holder(self.path) or "nobody: its lock file was removed"))

    def release(self) -> None:
        """Give the lock back; one that was taken over is left to its new holder."""
        with contextlib.suppress(OSError, JournalLocked):
            self.check()
            self.path.unlink()
        os.close(self._fd)


def read_holder(path: Path) -> Holder | None:
    """Who holds the lock; None if nobody does or the file says nothing."""
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def acquire(folder: Path, now: float, *, takeover: bool = False) -> Lock:
    """Take the lock of `folder`.

    Parameters
    ----------
    now : wall-clock seconds, for the note in the lock file
    takeover : also from a holder on another host, of whom nobody here can know whether it lives

    Raises
    ------
    JournalLocked : if another process holds it, or may hold it
    """
    path = folder / "lock"
    mine = folder / f"lock.{socket.gethostname()}.{os.getpid()}.tmp"
    fd = os.open(mine, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        _try_flock(fd)
        os.pwrite(fd, json.dumps(asdict(this_process(now))).encode(), 0)
        os.fsync(fd)
        lock = Lock(path, fd, _put_in_place(mine, path, takeover=takeover))
        sync_folder(folder)
        lock.check()
        return lock
    except BaseException:
        os.close(fd)
        raise
    finally:
        mine.unlink(missing_ok=True)


def _put_in_place(mine: Path, path: Path, *, takeover: bool) -> str | None:
    """Make `mine` the lock file; returns a note on the holder that it replaces."""
    try:
        path.hardlink_to(mine)
        return None
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links
        if not path.exists():
            mine.replace(path)
            return None
    try:
        old = os.open(path, os.O_RDWR)
    except FileNotFoundError:  # given back just now
        return _put_in_place(mine, path, takeover=takeover)
    try:
        # The old file stays locked while it is replaced: of two that find a dead holder, one wins.
        note = _judge(path, flock=_try_flock(old), takeover=takeover)
        if not _is_still(path, old):
            return _put_in_place(mine, path, takeover=takeover)
        mine.replace(path)
        return note
    finally:
        os.close(old)


def _judge(path: Path, *, flock: bool | None, takeover: bool) -> str:
    """A note if the holder is gone; raises JournalLocked if it lives, or may."""
    holder = read_holder(path)
    if holder is None:
        if flock:
            return "the last master left a lock file without a name"
        raise JournalLocked(f"somebody who left no name in {path}")
    here = this_process(0.0)
    if holder.host != here.host and holder.boot != here.boot:
        # No other host holds a lock on a disk of this one: the folder, or its host's name, moved.
        disk = filesystem_of(path)
        private = flock is True and not disk.network and disk.kind != "unknown"
        if takeover or private:
            return f"taken over from {holder}"
        raise JournalLocked(str(holder))
    if flock is False or (flock is None and _alive(holder, here)):
        raise JournalLocked(str(holder))
    return f"the last master, {holder}, ended without closing the journal"


def _alive(holder: Holder, here: Holder) -> bool:
    process = process_of(holder.pid)
    return holder.boot == here.boot and process is not None and process.started == holder.started


def _try_flock(fd: int) -> bool | None:
    """True if we have locked the file now, False if another has, None where flock is unknown."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_still(path: Path, fd: int) -> bool:
    try:
        return _identity(path.stat()) == _identity(os.fstat(fd))
    except FileNotFoundError:
        return False


def _identity(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_dev, stat.st_ino
