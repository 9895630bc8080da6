"""Windows of the journal: the records that a page shows, and nothing around them.

A window is read from its position on; the reader leaps to the nearest mark, so any part of a long
journal is as near as its end. A filter reads backwards, stretch by stretch, until the window is
full or it has looked far enough for one go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from stargen.journal import read_records
from stargen.model import Location, StepCost
from stargen.quantities import duration
from stargen.records import (
    CandidateQuarantined,
    Record,
    TaskFailed,
    TasksAssigned,
    TasksFinished,
    TasksReturned,
    decode,
)

WINDOW = 200
_STRETCH = 2_000
_FARTHEST = 50_000
_OF_A_STORY = 500_000
"""Records that are searched for what happened to one task: some seconds of reading."""


class Row(NamedTuple):
    """A record and its position."""

    position: int
    record: Record


def stretches(journal: Path, until: int, since: int = 0) -> Iterator[list[Row]]:
    """The records from behind `since` up to `until`, the last stretch first; each in its order."""
    while until > since:
        after = max(since, until - _STRETCH)
        yield [Row(p, decode(body)) for p, body in read_records(journal, after, until)]
        until = after


def window(
    journal: Path, until: int, accepts: Callable[[Row], bool] | None = None
) -> tuple[list[Row], int]:
    """Up to `WINDOW` records that end at `until`, the newest first, and how far it has looked.

    Parameters
    ----------
    accepts : which records to take; None for all
    """
    if accepts is None:
        after = max(0, until - WINDOW)
        rows = [Row(p, decode(body)) for p, body in read_records(journal, after, until)]
        return rows[::-1], after
    found: list[Row] = []
    looked = until
    for stretch in stretches(journal, until):
        for row in reversed(stretch):
            looked = row.position - 1
            if accepts(row):
                found.append(row)
            if len(found) == WINDOW:
                return found, looked
        if until - looked >= _FARTHEST:
            break
    return found, looked


class Chapter(NamedTuple):
    """One thing that happened to a task.

    `outputs`: where the candidates of its result lie; `lane`: the class of its request, if that
    was told.
    """

    at: float
    what: str
    detail: str
    outputs: list[Location]
    lane: int | None = None


def story(
    journal: Path, until: int, job: int, ordinal: int, since: int = 0
) -> Iterator[list[Chapter]]:
    """What happened to a task up to a position, stretch by stretch, the newest first."""
    for stretch in stretches(journal, until, max(since, until - _OF_A_STORY)):
        yield [c for row in reversed(stretch) for c in _chapters(row.record, job, ordinal)]


def _chapters(record: Any, job: int, ordinal: int) -> Iterator[Chapter]:
    if getattr(record, "job", None) != job:
        return
    if isinstance(record, TasksAssigned):
        for row in (row for row in record.rows if row.ordinal == ordinal):
            what = f"attempt {row.epoch}.{row.n} sent to {record.node}"
            last = row.hi - 1
            detail = f"candidates {row.lo} to {last}" if last > row.lo else f"candidate {row.lo}"
            yield Chapter(record.at, what, detail, [], row.lane)
    elif isinstance(record, TasksFinished):
        for row in (row for row in record.rows if row.ordinal == ordinal):
            drops = "".join(f", {reason} {n}" for reason, n in row.drop_counts.items())
            what = f"attempt {row.epoch}.{row.n} finished on {record.node}"
            detail = f"{row.duration_us / 1e6:.3g} s, {len(row.sizes)} out{drops}"
            detail = "\n".join([detail, *map(_cost, row.costs)])
            ends = [row.offset + sum(row.sizes[:i]) for i in range(len(row.sizes))]
            places = [Location(row.segment, at, n) for at, n in zip(ends, row.sizes, strict=True)]
            yield Chapter(record.at, what, detail, list(islice(places, WINDOW)))
    elif isinstance(record, TasksReturned):
        for row in (row for row in record.rows if row.ordinal == ordinal):
            what = f"attempt {row.epoch}.{row.n} returned"
            yield Chapter(record.at, what, record.reason, [])
    elif isinstance(record, TaskFailed) and record.ordinal == ordinal:
        what = f"attempt {record.epoch}.{record.n} failed on {record.node}: {record.verdict}"
        text = f"{record.failure}: {record.message}"
        yield Chapter(record.at, what, f"{text}\n{record.detail}".rstrip(), [])
    elif isinstance(record, CandidateQuarantined) and record.ordinal == ordinal:
        yield Chapter(record.at, "candidate quarantined", record.reason, [])


def _cost(form: Any) -> str:
    """Where the time of a step went."""
    cost = StepCost(*form)
    parts = {"computing": cost.compute_s, "disk": cost.io_s, "staging": cost.staging_s}
    told = ", ".join(f"{duration(seconds)} {name}" for name, seconds in parts.items() if seconds)
    waited = max(0.0, cost.wall_s - sum(parts.values()))
    return f"step {cost.step + 1}: {told or '0 s computing'}, {duration(waited)} waiting"
