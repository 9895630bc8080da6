"""Agents on this machine: separate processes that outlive the master that started them."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from stargen.config import Pool
from stargen.errors import AgentGone, LinkLost
from stargen.launchers.agentprocess import (
    FIRST_LOOK_S,
    LONGEST_LOOK_S,
    START_S,
    PidNote,
    last_words,
    living,
    log_file,
    spawn,
    stop,
)
from stargen.launchers.base import NodeSpec
from stargen.launchers.report import NodeReport, report_here
from stargen.launchers.trying import Trial
from stargen.transport.greeting import Identity
from stargen.transport.link import Link
from stargen.transport.local import connect_unix
from stargen.transport.session import Limits as Patience


class LocalAccess:
    """An agent process of this machine."""

    def __init__(self, node: NodeSpec, note: PidNote) -> None:
        self._node = node
        self._note = note

    async def connect(self, me: Identity, limits: Patience) -> Link:
        deadline = time.monotonic() + START_S
        pause_s = FIRST_LOOK_S
        while True:
            try:
                return await connect_unix(
                    self._node.socket, me, expects="agent", limits=limits, peer=self._node.name
                )
            except LinkLost as error:
                if self.is_gone():
                    words = last_words(self._node, self._note.pid)
                    raise AgentGone(words, node=self._node.name) from error
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_LOOK_S)

    def is_gone(self) -> bool:
        return not self._note.lives


class LocalLauncher:
    """Launcher of pools whose nodes are this machine."""

    def __init__(self) -> None:
        self._children: list[subprocess.Popen[bytes]] = []

    async def start(self, node: NodeSpec) -> LocalAccess:
        note = self._living(node)
        if note is None:
            child = spawn(node)
            self._children.append(child)
            note = PidNote.of(child.pid)
        return LocalAccess(node, note)

    async def stop(self, node: NodeSpec, agent_id: str, grace_s: float) -> list[int]:
        left = await asyncio.to_thread(stop, node, agent_id, grace_s)
        self._reap()
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
        return living(node)

    def _reap(self) -> None:
        self._children = [child for child in self._children if child.poll() is None]
