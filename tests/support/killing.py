"""Processes that kill themselves with SIGKILL at a named point, for tests alone.

The environment variable `STARGEN_TEST_KILL` says who, where, at which hit, and in which file to
write that it is about to happen, one line for each that is to die: ``master after-sync 5
/path/to/note``. Only the entry modules of this folder (master_process, agent_process,
worker_process, sink_process) look at it. The note is written before the signal, and nobody dies
twice for the same note.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "STARGEN_TEST_KILL"

POINTS = {
    "master": ("before-write", "after-write", "after-sync", "before-ack", "after-ack"),
    "agent": ("before-spool-write", "after-spool-write", "before-send", "after-send", "after-ack"),
    "worker": (
        "after-order", "before-result", "after-result", "before-checkpoint", "after-checkpoint",
    ),
    "host": ("after-spawn", "before-result", "after-result", "after-checkpoint"),
    "sink": ("before-commit", "after-commit"),
}  # fmt: skip
"""A host is the worker that runs external programs."""


@dataclass(frozen=True)
class Kill:
    """Who dies where: when processes of `role`, one or several, come to `point` the `hit`-th time.

    They count together in a file, for one that takes a dead one's place may have less to do.
    """

    role: str
    point: str
    hit: int
    note: Path

    def __str__(self) -> str:
        return f"{self.role} {self.point} {self.hit}"

    def come(self) -> int:
        """A process comes to the point: how often that has happened now."""
        hits = self.note.with_name(f"{self.note.name}.hits")
        fd = os.open(hits, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(fd, b".")
            return os.fstat(fd).st_size
        finally:
            os.close(fd)

    @classmethod
    def asked(cls) -> list[Kill]:
        """What the environment asks for."""
        lines = [line.split(" ", 3) for line in os.environ.get(VARIABLE, "").splitlines()]
        return [cls(role, point, int(hit), Path(note)) for role, point, hit, note in lines]


def environment(kills: Iterable[Kill]) -> dict[str, str]:
    """How processes are told."""
    return {VARIABLE: "\n".join(f"{kill} {kill.note}" for kill in kills)}


class Killer:
    """The observer that a test's process hands in."""

    def __init__(self, role: str) -> None:
        self._kills = [kill for kill in Kill.asked() if kill.role == role]

    def __call__(self, point: str) -> None:
        for kill in self._kills:
            if kill.point == point and not kill.note.exists() and kill.come() >= kill.hit:
                self._die(kill)

    def _die(self, kill: Kill) -> None:
        try:
            fd = os.open(kill.note, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return  # another process of the same role was faster
        os.write(fd, f"{kill} {os.getpid()}\n".encode())
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
