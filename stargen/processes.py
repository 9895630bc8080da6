"""Ending processes with proof: by session, by process group, and by the mark in their environment.

Every worker of an agent leads a session of its own, every external program a process group in its
host's session (with a session each, Linux would schedule each as a group of its own, and start them
a third more slowly under load). All bear `AGENT_MARK` in their environment, which their children
inherit. A process is gone when /proc has no entry for it or shows it as a zombie: whoever should
reap it may be late, but it holds nothing any more.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

AGENT_MARK = "STARGEN_AGENT"
"""Environment variable: ``agent_id.incarnation`` of the agent that a process belongs to."""

ATTEMPT_MARK = "STARGEN_ATTEMPT"
"""Environment variable: ``job/ordinal/epoch.n`` of the attempt that a program runs for."""

_PROC = Path("/proc")
_PROOF_S = 10.0
_FIRST_LOOK_S, _LONGEST_LOOK_S = 0.001, 0.05


class Process(NamedTuple):
    """What /proc/PID/stat says, as far as it matters here."""

    pid: int
    state: str
    group: int
    session: int
    rss_pages: int
    started: int
    """Clock ticks from the system's start; tells it from a later process of the same number."""
    cpu_ticks: int = 0
    """Clock ticks that it has computed, in user and in kernel mode."""


def processes() -> list[Process]:
    """Every process that is alive, zombies left out."""
    found: list[Process] = []
    for name in os.listdir(_PROC):  # noqa: PTH208 - called often; Path.iterdir takes twice as long
        if name.isdigit():
            process = process_of(int(name))
            if process is not None:
                found.append(process)
    return found


def process_of(pid: int) -> Process | None:
    """The process of that number, or None if it is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - as above
            text = file.read()
    except OSError:
        return None
    fields = text[text.rindex(b")") + 2 :].split()
    state = fields[0].decode()
    if state in "ZX":
        return None
    group, session, user, system, started, rss_pages = (
        int(fields[at]) for at in (2, 3, 11, 12, 19, 21)
    )
    return Process(pid, state, group, session, rss_pages, started, user + system)


def bytes_moved(pid: int) -> int:
    """How much a process has read from disks and written to them; 0 if it is not to be known."""
    with suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/io", "rb") as file:  # noqa: PTH123 - as above
        lines = dict(line.split(b": ") for line in file.read().splitlines())
        return int(lines[b"read_bytes"]) + int(lines[b"write_bytes"])
    return 0


def session_members(session: int) -> list[int]:
    """Living processes of the session (and of the process group) that `session` leads."""
    return [p.pid for p in processes() if session in (p.session, p.group)]


def marked_members(mark: str) -> list[int]:
    """Living processes of this user whose AGENT_MARK begins with `mark`."""
    wanted = f"{AGENT_MARK}={mark}".encode()
    me = os.getpid()
    return [p.pid for p in processes() if p.pid != me and _bears(p.pid, wanted)]


def marked_attempts(mark: str) -> dict[int, str]:
    """{process: its ATTEMPT_MARK} of the external programs, and theirs, of the agent `mark`."""
    found: dict[int, str] = {}
    for pid in marked_members(mark):
        attempt = _value(pid, f"{ATTEMPT_MARK}=".encode())
        if attempt is not None:
            found[pid] = attempt
    return found


def blocked_attempts() -> set[str]:
    """ATTEMPT_MARKs of what waits for a disk at this moment, in this process's session."""
    session, found = os.getsid(0), set[str]()
    for process in processes():
        if process.state == "D" and process.session == session:
            attempt = _value(process.pid, f"{ATTEMPT_MARK}=".encode())
            if attempt is not None:
                found.add(attempt)
    return found


def end_session(leader: int, *, grace_s: float) -> list[int]:
    """SIGTERM to all members, SIGKILL after `grace_s`; returns who is left, normally nobody.

    With `grace_s` 0 there is no SIGTERM. Blocks until the last member is gone.
    """
    return _end(lambda: session_members(leader), grace_s)


def end_marked(mark: str, *, grace_s: float = 0.0) -> list[int]:
    """As `end_session`, for all processes that bear the mark, in whatever session they are."""
    return _end(lambda: marked_members(mark), grace_s)


def end_attempt(mark: str, attempt: str, *, grace_s: float) -> list[int]:
    """As `end_session`, for what the agent `mark` runs as external programs of one attempt."""
    return _end(
        lambda: [pid for pid, its in marked_attempts(mark).items() if its == attempt], grace_s
    )


def boot_id() -> str:
    """Names this start of this machine's system."""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def out_of_memory_kills() -> int:
    """How many processes the kernel has killed for want of memory since it started."""
    with suppress(OSError):
        for line in (_PROC / "vmstat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    return 0


def _end(members: Callable[[], list[int]], grace_s: float) -> list[int]:
    if grace_s > 0:
        signal_all(members(), signal.SIGTERM)
        if not _wait_until_gone(members, grace_s):
            return []
    deadline = time.monotonic() + _PROOF_S
    left = members()
    while left and time.monotonic() < deadline:
        signal_all(left, signal.SIGKILL)  # again each time: a member may have forked meanwhile
        left = _wait_until_gone(members, 0.2)
    return left


def signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to whoever of these still exists."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _wait_until_gone(members: Callable[[], list[int]], wait_s: float) -> list[int]:
    deadline = time.monotonic() + wait_s
    pause_s = _FIRST_LOOK_S
    while (left := members()) and time.monotonic() < deadline:
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_LOOK_S)
    return left


def _bears(pid: int, mark: bytes) -> bool:
    environ = _environ(pid)
    return environ.startswith(mark) or b"\0" + mark in environ


def _value(pid: int, name: bytes) -> str | None:
    for entry in _environ(pid).split(b"\0"):
        if entry.startswith(name):
            return entry[len(name) :].decode(errors="replace")
    return None


def _environ(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123 - as above
            return file.read()
    except OSError:
        return b""
