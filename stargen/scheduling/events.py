"""What may happen (Event) and what is to be done (Command): the scheduler's two languages.

Events carry the time `at` (wall-clock seconds), because the scheduler has no clock. Commands are
performed by the master's kernel, and only after the records that go with them are on disk.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from stargen.messages import AttemptRef, TaskFault
from stargen.model import Location, Resources
from stargen.records import Record


class DoneRow(NamedTuple):
    """A result whose payload the kernel has put into the journal at (segment, offset).

    `entries` are the same bytes, for routing by envelope; the scheduler does not keep them.
    """

    job: int
    ordinal: int
    epoch: int
    n: int
    duration_s: float
    segment: int
    offset: int
    entries: list[bytes]
    drops_size: int = 0
    drop_counts: dict[str, int] = {}  # noqa: RUF012 - a NamedTuple default; never changed
    end_of_source: int | None = None
    costs: list[Any] = []  # noqa: RUF012 - as above


@dataclass(frozen=True, slots=True)
class NodeAttached:
    """An agent showed its inventory. `allocation`: whose nodes may form gangs; the pool if ""."""

    at: float
    node: str
    pool: str
    agent_id: str
    incarnation: int
    resources: Resources
    running: list[AttemptRef]
    spooled: list[AttemptRef]
    ends_at: float | None = None
    allocation: str = ""


@dataclass(frozen=True, slots=True)
class NodeLeaving:
    """The agent says goodbye: it saves what it has, gives back the rest, and hangs up."""

    at: float
    node: str
    reason: str


@dataclass(frozen=True, slots=True)
class NodeDetached:
    """The link to the agent is gone; the agent may live.

    `final`: it is known to be dead; `left`: it has said goodbye.
    """

    at: float
    node: str
    reason: str
    final: bool = False
    left: bool = False


@dataclass(frozen=True, slots=True)
class NodeRemoved:
    """A person took a node out of the campaign, and its agent has been ended."""

    at: float
    node: str
    reason: str


@dataclass(frozen=True, slots=True)
class ResultsArrived:
    """Results from one node."""

    at: float
    node: str
    rows: list[DoneRow]


@dataclass(frozen=True, slots=True)
class FailuresArrived:
    """Failed attempts from one node."""

    at: float
    node: str
    rows: list[TaskFault]


@dataclass(frozen=True, slots=True)
class TasksGivenBack:
    """Attempts that never started, or were stopped without blame."""

    at: float
    node: str
    attempts: list[AttemptRef]
    reason: str


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time passed (about once a second)."""

    at: float


@dataclass(frozen=True, slots=True)
class DiskStateChanged:
    """The journal's disk is full (no dispatch), or has room again."""

    at: float
    full: bool


@dataclass(frozen=True, slots=True)
class AllocationSeen:
    """The batch system took or refused an allocation, or says how it stands.

    `state` is as in `records.AllocationStands`; `reason` is in the batch system's own words.
    """

    at: float
    name: str
    state: str
    reason: str = ""
    job_id: str = ""


@dataclass(frozen=True, slots=True)
class EnvelopesRead:
    """The entries that a `ReadEnvelopes` asked for."""

    at: float
    job: int
    input: int
    lo: int
    entries: list[bytes]


@dataclass(frozen=True, slots=True)
class Asked:
    """A person asked for something; `target` names a job, a node, or ``job/ordinal``.

    hold, release, cancel: jobs; retry: quarantined candidates of a job, or of all ("");
    cancel-task: one task; drain, undrain: nodes; stop: finish what runs and leave resumable.
    """

    at: float
    action: Literal["hold", "release", "retry", "cancel", "cancel-task", "drain", "undrain", "stop"]
    target: str
    by: str


Event = (
    NodeAttached
    | NodeLeaving
    | NodeDetached
    | NodeRemoved
    | ResultsArrived
    | FailuresArrived
    | TasksGivenBack
    | Ticked
    | DiskStateChanged
    | AllocationSeen
    | EnvelopesRead
    | Asked
)


class SendRow(NamedTuple):
    """One attempt to send; `entries` and `kept` say where the candidates lie.

    `steered`: see `messages.TaskOrder`.
    """

    ordinal: int
    n: int
    lo: int
    hi: int
    entries: list[Location]
    kept: list[Location]
    steered: bytes = b""


@dataclass(frozen=True, slots=True)
class SendTasks:
    """Put these tasks into the node's buffer; `gang`: the nodes that the one task has."""

    node: str
    job: int
    resources: Resources
    priority: int
    rows: list[SendRow]
    gang: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class CancelAttempts:
    """Tell the node to stop these."""

    node: str
    attempts: list[AttemptRef]
    reason: str
    soft: bool = False


@dataclass(frozen=True, slots=True)
class TakeBackTasks:
    """Ask the node for unstarted tasks back."""

    node: str
    job: int
    count: int


@dataclass(frozen=True, slots=True)
class AcknowledgeResults:
    """Tell the node that these are safe."""

    node: str
    attempts: list[AttemptRef]


@dataclass(frozen=True, slots=True)
class SettleInventory:
    """Answer a node's inventory."""

    node: str
    keep: list[AttemptRef]
    cancel: list[AttemptRef]
    deliver: list[AttemptRef]


@dataclass(frozen=True, slots=True)
class DrainNode:
    """Tell the node to accept no more."""

    node: str
    reason: str


@dataclass(frozen=True, slots=True)
class SubmitAllocation:
    """Ask the pool's batch system for an allocation."""

    name: str
    pool: str
    nodes: int
    walltime_s: float


@dataclass(frozen=True, slots=True)
class ReleaseAllocation:
    """Let the agents of an allocation leave, and cancel it if it does not end by itself."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class ReadEnvelopes:
    """Read these entries and hand them back as `EnvelopesRead`: they must be routed."""

    job: int
    input: int
    lo: int
    locations: list[Location]


@dataclass(frozen=True, slots=True)
class EndCampaign:
    """Everything is done, or nothing can go on."""

    state: Literal["done", "held", "stopped", "cancelled"]
    reason: str


Command = (
    SendTasks
    | CancelAttempts
    | TakeBackTasks
    | AcknowledgeResults
    | SettleInventory
    | DrainNode
    | SubmitAllocation
    | ReleaseAllocation
    | ReadEnvelopes
    | EndCampaign
)


class Step(NamedTuple):
    """What one event led to: records first on disk, then commands."""

    records: list[Record]
    commands: list[Command]
