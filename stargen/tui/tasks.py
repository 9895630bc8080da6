"""Rows of the page of tasks: what is open, and what ended of late."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import nsmallest
from typing import Any, NamedTuple

from stargen.tui.desk import Desk
from stargen.tui.words import Filter


class TaskRow(NamedTuple):
    """One task as it stands; `usual_s`: how long those of its job take."""

    job: str
    ordinal: int
    state: str
    node: str
    elapsed_s: float
    usual_s: float | None
    size: int
    said: str

    @property
    def key(self) -> str:
        return f"{self.job}/{self.ordinal}"

    def cells(self) -> dict[str, str]:
        """What a filter looks at."""
        return {
            "task": self.key,
            "job": self.job,
            "state": self.state,
            "node": self.node,
            "error": self.said,
        }


ORDERS: dict[str, Callable[[TaskRow], Any]] = {
    "task": lambda row: (row.job, row.ordinal),
    "state": lambda row: (row.state, row.job, row.ordinal),
    "node": lambda row: (row.node, row.job, row.ordinal),
    "elapsed": lambda row: (row.elapsed_s, row.job, row.ordinal),
    "size": lambda row: (row.size, row.job, row.ordinal),
}


def open_tasks(desk: Desk) -> Iterator[TaskRow]:
    """Tasks that are with a node or wait for another try."""
    for index, job in enumerate(desk.status.jobs):
        for ordinal in job.open:
            yield _open_task(desk, index, ordinal)


def _open_task(desk: Desk, index: int, ordinal: int) -> TaskRow:
    job = desk.status.jobs[index]
    node, size, sent_at, _, _ = job.open[ordinal]
    elapsed = max(0.0, desk.now - sent_at) if sent_at else 0.0
    usual = job.busy_s / job.finished if job.finished else None
    state = "running" if node else "waiting"
    told = (desk.load_of(node) or {}).get("tasks") if node else None
    if told is not None and (index, ordinal) not in told:
        state = "buffered"
    return TaskRow(job.name, ordinal, state, node, elapsed, usual, size, "")


def _longest_open(desk: Desk, most: int) -> tuple[list[TaskRow], int]:
    """The open tasks that have been so for longest, and how many there are.

    What the page shows first, and of a hundred thousand open tasks: so no row is made in vain.
    """
    jobs = desk.status.jobs
    never = float("inf")
    found = nsmallest(
        most,
        (
            (task[2] or never, index, ordinal)
            for index, job in enumerate(jobs)
            for ordinal, task in job.open.items()
        ),
    )
    rows = [_open_task(desk, index, ordinal) for _, index, ordinal in found]
    return rows, sum(job.unfinished for job in jobs)


def ended_tasks(desk: Desk) -> Iterator[TaskRow]:
    """Ends of attempts, the newest first; each task once, and not if it is open again."""
    jobs = desk.status.jobs
    seen: set[tuple[int, int]] = set()
    for end in desk.view.trail.recent():
        at = (end.job, end.ordinal)
        if at in seen or end.ordinal in jobs[end.job].open:
            continue
        seen.add(at)
        state = "finished" if end.how == "finished" else f"failed: {end.how}"
        job = jobs[end.job]
        usual = job.busy_s / job.finished if job.finished else None
        yield TaskRow(
            job.name, end.ordinal, state, end.node, end.duration_s or 0.0, usual, 0, end.said
        )


def chosen(
    desk: Desk, wanted: Filter, order: str, *, reverse: bool, first: int, most: int
) -> tuple[list[TaskRow], int]:
    """One window of the tasks that a filter leaves, open ones before ended ones, and how many."""
    until = first + most
    if not wanted.words and order == "elapsed" and reverse:
        accepted, total = _longest_open(desk, until)
    else:
        accepted = [row for row in open_tasks(desk) if wanted.accepts(row.cells())]
        accepted.sort(key=ORDERS[order], reverse=reverse)
        total = len(accepted)
    rows = accepted[first:until]
    for row in ended_tasks(desk):
        if wanted.accepts(row.cells()):
            if first <= total < until:
                rows.append(row)
            total += 1
    return rows, total
