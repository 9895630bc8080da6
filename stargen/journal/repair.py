"""Cutting a torn end without opening the journal for work."""

from __future__ import annotations

from pathlib import Path

from stargen.clock import Clock
from stargen.journal.lock import acquire
from stargen.journal.recovery import cut_torn_end


def repair(folder: Path, *, clock: Clock, takeover: bool = False) -> list[str]:
    """Cut off what a crash left half written; returns a sentence on each thing done.

    Real damage is not repaired: what was durable is not thrown away by a tool.

    Raises
    ------
    JournalCorrupt : at damage that is no torn end
    JournalLocked : if a master is at work
    """
    lock = acquire(folder, clock.wall(), takeover=takeover)
    try:
        return cut_torn_end(folder)
    finally:
        lock.release()
