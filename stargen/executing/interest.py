"""Interest: how much of the node the master wants to see at present, and how often."""

from __future__ import annotations

from pathlib import Path

from stargen.executing.faults import tail
from stargen.messages import UNSEEN_S, AttemptRef, Look

_SLACK_S = 0.5
"""Samples are taken each second: one that is nearly due is sent with the last."""

_SAID_CHARS = 4000


class Interest:
    """What people look at; without a word from them for a while, they have left."""

    def __init__(self) -> None:
        self._look = Look(UNSEEN_S, 0.0)
        self._ends_at = 0.0
        self._told_at: float | None = None

    def take(self, look: Look, now: float) -> None:
        self._look, self._ends_at = look, now + look.for_s

    def due(self, now: float) -> bool:
        """Whether a sample is to be sent now; it counts as sent."""
        every_s = self._look.every_s if now < self._ends_at else UNSEEN_S
        if self._told_at is not None and now - self._told_at < every_s - _SLACK_S:
            return False
        self._told_at = now
        return True

    def closely(self, now: float) -> bool:
        """Whether somebody looks at this node alone."""
        return self._look.closely and now < self._ends_at

    def wants(self, ref: AttemptRef) -> bool:
        """Whether somebody reads what this task writes."""
        return [ref.job, ref.ordinal] in self._look.tasks


def last_words(folder: Path, log: Path) -> str:
    """The ends of what the programs of a task wrote last, or else of its worker's log."""
    outputs = [*folder.glob("std*.txt"), *folder.glob("*/std*.txt")]
    newest = max((path.parent for path in outputs), key=_changed_at, default=None)
    texts = [tail(path, _SAID_CHARS) for path in sorted(outputs) if path.parent == newest]
    return "\n".join(text for text in texts or [tail(log, _SAID_CHARS)] if text)


def _changed_at(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0
