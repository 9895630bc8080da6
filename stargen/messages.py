"""Every message between master, relay, agent and worker, and its msgpack form.

The session (stargen/transport/session.py) carries these as opaque bytes, in order, each once.
Rows inside a message are many because messages are coalesced: one frame may carry hundreds of
tasks. A change here raises `PROTOCOL` (minor: fields or messages added; major: anything else) and
adds an old-form case to tests/unit/test_messages.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from stargen.tagged import Tags

PROTOCOL = (1, 1)
"""(major, minor) of the language spoken here."""


class AttemptRef(NamedTuple):
    """Names one attempt on the wire."""

    job: int
    ordinal: int
    epoch: int
    n: int


class TaskOrder(NamedTuple):
    """One task to run: attempt `n` of this master's epoch.

    `lo`, `hi` is the range in its lane (for a source: the ordinals to produce); `entries` are the
    candidates; `kept` what the keys among them have kept so far (keyed jobs only); `steered`, if
    not empty, is the packed table of parameters that a steered source has from here on.
    """

    ordinal: int
    n: int
    lo: int
    hi: int
    entries: list[bytes]
    kept: list[bytes]
    steered: bytes = b""


class TaskDone(NamedTuple):
    """A task's result. `drops` is `crystal.encode_drops`, empty if none; `drop_counts` by reason.

    `end_of_source`: the source has no ordinal from here on, or None. `costs`: rows of
    `model.StepCost`, of a task that took some time.
    """

    ordinal: int
    epoch: int
    n: int
    duration_s: float
    entries: list[bytes]
    drops: bytes = b""
    drop_counts: dict[str, int] = {}  # noqa: RUF012 - a NamedTuple default; never changed
    end_of_source: int | None = None
    costs: list[Any] = []  # noqa: RUF012 - as above


class TaskFault(NamedTuple):
    """An attempt that brought no result. `signature` groups like failures; `detail` is the tail."""

    job: int
    ordinal: int
    epoch: int
    n: int
    failure: str
    signature: str
    message: str
    detail: str = ""
    duration_s: float = 0.0


class RunningTask(NamedTuple):
    """How one running attempt is doing; `cores`: how many it keeps busy, `io_mib_s`: disks too."""

    job: int
    ordinal: int
    epoch: int
    n: int
    elapsed_s: float
    done: float
    total: float
    rss_gib: float
    cores: float = 0.0
    io_mib_s: float = 0.0


class StepDef(NamedTuple):
    """One step of a job as the worker needs it."""

    use: str
    params: dict[str, Any]


messages: Tags[Any] = Tags("message")


@messages.add(1)
@dataclass(frozen=True, slots=True)
class Attach:
    """Master's first word to an agent."""

    campaign_id: str
    epoch: int
    master: str
    lease_s: float
    takeover: bool = False


@messages.add(2)
@dataclass(frozen=True, slots=True)
class Inventory:
    """Agent's first word to a master: who it is, what runs, what waits to be handed over.

    `left_s`: seconds until it must go because its allocation ends; None if it may stay.
    """

    campaign_id: str
    agent_id: str
    incarnation: int
    boot_id: str
    host: str
    pid: int
    resources: list[Any]
    running: list[AttemptRef]
    spooled: list[AttemptRef]
    left_s: float | None = None


@messages.add(3)
@dataclass(frozen=True, slots=True)
class Settle:
    """Master's answer to an inventory; what is in none of the lists is unknown: cancel it."""

    keep: list[AttemptRef]
    cancel: list[AttemptRef]
    deliver: list[AttemptRef]


@messages.add(4)
@dataclass(frozen=True, slots=True)
class DefineJob:
    """What an agent and its workers must know of a job before its first task.

    `program`: the calculator is an external program; `affinity`: workers that loaded the same key
    are preferred; `commands`: the site's names for programs; `corrections`: how often a program's
    input may be mended within one attempt; `apart`: the agent does not see the master's folders, so
    that files travel; `files`: rows of [name, [[path below, size, time], ...]] of what it reads.
    """

    job: int
    name: str
    shape: str
    steps: list[StepDef]
    seed: int
    chemistry: dict[str, Any]
    program: bool = False
    affinity: str | None = None
    checkpoint: str = "none"
    campaign_folder: str = ""
    input_folder: str = ""
    commands: dict[str, str] = field(default_factory=dict[str, str])
    corrections: int = 10
    apart: bool = False
    files: list[Any] = field(default_factory=list[Any])


@messages.add(5)
@dataclass(frozen=True, slots=True)
class RunTasks:
    """Tasks for a node's buffer; `resources` are those of one task, as `model.Resources` fields.

    Between agent and worker, `epoch` is of the master that sent them (a master means its own), and
    `slot` says on which grant they run. `hosts`: for the one task of a gang, the hosts that it has
    for itself, that of this agent first.
    """

    job: int
    resources: list[Any]
    priority: int
    tasks: list[TaskOrder]
    epoch: int = 0
    slot: int = 0
    hosts: list[str] = field(default_factory=list[str])


@messages.add(6)
@dataclass(frozen=True, slots=True)
class CancelTasks:
    """Stop these attempts, started or not; `soft` asks for a checkpoint first."""

    attempts: list[AttemptRef]
    reason: str
    soft: bool = False


@messages.add(7)
@dataclass(frozen=True, slots=True)
class TakeBack:
    """Give back up to `count` tasks of `job` that have not started, the latest first.

    `slot`: between agent and worker, on which grant they wait.
    """

    job: int
    count: int
    slot: int = 0


@messages.add(8)
@dataclass(frozen=True, slots=True)
class GaveBack:
    """These attempts never started, or were stopped for a reason that is not theirs."""

    attempts: list[AttemptRef]
    reason: str = ""


@messages.add(9)
@dataclass(frozen=True, slots=True)
class TasksDone:
    """Results of one job, kept by the agent until acknowledged."""

    job: int
    rows: list[TaskDone]


@messages.add(10)
@dataclass(frozen=True, slots=True)
class TasksFailed:
    """Attempts that failed, kept by the agent until acknowledged."""

    rows: list[TaskFault]


@messages.add(11)
@dataclass(frozen=True, slots=True)
class AckResults:
    """The records of these results are on the master's disk: forget them."""

    attempts: list[AttemptRef]


@messages.add(12)
@dataclass(frozen=True, slots=True)
class Load:
    """A sample of the node: CPU share, memory, disk, pressure, and its running tasks.

    `gpus`: rows of [index, busy percent, used GiB, total GiB, degrees Celsius]; `celsius`: the
    hottest sensor of the machine, 0 if unknown; pressures: percent of the last ten seconds in which
    something waited; `disks`: rows of [what for, used GiB, total GiB]. Only for who looks closely:
    `cores`, the percent of each, and `said`, rows of [job, ordinal, the end of what it wrote].
    """

    cpu_percent: float
    memory_used_gib: float
    memory_total_gib: float
    disk_free_gib: float
    buffered: int
    running: list[RunningTask]
    gpus: list[Any] = field(default_factory=list[Any])
    io_pressure: float = 0.0
    celsius: float = 0.0
    scratch_gib: float = 0.0
    cores: list[float] = field(default_factory=list[float])
    said: list[Any] = field(default_factory=list[Any])
    cpu_pressure: float = 0.0
    memory_pressure: float = 0.0
    disks: list[Any] = field(default_factory=list[Any])


@messages.add(13)
@dataclass(frozen=True, slots=True)
class Drain:
    """Give back what has not started; go on with what runs.

    The agent takes new work all the same: whether a node is drained is the master's to know, who
    sends it none, and lifts the drain by sending some.
    """

    reason: str


@messages.add(14)
@dataclass(frozen=True, slots=True)
class Shutdown:
    """Stop everything that runs, leave no process behind, exit."""

    reason: str


@messages.add(15)
@dataclass(frozen=True, slots=True)
class Goodbye:
    """The agent goes, and why."""

    reason: str


@messages.add(16)
@dataclass(frozen=True, slots=True)
class Checkpointed:
    """Worker to agent: keep this state for a later attempt at the task; back when there is one."""

    job: int
    ordinal: int
    state: bytes


@messages.add(17)
@dataclass(frozen=True, slots=True)
class Advanced:
    """Worker to agent: progress of a running attempt."""

    n: int
    done: float
    total: float
    epoch: int = 0


@messages.add(18)
@dataclass(frozen=True, slots=True)
class Spawned:
    """Worker to agent: a program of this attempt runs as process group `pid`; 0 when it ended."""

    n: int
    pid: int
    epoch: int = 0


@messages.add(19)
@dataclass(frozen=True, slots=True)
class Ready:
    """Worker to agent: the calculators of `job` are loaded, which took its time."""

    job: int
    load_s: float


@messages.add(20)
@dataclass(frozen=True, slots=True)
class Granted:
    """Agent to worker: what tasks on `slot` may use from now on.

    `folder`: below it they make their scratch folders; none of it is made yet.
    """

    slot: int
    resources: list[Any]
    cores: list[int]
    gpus: list[int]
    folder: str


UNSEEN_S = 10.0
"""Between two samples of a node while nobody looks."""


@messages.add(21)
@dataclass(frozen=True, slots=True)
class Look:
    """Somebody looks: samples are wanted more often than usual, for a while.

    Parameters
    ----------
    every_s : between two samples
    for_s : how long; then the agent falls back to its own pace
    closely : whether each core is of interest
    tasks : [job, ordinal] of tasks whose output is of interest
    """

    every_s: float
    for_s: float
    closely: bool = False
    tasks: list[list[int]] = field(default_factory=list[list[int]])


@messages.add(22)
@dataclass(frozen=True, slots=True)
class WantFile:
    """Agent to master: the piece from `offset` on of a file `below` the input that is called so."""

    job: int
    name: str
    below: str
    offset: int


@messages.add(23)
@dataclass(frozen=True, slots=True)
class FilePart:
    """Master to agent: that piece; `last` if the file ends with it."""

    name: str
    below: str
    offset: int
    data: bytes
    last: bool


@messages.add(24)
@dataclass(frozen=True, slots=True)
class KeptPart:
    """A piece of a file of a task's checkpoint, either way, where the two sides share no folder."""

    job: int
    ordinal: int
    name: str
    offset: int
    data: bytes
    last: bool


Message = (
    Attach
    | Inventory
    | Settle
    | DefineJob
    | RunTasks
    | CancelTasks
    | TakeBack
    | GaveBack
    | TasksDone
    | TasksFailed
    | AckResults
    | Load
    | Drain
    | Shutdown
    | Goodbye
    | Checkpointed
    | Advanced
    | Spawned
    | Ready
    | Granted
    | Look
    | WantFile
    | FilePart
    | KeptPart
)


def encode(message: Message) -> bytes:
    """The bytes of one message."""
    return messages.encode(message)


def decode(data: bytes | memoryview) -> Message:
    """The inverse of `encode`; RemoteProtocolError if it is none."""
    return messages.decode(data)
