"""A campaign's picture as plain values: for people and programs to read, and for snapshots."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, fields
from operator import attrgetter
from typing import Any

from stargen.status import (
    UNTOLD,
    AllocationStatus,
    FailureGroup,
    JobStatus,
    Meter,
    NodeStatus,
    OpenTask,
    Status,
)

Listed = Iterable[Iterable[tuple[int, OpenTask]]]


def eta_s(status: Status, now: float) -> float | None:
    """Seconds until every job is through, by present rates and yields; None if unknown."""
    left = times_left(status, now)
    return None if None in left else _longest(left)


def _longest(left: list[float | None]) -> float:
    return max((one for one in left if one is not None), default=0.0)


def times_left(status: Status, now: float) -> list[float | None]:
    """Seconds until each job is through: its own pace, or that of what it waits for."""
    coming: list[float | None] = []
    left: list[float | None] = []
    for job in status.jobs:
        expected = _expected(status, job, coming)
        coming.append(_yielded(job, expected))
        left.append(_time_left(job, expected, [left[i] for i in job.inputs if i < len(left)], now))
    return left


def _time_left(
    job: JobStatus, expected: float | None, before: list[float | None], now: float
) -> float | None:
    if job.closed is not None:
        return 0.0
    rate = job.meter.now(now) or job.meter.mean()
    if job.held or expected is None or None in before or (expected > 0 and rate <= 0):
        return None
    return max(expected / rate if expected > 0 else 0.0, _longest(before))


def _expected(status: Status, job: JobStatus, coming: list[float | None]) -> float | None:
    """How many candidates the job will still take; None if nobody knows."""
    if job.closed is not None:
        return 0.0
    if job.shape == "source":
        return None if job.total is None else float(max(0, job.total - job.taken))
    total = float(status.waiting(job))
    for index in job.inputs:
        more = coming[index] if index < len(coming) else None
        if more is None:
            return None
        total += more
    return total


def _yielded(job: JobStatus, expected: float | None) -> float | None:
    """How many candidates will still come out of the job; None if nobody knows."""
    if expected is None or job.closed is not None:
        return expected
    if job.shape == "select" and not job.out:
        return None  # what is ranked comes out at the end, and its number is the campaign's
    return expected * (job.out / job.taken if job.taken else 1.0)


def as_json(status: Status, now: float) -> dict[str, Any]:
    """The picture as plain values: what `status --json` prints."""
    running = status.state == "running"
    left: list[float | None] = times_left(status, now) if running else [None] * len(status.jobs)
    return {
        "state": status.state,
        "reason": status.reason,
        "started_at": status.started_at,
        "away_s": status.away_s,
        "at": status.at,
        "now": now,
        "epoch": status.epoch,
        "master": {"host": status.host, "pid": status.pid},
        "eta_s": eta_s(status, now) if running else None,
        "eta_at_least_s": _longest(left),
        "jobs": [
            _job_json(status, job, now) | {"eta_s": one}
            for job, one in zip(status.jobs, left, strict=True)
        ],
        "nodes": [
            {
                "name": node.name,
                "pool": node.pool,
                "state": node.state,
                "reason": node.reason,
                "resources": node.resources,
                "agent_id": node.agent_id,
                "incarnation": node.incarnation,
                "running": node.running,
                "finished": node.finished,
                "failed": node.failed,
            }
            for node in status.nodes.values()
        ],
        "allocations": [asdict(each) for each in status.allocations.values()],
        "failures": failures_json(status),
        "late_results": status.late,
        "alerts": [{"at": at, "text": text} for at, text in status.alerts],
        "events": [{"at": at, "text": text} for at, text in status.events],
    }


def _job_json(status: Status, job: JobStatus, now: float) -> dict[str, Any]:
    return {
        "name": job.name,
        "shape": job.shape,
        "inputs": [status.jobs[i].name for i in job.inputs],
        "state": job.closed or ("held" if job.held else "open"),
        "held": job.held,
        "total": job.total,
        "in": job.taken,
        "out": job.out,
        "waiting": status.waiting(job),
        "dropped": dict(sorted(job.dropped.items(), key=lambda item: (-item[1], item[0]))),
        "quarantined": job.quarantined,
        "tasks": {"finished": job.finished, "running": job.running, "failed": job.failed},
        "busy_s": job.busy_s,
        "rate_now": job.meter.now(now),
        "rate_mean": job.meter.mean(),
    }


def failures_json(status: Status) -> list[dict[str, Any]]:
    """Groups of like failures, the most frequent first: what `failures --json` prints."""
    groups = sorted(status.failures.values(), key=lambda g: (-g.count, g.job, g.signature, g.node))
    return [
        {
            "job": status.jobs[group.job].name,
            "failure": group.failure,
            "signature": group.signature,
            "node": group.node,
            "count": group.count,
            "first_at": group.first_at,
            "last_at": group.last_at,
            "last_task": f"{status.jobs[group.job].name}/{group.ordinal}",
            "message": group.message,
            "detail": group.detail,
            "verdicts": group.verdicts,
        }
        for group in groups
    ]


# --- snapshots ---------------------------------------------------------------------------------


def freeze(
    status: Status, listed: Listed | None = None, nodes: Iterable[NodeStatus] | None = None
) -> list[Any]:
    """The picture as a snapshot keeps it.

    Parameters
    ----------
    listed : the open tasks of each job that it lists; None for all
    nodes : those that it lists; None for all
    """
    tasks = (job.open.items() for job in status.jobs) if listed is None else listed
    head = [getattr(status, f.name) for f in fields(status) if f.name not in _NESTED]
    return [
        head,
        [_job_form(job, list(some)) for job, some in zip(status.jobs, tasks, strict=True)],
        list(map(_node_form, status.nodes.values() if nodes is None else nodes)),
        list(map(_failure_form, status.failures.values())),
        [list(pair) for pair in status.alerts],
        [list(pair) for pair in status.events],
        list(map(_allocation_form, status.allocations.values())),
    ]


def _job_form(job: JobStatus, tasks: list[tuple[int, OpenTask]]) -> list[Any]:
    unlisted = job.unfinished - len(tasks)
    return [*_job_head(job), unlisted, job.meter.form(), [(o, *task) for o, task in tasks]]


def thaw(form: list[Any]) -> Status:
    """The inverse of `freeze`."""
    head, jobs, nodes, failures, alerts, events, *more = form
    names = [f.name for f in fields(Status) if f.name not in _NESTED]
    status = Status(**dict(zip(names, head, strict=False)))
    for *plain, meter, open_ in jobs:
        tasks: dict[int, Any] = {row[0]: (*row[1:], *UNTOLD[len(row) - 1 :]) for row in open_}
        status.jobs.append(JobStatus(*plain, meter=Meter.from_form(meter), open=tasks))
    status.nodes = {row[0]: NodeStatus(*row) for row in nodes}
    status.failures = {(*row[:4],): FailureGroup(*row) for row in failures}
    status.alerts.extend((at, text) for at, text in alerts)
    status.events.extend((at, text) for at, text in events)
    for row in more[0] if more else ():
        status.allocations[row[0]] = AllocationStatus(*row)
    return status


_NESTED = frozenset(("jobs", "nodes", "allocations", "failures", "alerts", "events"))


def _values(cls: type[Any], *without: str) -> Callable[[Any], tuple[Any, ...]]:
    """All fields of an object, at the speed that thousands of nodes want."""
    return attrgetter(*(f.name for f in fields(cls) if f.name not in without))


_job_head = _values(JobStatus, "unlisted", "meter", "open")
_node_form = _values(NodeStatus)
_failure_form = _values(FailureGroup)
_allocation_form = _values(AllocationStatus)
