"""From records to the picture of a campaign, by one function.

`fold` takes records in the order of the journal, wherever they come from: the master's kernel folds
what it writes, a viewer folds what it reads. It works on whole batches of rows, so that it costs
the master a fraction of a microsecond per task.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stargen.records import (
    POLICY,
    Alerted,
    AllocationPlanned,
    AllocationStands,
    CampaignEnded,
    CandidateQuarantined,
    EpochStarted,
    FinishedRow,
    GraphRow,
    JobClosed,
    JobHeld,
    JobReleased,
    LateResults,
    NodeJoined,
    NodeLost,
    NodeState,
    PlanAdopted,
    QuarantineReopened,
    Record,
    Routed,
    Selected,
    SourceEnded,
    SourceSteered,
    TaskFailed,
    TasksAssigned,
    TasksFinished,
    TasksReturned,
)
from stargen.status import (
    UNTOLD,
    AllocationStatus,
    FailureGroup,
    JobStatus,
    NodeStatus,
    OpenTask,
    Status,
)

_GROUPS = 1000
"""Groups of failures told apart; signatures that never repeat must not fill the memory."""


def fold(status: Status, record: Record) -> None:
    """Take one more record into the picture."""
    handle = _FOLDS.get(type(record))
    if handle is not None:
        handle(status, record)
    status.at = record.at


# --- tasks --------------------------------------------------------------------------------------


def _assigned(status: Status, r: TasksAssigned) -> None:
    job, node, at = status.jobs[r.job], r.node, r.at
    for row in r.rows:
        if row.ordinal in job.open:
            _leaves_node(status, job, row.ordinal)
        job.open[row.ordinal] = (node, row.hi - row.lo, at, row.epoch, row.n)
    job.running += len(r.rows)
    if node in status.nodes:
        status.nodes[node].running += len(r.rows)


def _waiting(size: int) -> OpenTask:
    """A task between two tries."""
    return ("", size, 0.0, 0, 0)


def _leaves_node(status: Status, job: JobStatus, ordinal: int) -> int:
    """The task is with no node any more; how many candidates it has."""
    task = job.open.pop(ordinal, UNTOLD)
    node = task[0]
    if node:
        job.running -= 1
        if node in status.nodes:
            status.nodes[node].running -= 1
    return task[1]


def _finished(status: Status, r: TasksFinished) -> None:
    job = status.jobs[r.job]
    source = job.shape == "source"
    out = taken = busy_us = 0
    for row in r.rows:
        asked = _leaves_node(status, job, row.ordinal)
        taken += min(asked, _made(row)) if source else asked
        out += len(row.sizes)
        busy_us += row.duration_us
        for reason, count in row.drop_counts.items():
            job.dropped[reason] = job.dropped.get(reason, 0) + count
    job.finished += len(r.rows)
    job.taken += taken
    job.out += out
    job.busy_s += busy_us / 1e6
    job.meter.add(r.at, taken)
    if r.node in status.nodes:
        status.nodes[r.node].finished += len(r.rows)


def _made(row: FinishedRow) -> int:
    """What a source's task came to; beyond its end it is asked for more than there is."""
    return len(row.sizes) + sum(row.drop_counts.values())


def _returned(status: Status, r: TasksReturned) -> None:
    job = status.jobs[r.job]
    for row in r.rows:
        if row.ordinal in job.open:
            job.open[row.ordinal] = _waiting(_leaves_node(status, job, row.ordinal))


def _failed(status: Status, r: TaskFailed) -> None:
    job = status.jobs[r.job]
    job.failed += 1
    size = _leaves_node(status, job, r.ordinal)
    if r.verdict == "retry":
        job.open[r.ordinal] = _waiting(size)
    if r.node in status.nodes:
        status.nodes[r.node].failed += 1
    key = (r.job, r.failure, r.signature, r.node)
    if key not in status.failures and len(status.failures) >= _GROUPS:
        key = (r.job, r.failure, "others", "")
    group = status.failures.get(key)
    if group is None:
        group = status.failures[key] = FailureGroup(*key, first_at=r.at)
        status.tell(r.at, f"{job.name}: {r.failure} failure on {r.node}: {r.message}")
    group.count += 1
    group.last_at, group.ordinal = r.at, r.ordinal
    group.message, group.detail = r.message, r.detail or group.detail
    group.verdicts[r.verdict] = group.verdicts.get(r.verdict, 0) + 1


def _quarantined(status: Status, r: CandidateQuarantined) -> None:
    job = status.jobs[r.job]
    _leaves_node(status, job, r.ordinal)
    job.quarantined += 1
    job.taken += 1
    job.meter.add(r.at, 1)


def _reopened(status: Status, r: QuarantineReopened) -> None:
    job = status.jobs[r.job]
    status.tell(r.at, f"{job.name}: {job.quarantined} quarantined tried again, asked by {r.by}")
    job.taken -= job.quarantined
    job.quarantined = 0
    _open_again(status, r.job)


def _open_again(status: Status, index: int) -> None:
    status.jobs[index].closed, status.ended = None, False
    status.state, status.reason = "running", ""
    for downstream, job in enumerate(status.jobs):
        if index in job.inputs and job.closed is not None and not job.waits:
            _open_again(status, downstream)


def _late(status: Status, r: LateResults) -> None:
    status.late += r.count


# --- streams and jobs -----------------------------------------------------------------------------


def _routed(status: Status, r: Routed) -> None:
    job = status.jobs[r.job]
    passed = sum(lane >= 0 for lane in r.lanes)
    if job.shape == "select":
        job.taken += len(r.lanes)
        job.out += passed
        job.meter.add(r.at, len(r.lanes))
    else:
        job.taken += len(r.lanes) - passed


def _selected(status: Status, r: Selected) -> None:
    status.jobs[r.job].out += len(r.rows)


def _held(status: Status, r: JobHeld) -> None:
    job = status.jobs[r.job]
    job.held = r.reason
    say = status.alert if r.by == POLICY else status.tell
    say(r.at, f"{job.name} is held: {r.reason}")


def _released(status: Status, r: JobReleased) -> None:
    job = status.jobs[r.job]
    job.held = None
    status.tell(r.at, f"{job.name} is released by {r.by}")


def _job_closed(status: Status, r: JobClosed) -> None:
    job = status.jobs[r.job]
    for ordinal in list(job.open):
        _leaves_node(status, job, ordinal)
    job.closed, job.held = r.how, None
    status.tell(r.at, f"{job.name} is {r.how}: {job.out} out of {job.taken}")


def _source_ended(status: Status, r: SourceEnded) -> None:
    job = status.jobs[r.job]
    job.total = r.ordinal
    status.tell(r.at, f"{job.name} ends at {r.ordinal}: {r.reason}")


def _steered(status: Status, r: SourceSteered) -> None:
    changes = ", ".join(f"{name} = {value}" for name, value in r.params.items())
    status.tell(r.at, f"{status.jobs[r.job].name} from {r.ordinal} on: {changes}")


# --- nodes and the campaign -----------------------------------------------------------------------


def _joined(status: Status, r: NodeJoined) -> None:
    node = status.nodes.get(r.node)
    if node is None:
        node = status.nodes[r.node] = NodeStatus(r.node, r.pool, r.resources)
    how = "is back with the same agent" if node.agent_id == r.agent_id else "joined"
    node.pool, node.resources = r.pool, r.resources
    node.agent_id, node.incarnation = r.agent_id, r.incarnation
    if node.state != "draining":
        node.state, node.reason = "ready", ""
    status.tell(r.at, f"node {r.node} {how}")
    allocation = status.allocations.get(r.node) or status.allocations.get(r.node.rpartition(".")[0])
    if allocation is not None and allocation.state in ("planned", "queued"):
        allocation.state, allocation.since, allocation.reason = "running", r.at, ""


def _lost(status: Status, r: NodeLost) -> None:
    for job in status.jobs:
        for ordinal in [o for o, task in job.open.items() if task[0] == r.node]:
            job.open[ordinal] = _waiting(_leaves_node(status, job, ordinal))
    status.nodes[r.node].state, status.nodes[r.node].reason = "lost", r.reason
    status.alert(r.at, f"node {r.node} is lost: {r.reason}")


def _stands(status: Status, r: NodeState) -> None:
    node = status.nodes[r.node]
    node.state, node.reason = r.state, r.reason
    say = status.alert if r.state == "suspended" else status.tell
    say(r.at, f"node {r.node} is {r.state}" + (f": {r.reason}" if r.reason else ""))


def _planned(status: Status, r: AllocationPlanned) -> None:
    old = status.allocations.pop(r.name, None)
    new = AllocationStatus(r.name, r.pool, r.nodes, r.walltime_s, since=r.at)
    new.refused = old.refused if old is not None else ""
    status.allocations[r.name] = new


def _allocation(status: Status, r: AllocationStands) -> None:
    found = status.allocations.get(r.name)
    if found is None:
        return
    changed = found.state != r.state
    found.state, found.since, found.reason = r.state, r.at, r.reason
    found.job_id = r.job_id or found.job_id
    job = f" (job {found.job_id})" if found.job_id else ""
    text = f"allocation {r.name}{job} is {r.state}" + (f": {r.reason}" if r.reason else "")
    if r.state == "refused":
        say = status.tell if r.reason == found.refused else status.alert
        say(r.at, text)
        found.refused = r.reason
    elif changed:
        status.tell(r.at, text)
        found.refused = "" if r.state == "queued" else found.refused


def _epoch(status: Status, r: EpochStarted) -> None:
    status.epoch, status.host, status.pid = r.epoch, r.host, r.pid
    status.away_s += max(0.0, r.at - status.at) if status.started_at else 0.0
    status.started_at = status.started_at or r.at
    status.state, status.reason, status.ended = "running", "", False
    status.tell(r.at, f"master {r.pid} on {r.host} took over (epoch {r.epoch})")


def _adopted(status: Status, r: PlanAdopted) -> None:
    status.campaign_id = status.campaign_id or r.campaign_id
    for index, name in enumerate(r.jobs):
        if index == len(status.jobs):
            status.jobs.append(JobStatus(name))
        job, row = status.jobs[index], r.graph[index] if r.graph else GraphRow("map", [])
        job.name, job.shape, job.inputs, job.waits = name, row.shape, row.inputs, row.waits
        job.total = row.total if job.total is None else job.total


def _ended(status: Status, r: CampaignEnded) -> None:
    status.state, status.reason, status.ended = r.state, r.reason, True
    status.tell(r.at, f"the campaign is {r.state}" + (f": {r.reason}" if r.reason else ""))


def _alerted(status: Status, r: Alerted) -> None:
    status.alert(r.at, r.text)


_FOLDS: dict[type[Any], Callable[[Status, Any], None]] = {
    EpochStarted: _epoch,
    PlanAdopted: _adopted,
    NodeJoined: _joined,
    NodeLost: _lost,
    NodeState: _stands,
    TasksAssigned: _assigned,
    TasksFinished: _finished,
    TasksReturned: _returned,
    TaskFailed: _failed,
    CandidateQuarantined: _quarantined,
    Routed: _routed,
    Selected: _selected,
    JobHeld: _held,
    JobReleased: _released,
    JobClosed: _job_closed,
    SourceEnded: _source_ended,
    SourceSteered: _steered,
    QuarantineReopened: _reopened,
    LateResults: _late,
    CampaignEnded: _ended,
    Alerted: _alerted,
    AllocationPlanned: _planned,
    AllocationStands: _allocation,
}
