"""Arrivals: what agents say becomes events; results go into the journal on the way."""

from __future__ import annotations

from collections.abc import Callable

from stargen.errors import RemoteProtocolError
from stargen.journal.journal import Journal
from stargen.messages import GaveBack, Message, TaskDone, TasksDone, TasksFailed
from stargen.model import Failure
from stargen.scheduling.events import (
    DoneRow,
    Event,
    FailuresArrived,
    ResultsArrived,
    TasksGivenBack,
)

Wants = Callable[[int, int], bool]
_FAILURES = frozenset(Failure)


class Arrivals:
    """Turns messages into events.

    Parameters
    ----------
    wants : (job, ordinal) -> whether a result of that task would still be taken
    jobs : how many jobs the campaign has
    """

    def __init__(self, journal: Journal, wants: Wants, jobs: int) -> None:
        self._journal = journal
        self._wants = wants
        self._jobs = jobs

    def check(self, message: Message) -> None:
        """RemoteProtocolError if an agent must not say this."""
        if isinstance(message, TasksDone):
            jobs = [message.job]
        elif isinstance(message, TasksFailed):
            jobs = [row.job for row in message.rows]
            strange = {row.failure for row in message.rows} - _FAILURES
            if strange:
                raise RemoteProtocolError(f"unknown failure classes {sorted(strange)}")
        elif isinstance(message, GaveBack):
            jobs = [ref.job for ref in message.attempts]
        else:
            raise RemoteProtocolError(f"an agent does not say {type(message).__name__}")
        for job in jobs:
            if not 0 <= job < self._jobs:
                raise RemoteProtocolError(f"there is no job {job}")

    def event(self, at: float, node: str, message: Message) -> Event:
        """The event that a checked message amounts to."""
        if isinstance(message, TasksDone):
            return ResultsArrived(at, node, self._results(message))
        if isinstance(message, TasksFailed):
            return FailuresArrived(at, node, message.rows)
        assert isinstance(message, GaveBack)
        return TasksGivenBack(at, node, message.attempts, message.reason)

    def _results(self, message: TasksDone) -> list[DoneRow]:
        """Results with their payload in the journal, all of a message in one piece.

        Nobody reads what is not wanted any more, so it is not kept; the row only says that it came.
        """
        job, wants = message.job, self._wants
        wanted = [wants(job, row.ordinal) for row in message.rows]
        pieces: list[bytes] = []
        for row, keep in zip(message.rows, wanted, strict=True):
            if keep:
                pieces += row.entries
                if row.drops:
                    pieces.append(row.drops)
        segment, offset = self._journal.append_payload(pieces)[:2] if pieces else (0, 0)
        rows: list[DoneRow] = []
        for row, keep in zip(message.rows, wanted, strict=True):
            if not keep:
                rows.append(_unwanted(job, row))
                continue
            ordinal, epoch, n, duration_s, entries, drops, drop_counts, end_of_source, costs = row
            size = sum(map(len, entries))
            where = (segment, offset, entries, len(drops), drop_counts, end_of_source, costs)
            rows.append(DoneRow(job, ordinal, epoch, n, duration_s, *where))
            offset += size + len(drops)
        return rows


def _unwanted(job: int, row: TaskDone) -> DoneRow:
    return DoneRow(job, row.ordinal, row.epoch, row.n, row.duration_s, 0, 0, [])
