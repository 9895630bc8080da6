"""Every way Star-gen says no, on one page.

An expected failure is data: past the runner a `TaskError` becomes a record and is not raised again.
Errors keep their fields and build their sentence from them.
"""

from __future__ import annotations

from pathlib import Path


class StargenError(Exception):
    """Root of all errors that Star-gen raises on purpose."""


# --- what a person can mend -------------------------------------------------------------------


class UserError(StargenError):
    """Bad input: says where (file, line, key), what was found and what to write instead."""

    def __init__(
        self,
        problem: str,
        *,
        file: str | Path | None = None,
        line: int | None = None,
        key: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.problem = problem
        self.file = str(file) if file is not None else None
        self.line = line
        self.key = key
        self.hint = hint
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        where = self.file or ""
        if self.line is not None:
            where = f"{where}:{self.line}" if where else f"line {self.line}"
        parts = [p for p in (where, self.key) if p]
        text = f"{': '.join(parts)}: {self.problem}" if parts else self.problem
        return f"{text}\n  {self.hint}" if self.hint else text


class CampaignError(UserError):
    """campaign.toml cannot be run as written."""


class ConfigError(UserError):
    """stargen.toml cannot be used as written."""


class ExpressionError(UserError):
    """A filter expression cannot be read; `column` counts from 1."""

    def __init__(self, problem: str, *, text: str, column: int, hint: str | None = None) -> None:
        self.text = text
        self.column = column
        super().__init__(f"column {column} of `{text}`: {problem}", hint=hint)


class PluginError(UserError):
    """A plugin is missing, broken, too old, too new, or two claim one name."""


class CampaignBusy(UserError):
    """Another master holds this campaign; names who."""


class StoreRefused(UserError):
    """A sink's store cannot be used as it is; to try again is no use."""


class AnotherRun(StoreRefused):
    """A sink's store holds the candidates of another run; its sink says so and touches nothing."""


class Problems(UserError):
    """Several `UserError`s found in one pass; shown together."""

    def __init__(self, problems: list[UserError]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(p) for p in problems))


# --- nodes and links --------------------------------------------------------------------------


class NodeError(StargenError):
    """Something between master and node; answered by back-off, then the node is suspect."""

    def __init__(self, problem: str, *, node: str) -> None:
        self.node = node
        self.problem = problem
        super().__init__(f"{node}: {problem}")


class LinkLost(NodeError):
    """The byte stream to the node ended."""


class HandshakeRefused(NodeError):
    """The other side will not talk to us (version, campaign, master epoch)."""


class AgentGone(NodeError):
    """The agent process is no more."""


# --- tasks ------------------------------------------------------------------------------------


class TaskError(StargenError):
    """A task failed; `retryable` says whether another try with the same input can help."""

    failure = "calculation"
    retryable = True

    def __init__(self, problem: str, *, detail: str = "") -> None:
        self.problem = problem
        self.detail = detail
        super().__init__(problem)


class CalculationFailed(TaskError):
    """The calculator raised."""


class TimedOut(TaskError):
    """The task outlived its walltime."""


class OutOfMemory(TaskError):
    """The worker was killed for memory or raised MemoryError."""

    failure = "memory"


class BadResult(TaskError):
    """The calculator returned something that is not a result (wrong type, number or parent)."""


class WorkerDied(TaskError):
    """The worker process ended under the task (segfault, kill)."""


class InputMissing(TaskError):
    """A file that must travel to the node did not come."""

    failure = "infrastructure"


class UserTaskError(TaskError):
    """The calculator says that its parameters cannot work for any candidate; the job stops."""

    failure = "user"
    retryable = False


# --- journal ----------------------------------------------------------------------------------


class JournalError(StargenError):
    """The campaign's memory cannot be read or written."""


class JournalCorrupt(JournalError):
    """Damage before the tail: names segment and byte offset."""

    def __init__(self, problem: str, *, segment: str, offset: int) -> None:
        self.problem = problem
        self.segment = segment
        self.offset = offset
        super().__init__(f"{segment} at byte {offset}: {problem}")


class JournalVersion(JournalError):
    """Written by a version that this one does not read."""


class JournalLocked(JournalError):
    """Another master writes this journal; names host and process."""

    def __init__(self, holder: str) -> None:
        self.holder = holder
        super().__init__(f"the campaign is held by {holder}")


class JournalFull(JournalError):
    """The disk has no room; what is in memory is kept and written when there is."""


# --- protocol ---------------------------------------------------------------------------------


class ProtocolError(StargenError):
    """A message that must not be."""


class LocalProtocolError(ProtocolError):
    """We were about to break the protocol: our bug."""


class RemoteProtocolError(ProtocolError):
    """The other side broke the protocol: drop the link."""


class InvariantBroken(StargenError):
    """A bug: stop, with the state's story attached; the journal is already safe."""
