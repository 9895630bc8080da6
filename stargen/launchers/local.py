"""Agents on this machine: separate processes that outlive the master that started them."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from stargen.config import Limits, Pool
from stargen.errors import AgentGone, LinkLost, NodeError
from stargen.files import write_atomically
from stargen.launchers.base import NodeSpec
from stargen.launchers.report import NodeReport, interpreter, report_here
from stargen.launchers.trying import Trial
from stargen.processes import boot_id, end_marked, end_session, process_of
from stargen.transport.greeting import Identity
from stargen.transport.link import Link
from stargen.transport.local import connect_unix
from stargen.transport.session import Limits as Patience

T = TypeVar("T")

_START_S = 30.0
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


class LocalAccess:
    """An agent process of this machine."""

    def __init__(self, node: NodeSpec, note: PidNote, log: Path) -> None:
        self._node = node
        self._note = note
        self._log = log

    async def connect(self, me: Identity, limits: Patience) -> Link:
        return await self._once_it_listens(
            lambda: connect_unix(
                self._node.socket, me, expects="agent", limits=limits, peer=self._node.name
            )
        )

    async def wait_until_listening(self) -> None:
        """Until the agent's socket takes connections; NodeError as for `connect`."""
        await self._once_it_listens(self._knock)

    async def _knock(self) -> None:
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(self._node.socket))
        except OSError as error:
            raise LinkLost(
                f"{self._node.socket}: {error.strerror}", node=self._node.name
            ) from error

    async def _once_it_listens(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """What comes of the first attempt that finds the agent's socket served."""
        deadline = time.monotonic() + _START_S
        pause_s = 0.01
        while True:
            try:
                return await attempt()
            except LinkLost as error:
                if self.is_gone():
                    raise AgentGone(self._last_words(), node=self._node.name) from error
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.5)

    def is_gone(self) -> bool:
        return not self._note.lives

    @property
    def pid(self) -> int:
        """The agent's process."""
        return self._note.pid

    def _last_words(self) -> str:
        said = _tail(self._log)
        return f"the agent (process {self._note.pid}) has ended" + (f": {said}" if said else "")


class LocalLauncher:
    """Launcher of pools whose nodes are this machine."""

    def __init__(self) -> None:
        self._children: list[subprocess.Popen[bytes]] = []

    async def start(self, node: NodeSpec) -> LocalAccess:
        note = self._living(node)
        if note is None:
            note = self._spawn(node)
        return LocalAccess(node, note, log_file(node))

    async def stop(self, node: NodeSpec, agent_id: str, grace_s: float) -> list[int]:
        note = self._living(node)
        left: list[int] = []
        if note is not None:
            left += await asyncio.to_thread(end_session, note.pid, grace_s=grace_s)
        if agent_id:
            left += await asyncio.to_thread(end_marked, f"{agent_id}.")
        self._reap()
        if not left:
            _note_file(node).unlink(missing_ok=True)
        return left

    async def report(
        self, host: str, settings: Pool, token: Path, trials: Sequence[Trial] = ()
    ) -> NodeReport:
        return await asyncio.to_thread(report_here, settings, token, trials)

    def describe(self, node: NodeSpec) -> str:
        note = self._living(node)
        who = f"process {note.pid}" if note else "not running"
        return f"{node.name}: {who}; its messages go to {log_file(node)}"

    def _living(self, node: NodeSpec) -> PidNote | None:
        self._reap()
        try:
            note = PidNote(**json.loads(_note_file(node).read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return note if note.lives else None

    def _reap(self) -> None:
        self._children = [child for child in self._children if child.poll() is None]

    def _spawn(self, node: NodeSpec) -> PidNote:
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
        self._children.append(child)
        note = PidNote.of(child.pid)
        with suppress(OSError):  # on a full disk the agent is found by its socket alone
            write_atomically(_note_file(node), json.dumps(asdict(note)).encode())
        return note


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


def _note_file(node: NodeSpec) -> Path:
    return node.run_folder / f"agent-{node.name}.json"


def _tail(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _LOG_TAIL))
            return file.read().decode(errors="replace").strip()
    except OSError:
        return ""
