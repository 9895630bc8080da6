"""The agent process of a node on this machine: its command line, its note, how it is started.

Every start of an agent on a cluster runs this through a login shell, hundreds at once on a shared
disk, so nothing heavy is imported here: no asyncio, no psutil, no messages.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stargen.errors import AgentGone, LinkLost, NodeError
from stargen.files import write_atomically
from stargen.processes import boot_id, end_marked, end_session, process_of

if TYPE_CHECKING:
    from stargen.config import Limits, Pool
    from stargen.launchers.base import NodeSpec

START_S = 30.0
"""How long a new agent may take until it listens."""
FIRST_LOOK_S, LONGEST_LOOK_S = 0.01, 0.5
_LOG_TAIL = 2000


@dataclass(frozen=True, slots=True)
class PidNote:
    """Which process is a node's agent; told apart from a later one with the same number."""

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> PidNote:
        process = process_of(pid)
        return cls(pid, process.started if process else 0, boot_id())

    @property
    def lives(self) -> bool:
        process = process_of(self.pid) if self.boot == boot_id() else None
        return process is not None and process.started == self.started


def interpreter(settings: Pool) -> str:
    """The Python that runs agents of a pool."""
    return settings.interpreter or sys.executable


def command(node: NodeSpec) -> list[str]:
    """The command line of the node's agent, behind the pool's setup lines if there are any."""
    agent = [
        interpreter(node.settings),
        "-m",
        "stargen.executing.agent",
        f"--campaign-folder={node.campaign_folder}",
        f"--campaign-id={node.campaign_id}",
        f"--socket={node.socket}",
        f"--node={node.name}",
        f"--lease-s={node.lease_s}",
        *_limits(node.settings.limits),
    ]
    if node.settings.scratch:
        agent.append(f"--scratch={node.settings.scratch}")
    if not node.settings.setup:
        return agent
    script = "\n".join(["set -e", *node.settings.setup, 'exec "$@"'])
    return ["/bin/bash", "-c", script, "setup", *agent]


def _limits(limits: Limits) -> list[str]:
    stated = {
        "cores": limits.cores,
        "memory-gib": limits.memory_gib,
        "gpus": limits.gpus,
        "scratch-gib": limits.scratch_gib,
        "shared-gib": limits.shared_gib,
        "io": limits.io,
    }
    options = [f"--{name}={value}" for name, value in stated.items() if value is not None]
    return options + [f"--custom={name}={amount}" for name, amount in limits.custom.items()]


def log_file(node: NodeSpec) -> Path:
    """Where the agent's standard output and error go."""
    return node.run_folder / f"agent-{node.name}.log"


def note_file(node: NodeSpec) -> Path:
    return node.run_folder / f"agent-{node.name}.json"


def living(node: NodeSpec) -> PidNote | None:
    """The node's agent, if it lives."""
    try:
        note = PidNote(**json.loads(note_file(node).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return note if note.lives else None


def spawn(node: NodeSpec) -> subprocess.Popen[bytes]:
    """Start the node's agent, and leave a note of it."""
    log = log_file(node)
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as messages:
            child = subprocess.Popen(
                command(node),
                stdin=subprocess.DEVNULL,
                stdout=messages,
                stderr=messages,
                cwd=node.campaign_folder,
                start_new_session=True,
            )
    except OSError as error:
        raise NodeError(f"the agent cannot be started: {error}", node=node.name) from error
    with suppress(OSError):  # on a full disk the agent is found by its socket alone
        note = json.dumps(asdict(PidNote.of(child.pid)))
        write_atomically(note_file(node), note.encode())
    return child


def start(node: NodeSpec) -> int:
    """Make sure that the node's agent runs and listens; its pid.

    Raises
    ------
    NodeError : it does not; AgentGone with its last words if it has ended
    """
    with _alone(node):
        note = living(node) or PidNote.of(spawn(node).pid)
    deadline = time.monotonic() + START_S
    pause_s = FIRST_LOOK_S
    while True:
        try:
            _knock(node)
        except LinkLost:
            if not note.lives:
                raise AgentGone(last_words(node, note.pid), node=node.name) from None
            if time.monotonic() > deadline:
                raise
        else:
            return note.pid
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_LOOK_S)


def stop(node: NodeSpec, agent_id: str, grace_s: float) -> list[int]:
    """End the node's agent and all that it started; see `Launcher.stop`."""
    note = living(node)
    left = [] if note is None else end_session(note.pid, grace_s=grace_s)
    if agent_id:
        left += end_marked(f"{agent_id}.")
    if not left:
        note_file(node).unlink(missing_ok=True)
    return left


@contextmanager
def _alone(node: NodeSpec) -> Generator[None]:
    """One start at a time, so that the second finds what the first has started.

    A master that lost its way to a node may ask for a start over another one, while the first still
    goes on.
    """
    node.run_folder.mkdir(parents=True, exist_ok=True)
    with note_file(node).with_suffix(".lock").open("w") as file:
        with suppress(OSError):  # the disk knows no locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _knock(node: NodeSpec) -> None:
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(node.socket))
    except OSError as error:
        raise LinkLost(f"{node.socket}: {error.strerror}", node=node.name) from error


def last_words(node: NodeSpec, pid: int) -> str:
    """That the agent has ended, and what it said."""
    said = _tail(log_file(node))
    return f"the agent (process {pid}) has ended" + (f": {said}" if said else "")


def _tail(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _LOG_TAIL))
            return file.read().decode(errors="replace").strip()
    except OSError:
        return ""
