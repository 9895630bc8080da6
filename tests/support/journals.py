"""Journals for tests."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

from stargen.clock import SystemClock
from stargen.journal import Journal
from stargen.model import Location


def open_journal(folder: Path, **options: Any) -> Journal:
    """A journal on the real clock that tells nobody what becomes durable, unless told to."""
    defaults = {"clock": SystemClock(), "on_durable": lambda position: None}
    return Journal.open(folder, **{**defaults, **options})


@contextlib.asynccontextmanager
async def journal_in(folder: Path, **options: Any) -> AsyncIterator[Journal]:
    journal = open_journal(folder, **options)
    try:
        yield journal
    finally:
        await journal.close()


async def write(folder: Path, records: Iterable[bytes], **options: Any) -> list[Location]:
    """A journal that is opened, given each record with a payload of its own, and closed.

    The payload of record ``r`` is ``payload of r``; returns where they lie.
    """
    locations: list[Location] = []
    async with journal_in(folder, **options) as journal:
        for record in records:
            locations.append(journal.append_payload([b"payload of ", record]))
            journal.append(record)
            await journal.until_durable()
    return locations


def names(folder: Path, pattern: str = "*") -> list[str]:
    """What lies in the folder."""
    return sorted(path.name for path in folder.glob(pattern))
