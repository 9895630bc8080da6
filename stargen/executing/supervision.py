"""One external program under supervision: started, watched, stopped, corrected, diagnosed.

The thread that owns a slot starts the program and sleeps until it has ended: nothing polls a
program that lives for a millisecond. Programs that live longer are looked after by the host's
second thread, through `look`: it asks the program's own `watch`, and stops it when it must, first
softly (the program's stop file), then by SIGTERM, then by SIGKILL, each `grace_s` after the other.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Set
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol

from stargen.calculators.contract import Command, Finding, Program, Progress
from stargen.errors import CalculationFailed, OutOfMemory, UserTaskError
from stargen.executing.cgroups import MemoryGroup
from stargen.executing.costs import Usage, read_and_written
from stargen.executing.faults import ending
from stargen.executing.outputs import Outputs
from stargen.processes import AGENT_MARK, ATTEMPT_MARK, end_attempt, end_session

WATCH_S = 1.0
_STRAGGLERS_S = 2.0
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


class Surroundings(NamedTuple):
    """What programs of one slot find when they start.

    Parameters
    ----------
    environ : their environment, but for what a command adds; as bytes, because encoding half a
        hundred variables takes a tenth of the time that a short program lives
    attempt : what they bear as ATTEMPT_MARK
    names : the site's names for programs
    grace_s : how long each way of stopping may take before the next, harder one
    nothing : a descriptor of /dev/null
    group : the control group that holds them to their memory, if there is one
    """

    environ: Mapping[bytes, bytes]
    attempt: str
    names: Mapping[str, str]
    grace_s: float
    nothing: int
    group: MemoryGroup | None = None


class Supervised:
    """One run of a program.

    Parameters
    ----------
    program : whose run it is
    command : how to start it
    folder : what its calculator is told
    cwd : where it runs; None for where its host does
    outputs : where it prints
    around : what it finds
    """

    def __init__(
        self,
        program: Program,
        command: Command,
        folder: Path,
        cwd: Path | None,
        outputs: Outputs,
        around: Surroundings,
    ) -> None:
        self.program = program
        self.folder = folder
        self.cwd = cwd
        self.finding: Finding | None = None
        self.usage = Usage(0.0, 0.0, 0.0)
        self.told = False
        self._command = command
        self._outputs = outputs
        self._around = around
        self._lock = threading.Lock()
        self._ended = False
        self._stops: list[signal.Signals] = []
        self._next_stop_at = 0.0
        self._looks = self._blocked = 0
        self._killed = around.group.kills() if around.group is not None else 0
        self._process = self._start()
        if around.group is not None:
            around.group.add(self._process.pid)
        self.began = time.monotonic()
        self._watched_at = self.began

    @property
    def pid(self) -> int:
        """The leader of its process group."""
        return self._process.pid

    @property
    def stopped(self) -> bool:
        """Whether it was stopped from here."""
        return self._next_stop_at > 0

    def wait(self) -> int:
        """Until it has ended and nothing that it started is left; its return code.

        `usage` is known from then on.
        A group that is empty when its leader ends by itself is taken for the whole: looking
        through all processes would cost more than a short program. The agent's sweep finds what
        has left the group.
        """
        code = self._reap()
        with self._lock:
            self._ended = True
        if self.stopped or self._group_lives():
            end_session(self.pid, grace_s=_STRAGGLERS_S)
            mark = self._around.environ.get(AGENT_MARK.encode(), b"").decode()
            end_attempt(mark, self._around.attempt, grace_s=0.0)
        return code

    def _reap(self) -> int:
        pid = self.pid
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        read, written = read_and_written(pid) if self.told else (0.0, 0.0)
        _, status, used = os.wait4(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        self._process.returncode = code  # so that `Popen` does not wait for it too
        self.usage = Usage(
            time.monotonic() - self.began,
            used.ru_utime,
            used.ru_stime,
            self._blocked / max(1, self._looks),
            read,
            written,
        )
        return code

    def check(self, code: int) -> None:
        """Refuse an end that means failure.

        Raises
        ------
        CalculationFailed : with the end of what it printed
        OutOfMemory : the kernel ended it, or a part of it, at the limit of its group
        """
        if code and self._around.group is not None and self._around.group.kills() > self._killed:
            raise OutOfMemory("the kernel ended it at its limit", detail=self._outputs.last_lines())
        if code not in self._command.ok_codes:
            raise CalculationFailed(
                f"{self._command.argv[0]} {ending(code)}", detail=self._outputs.last_lines()
            )

    def _group_lives(self) -> bool:
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True

    # --- looked after from another thread ---------------------------------------------------------

    def look(self, now: float) -> Progress | None:
        """Watch it if it is time to, and go on with stopping it if that has begun."""
        progress = None
        if now - self._watched_at >= WATCH_S and not self._ended:
            self._watched_at = now
            progress = self._watch()
            self._outputs.cut()
        self._go_on_stopping(now)
        return progress

    def note_blocked(self, attempts: Set[str]) -> None:
        """Of these attempts a process was seen to wait for a disk."""
        self._looks += 1
        self._blocked += self._around.attempt in attempts

    def stop(self, *, softly: bool) -> None:
        """Begin to stop it: softly if it can, or by SIGKILL."""
        now = time.monotonic()
        with self._lock:
            if not softly:
                self._stops, self._next_stop_at = [signal.SIGKILL], now
            elif not self._next_stop_at:
                self._stops, self._next_stop_at = [signal.SIGKILL, signal.SIGTERM], now
                if self._asked_softly():
                    self._next_stop_at += self._around.grace_s
        self._go_on_stopping(now)

    def _asked_softly(self) -> bool:
        try:
            return self.program.stop(self.folder)
        except Exception:
            return False  # then a signal does it

    def _watch(self) -> Progress | None:
        try:
            seen = self.program.watch(self.folder)
        except Exception:
            return None  # half-written output; the last look, after the end, tells
        if isinstance(seen, Finding):
            self.finding = seen
            if seen.stop:
                self.stop(softly=True)
            return None
        return seen

    def _go_on_stopping(self, now: float) -> None:
        with self._lock:
            if self._ended or not self._stops or now < self._next_stop_at:
                return
            number = self._stops.pop()
            self._next_stop_at = now + self._around.grace_s
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    # --- the start --------------------------------------------------------------------------------

    def _start(self) -> Child:
        command, around = self._command, self._around
        argv = list(command.argv) or [""]
        if argv[0] in around.names:
            argv[:1] = shlex.split(around.names[argv[0]])
        environ = dict(around.environ)
        environ[ATTEMPT_MARK.encode()] = around.attempt.encode()
        environ.update((os.fsencode(k), os.fsencode(v)) for k, v in command.env.items())
        given = around.nothing if command.stdin is None else _readable(command.stdin)
        try:
            fds = (given, *self._outputs.open())
            return _started(argv, environ, self.cwd, fds)
        finally:
            self._outputs.close()
            if given != around.nothing:
                os.close(given)


class Child(Protocol):
    """A process that was started."""

    returncode: int | None

    @property
    def pid(self) -> int: ...


class _Spawned:
    """A child by `posix_spawn`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None


def _started(
    argv: list[str], environ: Mapping[bytes, bytes], cwd: Path | None, fds: tuple[int, int, int]
) -> Child:
    try:
        path = _executable(argv[0], environ.get(b"PATH", b""))
        return _spawn(argv, path, environ, cwd, fds)
    except (OSError, ValueError) as problem:
        _executable.cache_clear()
        reason = getattr(problem, "strerror", None) or problem
        raise UserTaskError(f"cannot start {argv[0]!r}: {reason}") from problem


def _spawn(
    argv: list[str],
    path: str,
    environ: Mapping[bytes, bytes],
    cwd: Path | None,
    fds: tuple[int, int, int],
) -> Child:
    """Start a program as leader of a process group of its own.

    Both ways are of the vfork kind. `posix_spawn` cannot change the folder, but takes a hundred
    microseconds less of Python than `Popen`: a seventh of what `true` costs altogether.
    """
    if cwd is None:
        actions = [(os.POSIX_SPAWN_DUP2, fd, target) for target, fd in enumerate(fds)]
        pid = os.posix_spawn(
            path, argv, environ, file_actions=actions, setpgroup=0, setsigdef=_IGNORED_BY_PYTHON
        )
        return _Spawned(pid)
    given, out, error = fds
    return subprocess.Popen(
        argv,
        executable=path,
        stdin=given,
        stdout=out,
        stderr=error,
        cwd=cwd,
        env=environ,
        process_group=0,
    )


@lru_cache
def _executable(name: str, path: bytes) -> str:
    """The file that a command's first word means; looked for once, not by each new process."""
    return shutil.which(name, path=os.fsdecode(path)) or name


def _readable(text: str) -> int:
    """A descriptor to read `text` from."""
    with tempfile.TemporaryFile() as file:
        file.write(text.encode())
        file.seek(0)
        return os.dup(file.fileno())
