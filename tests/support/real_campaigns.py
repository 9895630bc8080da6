"""Campaigns as real processes: started, killed, watched and swept up by tests."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from support.killing import Kill, environment

TESTS = Path(__file__).parents[1]
MARK = "STARGEN_TEST_RUN"
"""Environment variable that everything a campaign starts inherits."""

ACKNOWLEDGED = "STARGEN_TEST_ACKNOWLEDGED"
"""Names the file in which agents write down every acknowledgement as it comes."""

END_S = 200.0
"""Far more than any campaign of the tests needs, also where a machine does much besides."""

AGENTS = "STARGEN_TEST_AGENTS"
"""Names the file in which every agent that starts writes down its process."""


class Marked:
    """A folder to work in, and all processes that are started from it.

    Parameters
    ----------
    base : the folder, made if it is not there
    """

    def __init__(self, base: Path) -> None:
        base.mkdir(parents=True, exist_ok=True)
        self.base = base
        self.mark = secrets.token_hex(8)

    def environment(self) -> dict[str, str]:
        env = {name: text for name, text in os.environ.items() if not name.startswith("STARGEN_")}
        env |= {"PYTHONPATH": str(TESTS), MARK: self.mark, "XDG_CONFIG_HOME": str(self.base)}
        return env | {"OMP_NUM_THREADS": "1", "COLUMNS": "200", "NO_COLOR": "1"}

    def processes(self, *words: str) -> list[int]:
        """Living processes that bear the mark, and whose command holds all `words`."""
        wanted = f"{MARK}={self.mark}".encode()
        found: list[int] = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if wanted not in (path / "environ").read_bytes().split(b"\0"):
                    continue
                command = (path / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if command and all(word in command for word in words):
                found.append(int(path.name))
        return found

    def agents(self) -> list[int]:
        return self.processes("-m\0", "agent", "--campaign-folder")

    def workers(self) -> list[int]:
        return [*self.processes("stargen.executing.runner"), *self.processes("worker_process")]

    def sweep(self) -> list[int]:
        """Kill whatever is left; whom that hit."""
        left = self.processes()
        for _ in range(100):
            pids = self.processes()
            if not pids:
                break
            for pid in pids:
                kill(pid)
            time.sleep(0.02)
        return left

    def wait_until_gone(self, timeout_s: float = 30.0) -> list[int]:
        """Wait for all its processes to end; those that have not."""
        wait_for(lambda: not self.processes(), timeout_s)
        return self.processes()


class RealCampaign(Marked):
    """One campaign folder, and the processes that work for it.

    Parameters
    ----------
    base : for the campaign file and all that comes of it
    text : of the campaign file
    """

    def __init__(self, base: Path, text: str) -> None:
        super().__init__(base)
        self.folder = base / "out"
        self.file = base / "campaign.toml"
        self.file.write_text(text)
        self.log = base / "master.log"
        self.acknowledged = base / "acknowledged"
        self.agents_begun = base / "agents"

    @property
    def journal(self) -> Path:
        return self.folder / "journal"

    def environment(self) -> dict[str, str]:
        accounts = {ACKNOWLEDGED: str(self.acknowledged), AGENTS: str(self.agents_begun)}
        return super().environment() | accounts

    def start(self, kills: Iterable[Kill] = (), *before: str) -> subprocess.Popen[str]:
        """A master in the background; what it prints goes to `log`.

        Parameters
        ----------
        kills : who is to die where
        before : a command that runs the master, which is given as its last arguments
        """
        master = [sys.executable, "-m", "support.master_process", self.file, self.folder]
        with self.log.open("a") as log:
            return subprocess.Popen(
                [*before, *master],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment() | environment(kills),
                cwd=self.base,
                text=True,
                start_new_session=True,
            )

    def run(self, kills: Iterable[Kill] = (), *, timeout_s: float = END_S) -> int:
        """Start a master, wait for its end; its exit code."""
        return self.wait(self.start(kills), timeout_s)

    def wait(self, master: subprocess.Popen[str], timeout_s: float = END_S) -> int:
        """The master's exit code; if it does not end, everything that was said is shown."""
        try:
            return master.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.sweep()
            master.wait()
            raise AssertionError(f"the master did not end:\n{self.said()}") from None

    def said(self) -> str:
        """What master and agents have printed."""
        logs = [self.log, *sorted(self.folder.glob("run/**/*.log"))]
        return "\n".join(f"--- {p.name}\n{p.read_text()[-4000:]}" for p in logs if p.is_file())


class Desk(Marked):
    """A working directory in which somebody types `stargen ...`."""

    def write(self, name: str, text: str) -> Path:
        path = self.base / name
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
        return path

    def start(self, *words: str, module: str = "stargen.cli") -> subprocess.Popen[str]:
        """`stargen WORDS` in the background; output and errors through one pipe."""
        return subprocess.Popen(
            [sys.executable, "-m", module, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.environment(),
            cwd=self.base,
            text=True,
            start_new_session=True,
        )

    def stargen(
        self, *words: str, timeout_s: float = END_S, module: str = "stargen.cli"
    ) -> tuple[int, str]:
        """`stargen WORDS`: its exit code, and all that it printed."""
        process = self.start(*words, module=module)
        try:
            text, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self.sweep()
            text, _ = process.communicate()
            raise AssertionError(f"stargen {' '.join(words)} did not end:\n{text}") from None
        return process.returncode, text


def kill(pid: int) -> None:
    """kill -9; it may be gone already."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def wait_for(condition: Callable[[], bool], timeout_s: float = 10.0) -> bool:
    """Look again and again; False if it has not come true in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()
