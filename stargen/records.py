"""Every fact that the journal keeps.

Records are facts and decisions, not raw inputs: replay applies them and decides nothing again, so
a journal outlives a change of policy. Each bears `at`, wall-clock seconds, first. A change here
raises `RECORDS_VERSION` and adds an old-form case to tests/unit/test_records.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from stargen.tagged import Tags

RECORDS_VERSION = 4


class AssignedRow(NamedTuple):
    """Task `ordinal` covers [lo, hi) of `lane`; this is attempt `n` of `epoch`.

    `variant` is which of the request's resource variants was granted. `epoch` is older than the
    current one when a returning node still runs an attempt that a former master sent.
    """

    ordinal: int
    n: int
    lane: int
    lo: int
    hi: int
    epoch: int
    variant: int = 0


class FinishedRow(NamedTuple):
    """The accepted result of a task.

    Its entries lie one after another from `offset` of `segment`, `sizes` bytes each; the block of
    drops (`drops_size` bytes, may be 0) follows them. `keys`: the key hash of each output, for
    keyed jobs. `costs`: rows of `model.StepCost`, of a task that took some time.
    """

    ordinal: int
    epoch: int
    n: int
    duration_us: int
    segment: int
    offset: int
    sizes: list[int]
    drops_size: int = 0
    drop_counts: dict[str, int] = {}  # noqa: RUF012 - a NamedTuple default; never changed
    end_of_source: int | None = None
    keys: list[int] = []  # noqa: RUF012 - as above
    costs: list[Any] = []  # noqa: RUF012 - as above


class ReturnedRow(NamedTuple):
    """An attempt that ended without a result and without blame."""

    ordinal: int
    epoch: int
    n: int


class GraphRow(NamedTuple):
    """One job for those who only look: its shape (or "select"), inputs and, if known, size.

    `waits`: it speaks once all its input has come, and what it said then is final.
    """

    shape: str
    inputs: list[int]
    total: int | None = None
    waits: bool = False


class PassedRow(NamedTuple):
    """One candidate that a select lets through: position `position` of input `input`."""

    input: int
    position: int


records: Tags[Any] = Tags("record")


@records.add(1)
@dataclass(frozen=True, slots=True)
class EpochStarted:
    """A master took the campaign; its epoch fences those before it."""

    at: float
    epoch: int
    host: str
    pid: int
    version: str


@records.add(2)
@dataclass(frozen=True, slots=True)
class PlanAdopted:
    """The campaign as it is run from here on; `graph` says how its jobs hang together.

    `campaign_id` was drawn when the journal was begun: agents and sinks serve no other.
    """

    at: float
    digest: str
    text: str
    jobs: list[str]
    graph: list[GraphRow] = field(default_factory=list["GraphRow"])
    campaign_id: str = ""


@records.add(3)
@dataclass(frozen=True, slots=True)
class NodeJoined:
    """An agent attached."""

    at: float
    node: str
    pool: str
    agent_id: str
    incarnation: int
    resources: list[Any]


@records.add(4)
@dataclass(frozen=True, slots=True)
class NodeLost:
    """A node is given up: its attempts return to the queue, a late result is still welcome."""

    at: float
    node: str
    reason: str


@records.add(5)
@dataclass(frozen=True, slots=True)
class NodeState:
    """A node's standing changed: ready, draining, suspended (set aside) or left."""

    at: float
    node: str
    state: str
    reason: str


@records.add(6)
@dataclass(frozen=True, slots=True)
class TasksAssigned:
    """Attempts decided; new ordinals create their tasks.

    `members`: for a gang, the nodes that it has for itself besides `node`, which leads it.
    """

    at: float
    job: int
    node: str
    rows: list[AssignedRow]
    members: list[str] = field(default_factory=list[str])


@records.add(7)
@dataclass(frozen=True, slots=True)
class TasksFinished:
    """Results accepted: the first valid one of each task."""

    at: float
    job: int
    node: str
    rows: list[FinishedRow]


@records.add(8)
@dataclass(frozen=True, slots=True)
class TasksReturned:
    """Attempts given back, cancelled, or lost with their node."""

    at: float
    job: int
    reason: str
    rows: list[ReturnedRow]


@records.add(9)
@dataclass(frozen=True, slots=True)
class TaskFailed:
    """An attempt failed, and what is done about it.

    `verdict`: "retry", "split" (into [lo, middle) and [middle, hi) as the next two ordinals),
    "quarantine" or "stop". `memory_factor` is what the next attempt's memory is multiplied by.
    """

    at: float
    job: int
    ordinal: int
    epoch: int
    n: int
    node: str
    failure: str
    signature: str
    message: str
    verdict: str
    middle: int = 0
    memory_factor: float = 1.0
    detail: str = ""


@records.add(10)
@dataclass(frozen=True, slots=True)
class CandidateQuarantined:
    """A candidate that no attempt could bring through.

    `location` (segment, offset, size) is where its entry lies; empty for a source, where
    `position` is the ordinal that would not come.
    """

    at: float
    job: int
    lane: int
    position: int
    ordinal: int
    location: list[int]
    reason: str


@records.add(11)
@dataclass(frozen=True, slots=True)
class Routed:
    """Candidates from position `lo` of input `input` were told their lanes (-1: turned away).

    `keys`: one hash per candidate, for keyed jobs and for the groups of a select; `ranks`: what a
    ranking select sorts by (infinite: does not pass); `ids`: hashes of the candidate ids, for jobs
    with several inputs.
    """

    at: float
    job: int
    input: int
    lo: int
    lanes: list[int]
    keys: list[int]
    ranks: list[float]
    ids: list[int]


@records.add(12)
@dataclass(frozen=True, slots=True)
class Selected:
    """Candidates that a select lets through, in the order of its stream."""

    at: float
    job: int
    rows: list[PassedRow]


@records.add(13)
@dataclass(frozen=True, slots=True)
class LaneOpened:
    """A class of candidates with its own resource request (`variants` as Resources fields)."""

    at: float
    job: int
    lane: int
    variants: list[list[Any]]


POLICY = "policy"
"""`JobHeld.by` where too much of a job failed, and no person asked for it."""


@records.add(14)
@dataclass(frozen=True, slots=True)
class JobHeld:
    """No more tasks of this job are sent until it is released."""

    at: float
    job: int
    reason: str
    by: str


@records.add(15)
@dataclass(frozen=True, slots=True)
class JobReleased:
    """A held job goes on; its failure statistics start afresh."""

    at: float
    job: int
    by: str


@records.add(16)
@dataclass(frozen=True, slots=True)
class JobClosed:
    """The job's stream is complete: `how` is "done", "cancelled" or "stopped"."""

    at: float
    job: int
    how: str


@records.add(17)
@dataclass(frozen=True, slots=True)
class SourceEnded:
    """The source makes nothing from `ordinal` on, and why."""

    at: float
    job: int
    ordinal: int
    reason: str


@records.add(18)
@dataclass(frozen=True, slots=True)
class SourceSteered:
    """The source's parameters from `ordinal` on."""

    at: float
    job: int
    ordinal: int
    params: dict[str, Any]


@records.add(19)
@dataclass(frozen=True, slots=True)
class QuarantineReopened:
    """A person asked for another try at quarantined candidates of a job."""

    at: float
    job: int
    by: str


@records.add(20)
@dataclass(frozen=True, slots=True)
class LateResults:
    """Results of tasks that were finished already: counted and dropped."""

    at: float
    node: str
    count: int


@records.add(21)
@dataclass(frozen=True, slots=True)
class CampaignEnded:
    """Nothing is left to do: `state` is "done", "held" or "cancelled"; `reason` in words."""

    at: float
    state: str
    reason: str


@records.add(22)
@dataclass(frozen=True, slots=True)
class Alerted:
    """Something a person should know."""

    at: float
    text: str


@records.add(23)
@dataclass(frozen=True, slots=True)
class AllocationPlanned:
    """The pool's batch system will be asked for so many nodes; an old one of that name is over."""

    at: float
    name: str
    pool: str
    nodes: int
    walltime_s: float


@records.add(24)
@dataclass(frozen=True, slots=True)
class AllocationStands:
    """An allocation is now queued, running, released (not needed any more), ended or refused.

    `reason` is in the batch system's own words where it has any.
    """

    at: float
    name: str
    state: str
    reason: str = ""
    job_id: str = ""


Record = (
    EpochStarted
    | PlanAdopted
    | NodeJoined
    | NodeLost
    | NodeState
    | TasksAssigned
    | TasksFinished
    | TasksReturned
    | TaskFailed
    | CandidateQuarantined
    | Routed
    | Selected
    | LaneOpened
    | JobHeld
    | JobReleased
    | JobClosed
    | SourceEnded
    | SourceSteered
    | QuarantineReopened
    | LateResults
    | CampaignEnded
    | Alerted
    | AllocationPlanned
    | AllocationStands
)


def encode(record: Record) -> bytes:
    """The bytes of one record."""
    return records.encode(record)


def decode(data: bytes | memoryview) -> Record:
    """The inverse of `encode`; RemoteProtocolError if it is none."""
    return records.decode(data)
