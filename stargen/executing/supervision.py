"""One external program under supervision: started, watched, stopped, corrected, diagnosed.

The thread that owns a slot starts the program and sleeps until it has ended: nothing polls a
program that lives for a millisecond. Programs that live longer are looked after by the host's
second thread, through `look`: it asks the program's own `watch`, and stops it when it must, first
softly (the program's stop file), then by SIGTERM, then by SIGKILL, each `grace_s` after the other.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from stargen.calculators.contract import Command, Finding, Program, Progress
from stargen.errors import CalculationFailed, UserTaskError
from stargen.executing.faults import ending, tail
from stargen.processes import end_session

WATCH_S = 1.0
_MOST_OUTPUT_BYTES = 256 * 1024 * 1024
_STRAGGLERS_S = 2.0


class Supervised:
    """One run of a program.

    Parameters
    ----------
    program : whose run it is
    command : how to start it
    folder : where it runs
    outputs : files for its standard output and error; one file for both if they are the same
    environ : its whole environment, but for what the command adds
    names : the site's names for programs
    grace_s : how long each way of stopping may take before the next, harder one
    """

    def __init__(
        self,
        program: Program,
        command: Command,
        folder: Path,
        outputs: tuple[Path, Path],
        environ: Mapping[str, str],
        names: Mapping[str, str],
        grace_s: float,
    ) -> None:
        self.program = program
        self.folder = folder
        self.finding: Finding | None = None
        self.told = False
        self._command = command
        self._outputs = outputs
        self._grace_s = grace_s
        self._lock = threading.Lock()
        self._ended = False
        self._stops: list[signal.Signals] = []
        self._next_stop_at = 0.0
        self._process = self._start(environ, names)
        self.began = time.monotonic()
        self._watched_at = self.began

    @property
    def pid(self) -> int:
        """The leader of its session and process group."""
        return self._process.pid

    def wait(self) -> int:
        """Until it has ended and nothing of its process group is left; its return code."""
        code = self._process.wait()
        with self._lock:
            self._ended = True
        if self._next_stop_at or self._has_stragglers():
            end_session(self.pid, grace_s=_STRAGGLERS_S)
        return code

    def _has_stragglers(self) -> bool:
        """Whether its process group lives on; what left the group is found by the agent's sweep."""
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True

    def check(self, code: int) -> None:
        """Refuse an end that means failure.

        Raises
        ------
        CalculationFailed : with the end of what it printed
        """
        if code not in self._command.ok_codes:
            raise CalculationFailed(
                f"{self._command.argv[0]} {ending(code)}", detail=self.last_lines()
            )

    def last_lines(self) -> str:
        """The end of what it printed, its standard error first."""
        out, error = self._outputs
        texts = [tail(error, 2000)] + ([tail(out, 1500)] if out != error else [])
        return "\n".join(text for text in texts if text)

    # --- looked after from another thread ---------------------------------------------------------

    def look(self, now: float) -> Progress | None:
        """Watch it if it is time to, and go on with stopping it if that has begun."""
        progress = None
        if now - self._watched_at >= WATCH_S and not self._ended:
            self._watched_at = now
            progress = self._watch()
            self._cut_outputs()
        self._go_on_stopping(now)
        return progress

    def stop(self, *, softly: bool) -> None:
        """Begin to stop it: softly if it can, or by SIGKILL."""
        now = time.monotonic()
        with self._lock:
            if not softly:
                self._stops, self._next_stop_at = [signal.SIGKILL], now
            elif not self._next_stop_at:
                self._stops, self._next_stop_at = [signal.SIGKILL, signal.SIGTERM], now
                if self._asked_softly():
                    self._next_stop_at += self._grace_s
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
            self._next_stop_at = now + self._grace_s
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def _cut_outputs(self) -> None:
        """A program that prints without end must not fill the disk; what came last is kept."""
        for path in set(self._outputs):
            with suppress(OSError):
                if path.stat().st_size > _MOST_OUTPUT_BYTES:
                    os.truncate(path, 0)

    # --- the start --------------------------------------------------------------------------------

    def _start(
        self, environ: Mapping[str, str], names: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        argv = list(self._command.argv)
        if argv and argv[0] in names:
            argv[:1] = shlex.split(names[argv[0]])
        out_path, error_path = self._outputs
        out = os.open(out_path, _APPEND, 0o600)
        error = out if error_path == out_path else os.open(error_path, _APPEND, 0o600)
        given = _given(self._command.stdin)
        try:
            return subprocess.Popen(
                argv,
                stdin=given,
                stdout=out,
                stderr=error,
                cwd=self.folder,
                env={**environ, **self._command.env} if self._command.env else environ,
                start_new_session=True,
            )
        except (OSError, ValueError, IndexError) as problem:
            reason = getattr(problem, "strerror", None) or problem
            raise UserTaskError(f"cannot start {' '.join(argv[:1])!r}: {reason}") from problem
        finally:
            for fd in {out, error, given} - {subprocess.DEVNULL}:
                os.close(fd)


_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


def _given(text: str | None) -> int:
    """A descriptor to read `text` from."""
    if text is None:
        return subprocess.DEVNULL
    with tempfile.TemporaryFile() as file:
        file.write(text.encode())
        file.seek(0)
        return os.dup(file.fileno())
