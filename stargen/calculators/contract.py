"""What a calculator is: the page that a plugin author reads.

Two kinds exist. A `Calculator` is Python that runs in a warm worker process. A `Program` is an
external code (VASP, GPAW, any command) that the node supervises. Either is announced by a
`CalculatorInfo`, a constant cheap to import, under the entry point group ``stargen.calculators``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from stargen.crystal import Candidate, Crystal, Drop, Envelope, Scalar
from stargen.model import Chemistry, Kind, Request, Resources, Shape

if TYPE_CHECKING:
    import numpy as np

API_VERSION = 1
"""The contract that this core speaks."""

API_SUPPORTED = range(1, 2)
"""The contracts that this core accepts from plugins."""

Reuse = Literal["pure", "seeded", "never"]


class Context(Protocol):
    """What the runner offers a calculator. Within one api number it only gains members."""

    @property
    def job(self) -> str:
        """Name of the job."""
        ...

    @property
    def params(self) -> Any:
        """The step's parameters: an instance of the dataclass that the info names."""
        ...

    @property
    def chemistry(self) -> Chemistry:
        """The campaign's limits on elements."""
        ...

    @property
    def ordinals(self) -> range:
        """For a source: which of its ordinals this task must produce."""
        ...

    @property
    def resources(self) -> Resources:
        """What was granted."""
        ...

    @property
    def devices(self) -> tuple[int, ...]:
        """Indices of the granted GPUs as this process sees them; empty on a CPU."""
        ...

    @property
    def hosts(self) -> tuple[str, ...]:
        """Where ``nodes`` was asked for: the hosts that this task has, the one it is on first."""
        ...

    @property
    def folder(self) -> Path:
        """The task's scratch folder; made on first use, removed after the task."""
        ...

    @property
    def stop_requested(self) -> bool:
        """True once the task should save a checkpoint and return soon."""
        ...

    @property
    def kept(self) -> Sequence[Candidate]:
        """For a keyed calculator: what the key at hand has kept so far, in order."""
        ...

    def rng(self, *key: int | str) -> np.random.Generator:
        """Random numbers that depend on the campaign's seed, the step and `key` alone.

        Name the ordinal or the candidate in `key`, never the batch: the same candidate must come
        out whatever the batch split.
        """
        ...

    def birth(self, ordinal: int, crystal: Crystal, **properties: Scalar) -> Candidate:
        """A source's new candidate."""
        ...

    def stillborn(self, ordinal: int, reason: str, detail: str = "") -> Drop:
        """A source's verdict that this ordinal gives no candidate (an unreadable file, say)."""
        ...

    def end_of_source(self, ordinal: int) -> None:
        """A source of unknown length: no ordinal >= `ordinal` exists."""
        ...

    def input_file(self, path: str) -> Path:
        """A file that the parameters name, relative to the campaign file's folder."""
        ...

    def shared(self, key: str, make: Callable[[Path], None]) -> Path:
        """A folder of data that many tasks need, filled by `make` once on each node.

        It lies in the node's memory, or on its own disk if it is large; all workers map the same
        pages. It is only to be read. Name in `key` all that its content depends on.
        """
        ...

    def shared_file(self, path: Path) -> Path:
        """As `shared`, for a copy of a file; made anew when the file has changed."""
        ...

    def shared_arrays(
        self, key: str, build: Callable[[], Mapping[str, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        """As `shared`, for arrays, which come back mapped: to be read and not written to."""
        ...

    def progress(self, done: float, total: float) -> None:
        """Say how far the task is; also proves life."""
        ...

    def checkpoint(self, state: bytes) -> None:
        """Keep `state` so that a later attempt can go on from here."""
        ...

    def resume(self) -> bytes | None:
        """The last state kept by an earlier attempt at this task, or None."""
        ...


class Calculator(Protocol):
    """Python, in a warm worker process. Same task and seed, same result."""

    def open(self, context: Context) -> None:
        """Once per worker and parameter set: weights, device, tables."""
        ...

    def run(self, candidates: Sequence[Candidate], context: Context) -> Iterable[Candidate | Drop]:
        """Work on a batch.

        A map yields for each input at least one candidate or Drop that bears its candidate_id; use
        `Candidate.with_` and `Candidate.drop`. A source gets no candidates and yields births for
        `context.ordinals`. A keyed calculator gets candidates of one key, in journal order. A
        gather gets all.

        Raises
        ------
        stargen.errors.TaskError, or any exception : the attempt failed, with the class's failure
        """
        ...

    def close(self) -> None:
        """Before the worker goes."""
        ...


@dataclass(frozen=True, slots=True)
class Command:
    """How to start an external program in its folder.

    `argv[0]` may be a name of the site file's `commands` table, which is then expanded.
    `ok_codes`: exit codes that mean it ran; others are a failed attempt unless `watch` finds more.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    stdin: str | None = None
    ok_codes: tuple[int, ...] = (0,)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a program is, in its own steps."""

    done: float
    total: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault seen in a program's output. `stop` asks to end the run now."""

    fault: str
    message: str
    stop: bool = True


@dataclass(frozen=True, slots=True)
class Change:
    """What was changed in the input for the corrected attempt, for the record."""

    fault: str
    changes: Mapping[str, tuple[Scalar, Scalar]]
    """{key: (old, new)}"""


@runtime_checkable
class Program(Protocol):
    """An external code, one candidate a task, supervised by the node.

    It may also have ``needs_folder(context) -> bool``: where that says False no folder is made, and
    `folder` is a path that does not exist. And ``diagnose(folder, code) -> Finding | None``: it is
    asked once after the end in place of `watch`, with the return code (negative for a signal).
    """

    def prepare(self, candidate: Candidate, folder: Path, context: Context) -> Command:
        """Write the inputs into `folder`; the previous step's files are already there."""
        ...

    def watch(self, folder: Path) -> Progress | Finding | None:
        """Called about once a second while it runs, and once after it ended."""
        ...

    def correct(self, finding: Finding, folder: Path) -> Change | None:
        """Change the inputs in `folder` for another attempt; None if it cannot be mended."""
        ...

    def stop(self, folder: Path) -> bool:
        """Ask the program to end softly (a stop file); False if only a signal can."""
        ...

    def collect(self, candidate: Candidate, folder: Path, context: Context) -> Candidate | Drop:
        """Read the results."""
        ...


class Steer(Protocol):
    """How a source adapts: a pure function of what its candidates came to."""

    def __call__(self, params: Any, stats: SourceStats) -> Mapping[str, Any] | None:
        """New values for some parameters from here on, or None for no change."""
        ...


@dataclass(frozen=True, slots=True)
class SourceStats:
    """What became of a source's candidates so far, for `Steer`.

    `kept[job]` and `dropped[job][reason]` count downstream; `made` counts births.
    """

    made: int
    kept: Mapping[str, int]
    dropped: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class NoParams:
    """For calculators without parameters."""


def _one_core(params: Any, envelope: Envelope | None) -> Request:
    return (Resources(),)


@dataclass(frozen=True, slots=True)
class CalculatorInfo:
    """Everything that must be known before a heavy import.

    Parameters
    ----------
    name : ``plugin.verb``
    api : the contract this calculator was written for (`API_VERSION` of its day)
    factory : ``module:attribute`` called without arguments in the worker process
    shape : source, map, keyed or gather
    program : True if the factory makes a `Program`
    params : dataclass of the campaign's keys, with units in the names, and defaults
    resources : (params, envelope) -> variants in order of preference; called with None for the
        common case; `by_envelope` says that the answer depends on the candidate (keep it to few,
        bucketed answers: each becomes a class of its own)
    kind : cpu, gpu or io intensive
    affinity : params -> key of the data it loads (weights, tables), or None
    grain : candidates per task; "auto" grows it until a task lasts about `target_task_s`
    key : for keyed: params -> (envelope -> key)
    total : for a source: params -> how many ordinals it has; None if it says when it ends
    fan_out : for a map: params -> how many candidates come out of one, at most; one unless stated
    check : (params, folder of the campaign file) -> problems to report before anything starts
    check_chemistry : (params, the campaign's limits on elements) -> further such problems
    properties : names that it adds to candidates, for `where` to be checked against; "*" among
        them says that only the run will show which
    reads : params -> files whose content the result depends on
    reuse : "pure" by content, "seeded" by content, seed and ordinal, "never"
    result_version : raised when results change for the same input
    steer : for a source that adapts
    summary : one line for `stargen plugins`
    source : DOI or title of what it implements
    """

    name: str
    api: int
    factory: str
    shape: Shape = Shape.MAP
    program: bool = False
    params: type[Any] = NoParams
    resources: Callable[[Any, Envelope | None], Request] = _one_core
    by_envelope: bool = False
    kind: Kind = "cpu"
    affinity: Callable[[Any], str | None] | None = None
    grain: int | Literal["auto"] = "auto"
    key: Callable[[Any], Callable[[Envelope], str]] | None = None
    total: Callable[[Any], int | None] | None = None
    fan_out: Callable[[Any], int] | None = None
    check: Callable[[Any, Path], Iterable[str]] | None = None
    check_chemistry: Callable[[Any, Chemistry], Iterable[str]] | None = None
    properties: tuple[str, ...] = ()
    reads: Callable[[Any], Iterable[str]] | None = None
    checkpoint: Literal["none", "state", "files"] = "none"
    reuse: Reuse = "pure"
    result_version: int = 1
    steer: Steer | None = None
    summary: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A candidate came out of a job; `entry` is decoded with `stargen.crystal.decode_entry`."""

    job: str
    entry: bytes


@dataclass(frozen=True, slots=True)
class Dropped:
    """A job's verdict ended a candidate's way."""

    job: str
    drop: Drop


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A candidate that no attempt could bring through a job, set aside with the reason."""

    job: str
    candidate_id: str
    reason: str


SinkItem = Arrived | Dropped | Quarantined


class Sink(Protocol):
    """Receives a campaign's candidates in journal order (entry point group ``stargen.sinks``).

    The entry point names a callable ``(url, campaign_name, jobs, run_key) -> Sink``; `jobs` maps
    each job's name to the names of its inputs, upstream jobs first, and jobs that nobody takes from
    keep what comes out of them. It runs in a process of its own. `write` must store `position` in
    the same transaction as the items, so that after any crash it goes on exactly where its data
    ends. A position means something in one journal only, which `run_key` names: it is stored with
    the first items, and a store that holds items of another run raises `stargen.errors.AnotherRun`,
    one that could not be used however often it were tried `stargen.errors.StoreRefused`.
    """

    def position(self) -> int:
        """The journal position up to which everything is stored; 0 for an empty store."""
        ...

    def write(self, items: Sequence[SinkItem], position: int) -> None:
        """Store `items` and `position` together, or raise and leave both as they were."""
        ...

    def close(self) -> None:
        """No more will come."""
        ...


__all__ = [
    "API_SUPPORTED",
    "API_VERSION",
    "Arrived",
    "Calculator",
    "CalculatorInfo",
    "Change",
    "Command",
    "Context",
    "Dropped",
    "Finding",
    "NoParams",
    "Program",
    "Progress",
    "Quarantined",
    "Reuse",
    "Sink",
    "SinkItem",
    "SourceStats",
    "Steer",
]
