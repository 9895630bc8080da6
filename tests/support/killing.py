"""Processes that kill themselves with SIGKILL at a named point, for tests alone.

The environment variable `STARGEN_TEST_KILL` says who, where, at which hit, and in which file to
write that it is about to happen: ``master after-sync 5 /path/to/note``. Only the entry modules of
this folder (master_process, agent_process, sink_process) look at it. The note is written before the
signal, and nobody dies twice for the same note.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "STARGEN_TEST_KILL"

POINTS = {
    "master": ("before-write", "after-write", "after-sync", "before-ack", "after-ack"),
    "agent": ("before-spool-write", "after-spool-write", "before-send", "after-send", "after-ack"),
    "sink": ("before-commit", "after-commit"),
}


@dataclass(frozen=True)
class Kill:
    """Who dies where: at the `hit`-th time that `role` comes to `point`."""

    role: str
    point: str
    hit: int
    note: Path

    def environment(self) -> dict[str, str]:
        return {VARIABLE: f"{self.role} {self.point} {self.hit} {self.note}"}

    @classmethod
    def asked(cls) -> Kill | None:
        """What the environment asks for."""
        text = os.environ.get(VARIABLE, "")
        if not text:
            return None
        role, point, hit, note = text.split(" ", 3)
        return cls(role, point, int(hit), Path(note))


class Killer:
    """The observer that a test's process hands in."""

    def __init__(self, role: str) -> None:
        kill = Kill.asked()
        self._kill = kill if kill is not None and kill.role == role else None
        self._hits = 0

    def __call__(self, point: str) -> None:
        kill = self._kill
        if kill is None or point != kill.point:
            return
        self._hits += 1
        if self._hits == kill.hit and not kill.note.exists():
            line = f"{kill.role} {point} {kill.hit} {os.getpid()}\n"
            fd = os.open(kill.note, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.write(fd, line.encode())
            os.close(fd)
            os.kill(os.getpid(), signal.SIGKILL)


class SyncedLength:
    """Remembers how long the journal's newest segment was when it was last synced.

    Called at "after-sync", in the thread that synced. With it a test can cut off what the disk
    would have lost had the power failed too.
    """

    def __init__(self, journal: Path, note: Path) -> None:
        self._journal = journal
        self._fd = os.open(note, os.O_WRONLY | os.O_CREAT, 0o600)

    def __call__(self, point: str) -> None:
        if point == "after-sync":
            newest = max(self._journal.glob("*.log"))
            line = f"{newest.stat().st_size:015d} {newest.name}\n"
            os.pwrite(self._fd, line.encode(), 0)


def cut_power(journal: Path, note: Path) -> int:
    """Cut the journal to what was synced; returns how many bytes that cost."""
    if not note.exists() or not note.stat().st_size:
        return 0
    size, name = note.read_text().split()
    newest = max(journal.glob("*.log"))
    if newest.name != name:
        return 0  # it died while it made the next segment
    lost = newest.stat().st_size - int(size)
    os.truncate(newest, int(size))
    return lost
