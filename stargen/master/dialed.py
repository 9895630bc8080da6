"""Nodes whose agents come to the master, instead of being started and reached by it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from stargen.config import Pool
from stargen.errors import AgentGone, LinkLost, NodeError
from stargen.launchers.base import NodeSpec
from stargen.launchers.report import NodeReport
from stargen.launchers.trying import Trial
from stargen.transport.dialback import Caller
from stargen.transport.door import HANDSHAKE_S
from stargen.transport.greeting import Identity
from stargen.transport.link import Link, Stream
from stargen.transport.session import Limits, Session


class DialedNode:
    """The launcher of one node in an allocation: it waits until the node's agent reports."""

    def __init__(self) -> None:
        self._caller: Caller | None = None
        self._came = asyncio.Event()

    def welcome(self, caller: Caller) -> None:
        """The agent reports, or reports again: its older connection is dead, if it knows or not."""
        old, self._caller = self._caller, caller
        if old is not None:
            old.hang_up()
        self._came.set()

    async def caller(self) -> Caller:
        """The agent's connection, as soon as there is one that lives."""
        while self._caller is None or not self._caller.lives:
            self._came.clear()
            await self._came.wait()
        return self._caller

    async def start(self, node: NodeSpec) -> DialedAccess:
        await self.caller()
        return DialedAccess(node, self)

    async def stop(self, node: NodeSpec, agent_id: str, grace_s: float) -> list[int]:
        """The agent has been asked to go; whatever then is left is ended with its allocation."""
        caller = self._caller
        if caller is not None and caller.lives:
            with suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await caller.wait_closed()
        return []

    async def report(
        self, host: str, settings: Pool, token: Path, trials: Sequence[Trial] = ()
    ) -> NodeReport:
        raise NodeError("it is in an allocation", node=host)

    def describe(self, node: NodeSpec) -> str:
        output = node.run_folder / "allocations" / f"{node.allocation}.out"
        return f"{node.name}: in an allocation; its messages go to {output}"


class DialedAccess:
    """The agent at the other end of the connection that its node holds to us."""

    def __init__(self, node: NodeSpec, dialed: DialedNode) -> None:
        self._node = node
        self._dialed = dialed

    async def connect(self, me: Identity, limits: Limits) -> Link:
        session = Session(
            me, expects="agent", session_id=os.urandom(16), peer=self._node.name, limits=limits
        )
        link = Link(session, self._reconnect)
        await self._open(link)
        await link.wait_open(HANDSHAKE_S)
        return link

    def is_gone(self) -> bool:
        """Nobody here knows: the scheduler hears of the allocation's end."""
        return False

    async def _open(self, link: Link) -> None:
        """Over the connection that there is, or the next that comes with an agent behind it."""
        stream = Stream(link)
        while True:
            caller = await self._dialed.caller()
            try:
                await caller.carry(stream)
            except AgentGone:
                caller.hang_up()
            else:
                break
        link.greet(stream)

    async def _reconnect(self, link: Link) -> None:
        """After a cut the agent dials anew."""
        with suppress(LinkLost):
            await self._open(link)
