"""From an exception, or a process that ended, to the TaskFault that the master is told."""

from __future__ import annotations

import re
import signal
import traceback
from pathlib import Path

from stargen.errors import OutOfMemory, StargenError, TaskError, UserError, WorkerDied
from stargen.messages import AttemptRef, TaskFault

_MESSAGE_CHARS = 500
_DETAIL_CHARS = 4000
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


def fault_of(error: BaseException, ref: AttemptRef, duration_s: float = 0.0) -> TaskFault:
    """What went wrong in an attempt, by class of failure.

    `signature` is the same for failures with the same cause: the type, where it was raised and the
    message without its numbers.
    """
    message = _message(error)
    kind = f"{type(error).__name__}: " if isinstance(error, StargenError) else ""
    return TaskFault(
        *ref,
        failure=_failure(error),
        signature=f"{kind}{_NUMBER.sub('#', message)[:160]}{_origin(error)}",
        message=message[:_MESSAGE_CHARS],
        detail=_detail(error)[-_DETAIL_CHARS:],
        duration_s=duration_s,
    )


def died(returncode: int | None, *, memory: bool, granted_gib: float, detail: str) -> TaskError:
    """The error for a worker process that ended under its task.

    Parameters
    ----------
    returncode : as `subprocess` has it, negative for a signal; None if it lives on without a link
    memory : whether there is evidence that it was killed for its memory
    granted_gib : memory that its tasks may take
    detail : the end of what it wrote
    """
    if returncode is None:
        return WorkerDied("the worker closed its link to the agent", detail=detail)
    if memory:
        problem = f"the worker was killed because memory ran out; {granted_gib:g} were granted"
        return OutOfMemory(problem, detail=detail)
    return WorkerDied(f"the worker process {ending(returncode)} under the task", detail=detail)


def ending(returncode: int) -> str:
    """How a process ended, in words: "ended with exit code 3", "was killed by SIGSEGV"."""
    if returncode >= 0:
        return f"ended with exit code {returncode}"
    try:
        return f"was killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"was killed by signal {-returncode}"


def tail(path: Path, limit: int = _DETAIL_CHARS, since: int = 0) -> str:
    """The end of a text file, from whole lines; nothing if there is none or it is empty."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            start = max(since if since <= size else 0, size - limit)
            file.seek(start)
            data = file.read(limit)
    except OSError:
        return ""
    text = data.decode(errors="replace")
    if start > since and "\n" in text:
        text = text[text.index("\n") + 1 :]
    return text.strip()


def _failure(error: BaseException) -> str:
    if isinstance(error, TaskError):
        return error.failure
    if isinstance(error, MemoryError):
        return OutOfMemory.failure
    return "user" if isinstance(error, UserError) else "calculation"


def _message(error: BaseException) -> str:
    if isinstance(error, StargenError):
        return str(error)
    if isinstance(error, SystemExit):
        return f"the calculator called sys.exit({error.code!r})"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _origin(error: BaseException) -> str:
    """The innermost line of the traceback, unless Star-gen itself raised."""
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, StargenError) or not frames:
        return ""
    return f" at {Path(frames[-1].filename).name}:{frames[-1].name}"


def _detail(error: BaseException) -> str:
    told = getattr(error, "detail", "")
    if told or error.__traceback__ is None:
        return str(told)
    return "".join(traceback.format_exception(error)).strip()
