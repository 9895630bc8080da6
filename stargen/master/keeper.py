"""One node's link, kept alive.

Theory of operation. A `NodeKeeper` goes round: start or find the agent, connect, ask for its
inventory (Attach, Inventory), pass on what it says until the link is lost, and again, with growing
pauses while that fails. Between an inventory and the scheduler's answer to it (Settle) nothing else
is sent: commands decided for an earlier link would name attempts that the answer has just settled.
So commands without a settled link are dropped, which is right, because whatever the agent does not
have the next inventory will show.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from stargen.errors import LinkLost, NodeError, ProtocolError, RemoteProtocolError
from stargen.launchers.base import Access, Launcher, NodeSpec
from stargen.master.arrivals import Arrivals
from stargen.master.carried import CarriedFiles
from stargen.master.inbox import Inbox
from stargen.messages import (
    Attach,
    DefineJob,
    Goodbye,
    Inventory,
    KeptPart,
    Load,
    Message,
    Settle,
    Shutdown,
    TasksDone,
    WantFile,
    decode,
    encode,
)
from stargen.scheduling.events import NodeAttached, NodeDetached, NodeLeaving
from stargen.scheduling.nodelist import resources_from
from stargen.transport.greeting import Identity
from stargen.transport.link import Link
from stargen.transport.session import Limits

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 30.0
_LONG_LIFE_S = 10.0
"""An agent whose link held as long does not count as one that keeps failing."""
_INVENTORY_S = 30.0


class NodeKeeper:
    """One node: its agent, its link, and what is sent to it."""

    def __init__(
        self,
        spec: NodeSpec,
        launcher: Launcher,
        *,
        me: Identity,
        limits: Limits,
        inbox: Inbox,
        arrivals: Arrivals,
        carried: CarriedFiles | None = None,
        alert: Callable[[str], None],
    ) -> None:
        self.spec = spec
        self.launcher = launcher
        self.load: Load | None = None
        self.load_at = 0.0
        self.agent_id = ""
        self._host = ""
        self.tries = 0
        self.problem = ""
        self._me = me
        self._limits = limits
        self._inbox = inbox
        self._arrivals = arrivals
        self._carried = carried
        self._alert = alert
        self._link: Link | None = None
        self._settled = False
        self._leaving = False
        self._defined: set[int] = set()
        self._chance = random.Random(spec.name)

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def host(self) -> str:
        """What other nodes call the node's host."""
        return self.spec.host or self._host or self.name

    @property
    def apart(self) -> bool:
        """Whether it does not see the master's folders."""
        return self.spec.settings.folder is not None

    @property
    def connected(self) -> bool:
        return self._link is not None

    @property
    def silent_s(self) -> float | None:
        """For how long the agent has given no sign of life; None without a link."""
        return None if self._link is None else self._link.silent_s

    # --- keeping the link -------------------------------------------------------------------------

    async def keep(self, attach: Attach) -> None:
        """Keep a link to the node until it is dismissed, or this is cancelled."""
        pause_s = _FIRST_PAUSE_S
        while not self._leaving:
            try:
                access = await self.launcher.start(self.spec)
                link = await access.connect(self._me, self._limits)
                await self._introduce(link, attach)
                self.tries = 0
                begun = time.monotonic()
                await self._attend(link, access)
                if time.monotonic() - begun > _LONG_LIFE_S:
                    pause_s = _FIRST_PAUSE_S
            except (NodeError, ProtocolError) as error:
                self.tries += 1
                if not self._leaving:
                    self._complain(error)
            if not self._leaving:
                await asyncio.sleep(pause_s * self._chance.uniform(0.5, 1.0))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _complain(self, error: NodeError | ProtocolError) -> None:
        """Once for each problem, not once for each try."""
        problem = error.problem if isinstance(error, NodeError) else str(error)
        if problem != self.problem:
            self.problem = problem
            self._alert(f"node {self.name}: {problem}")

    async def _introduce(self, link: Link, attach: Attach) -> None:
        link.send(encode(attach))
        try:
            async with asyncio.timeout(_INVENTORY_S):
                first, *rest = await link.receive()
        except TimeoutError:
            await link.close("no inventory")
            raise LinkLost("the agent sent no inventory", node=self.name) from None
        inventory = decode(first)
        if isinstance(inventory, Goodbye):
            await link.close("refused")
            raise NodeError(f"the agent refuses: {inventory.reason}", node=self.name)
        if not isinstance(inventory, Inventory):
            raise RemoteProtocolError(f"{self.name} began with {type(inventory).__name__}")
        self.agent_id, self.problem = inventory.agent_id, ""
        self._host = inventory.host
        self._link, self._settled = link, False
        self._defined.clear()
        await self._inbox.put_in_turn(partial(attached, self.spec, inventory))
        await self._pass_on(rest)

    async def _attend(self, link: Link, access: Access) -> None:
        """Pass on what the agent says, until the link is lost."""
        reason, goodbye = "the link was cut", ""
        final = False
        try:
            while True:
                goodbye = await self._pass_on(await link.receive()) or goodbye
        except LinkLost as error:
            reason = goodbye or error.problem
            final = access.is_gone()
        except ProtocolError:
            reason = "it broke the protocol"
            raise
        finally:
            self._link, self.load = None, None
            if link.lost is None:
                await link.close(reason)
            detached = partial(
                NodeDetached, node=self.name, reason=reason, final=final, left=bool(goodbye)
            )
            self._inbox.put(lambda at: detached(at))

    async def _pass_on(self, payloads: Sequence[bytes]) -> str:
        """Hand messages to the kernel; the reason if one of them was a goodbye."""
        goodbye = ""
        for payload in payloads:
            message = decode(payload)
            if isinstance(message, Load):
                self.load, self.load_at = message, time.monotonic()
            elif isinstance(message, Goodbye):
                goodbye = message.reason
                leaving = partial(NodeLeaving, node=self.name, reason=goodbye)
                self._inbox.put(lambda at, made=leaving: made(at))
            elif isinstance(message, WantFile | KeptPart):
                await self._carry(message)
            else:
                self._arrivals.check(message)
                event = partial(self._arrivals.event, node=self.name, message=message)
                await self._inbox.put_in_turn(event)
                if isinstance(message, TasksDone) and self.apart and self._carried is not None:
                    ordinals = [row.ordinal for row in message.rows]
                    await asyncio.to_thread(self._carried.forget, message.job, ordinals)
        return goodbye

    async def _carry(self, message: WantFile | KeptPart) -> None:
        """A piece of a file, one way or the other."""
        if self._carried is None or not self.apart:
            raise RemoteProtocolError(f"{self.name} shares our folders, and files do not travel")
        try:
            if isinstance(message, WantFile):
                self.send(await asyncio.to_thread(self._carried.piece, message))
                self.flush()
            else:
                await asyncio.to_thread(self._carried.keep, message)
        except OSError as error:
            self._alert(f"node {self.name}: a file cannot travel: {error}")

    # --- sending ----------------------------------------------------------------------------------

    def settle(self, settle: Settle) -> None:
        """Answer the inventory; from here on the node takes orders."""
        self._settled = True
        self.send(settle)

    def send(self, message: Message) -> None:
        """Say with the next `flush`, if there is a settled link; see the head of this file."""
        if self._link is not None and self._settled:
            self._link.post(encode(message))

    @property
    def takes_orders(self) -> bool:
        return self._link is not None and self._settled

    def define(self, job: int, definition: Callable[[], DefineJob]) -> None:
        """Tell the agent of a job, once per link."""
        if job not in self._defined:
            self._defined.add(job)
            self.send(definition())

    def flush(self) -> None:
        """Write what was sent since the last time."""
        if self._link is not None:
            self._link.flush()

    async def dismiss(self, reason: str, grace_s: float) -> None:
        """Ask the agent to end, and wait until it hangs up."""
        self._leaving = True
        link = self._link
        if link is not None:
            link.send(encode(Shutdown(reason)))
            with suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await link.wait_lost()

    async def end(self, grace_s: float) -> str:
        """Make sure that the dismissed agent is gone; what is left there, or may be, in words."""
        try:
            left = await self.launcher.stop(self.spec, self.agent_id, grace_s)
        except NodeError as error:
            return f"{error}; what may still run there ends with its lease"
        pids = ", ".join(map(str, left))
        return f"{self.name}: these processes could not be ended: {pids}" if left else ""


def attached(spec: NodeSpec, inventory: Inventory, at: float) -> NodeAttached:
    """What an inventory amounts to for the scheduler."""
    return NodeAttached(
        at,
        spec.name,
        spec.pool,
        inventory.agent_id,
        inventory.incarnation,
        resources_from(inventory.resources),
        inventory.running,
        inventory.spooled,
        None if inventory.left_s is None else at + inventory.left_s,
        spec.allocation,
    )
