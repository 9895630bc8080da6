"""Reception: masters come, are let in or refused, give orders, and go."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from stargen.errors import NodeError, ProtocolError, RemoteProtocolError
from stargen.executing.identity import AgentIdentity
from stargen.executing.lease import Lease
from stargen.executing.node import Node
from stargen.executing.results import Results
from stargen.messages import (
    AckResults,
    Attach,
    CancelTasks,
    DefineJob,
    Drain,
    FilePart,
    Goodbye,
    Inventory,
    KeptPart,
    Look,
    RunTasks,
    Settle,
    Shutdown,
    TakeBack,
    decode,
    encode,
)
from stargen.model import Resources
from stargen.processes import boot_id
from stargen.scheduling.nodelist import resources_form
from stargen.transport.link import Link

log = logging.getLogger(__name__)

_FIRST_WORD_S = 30.0


class Reception:
    """One master at a time, the one with the highest epoch.

    Parameters
    ----------
    group : where what goes on in the background runs
    identity : who the agent is, and which master it saw last; kept in `state`
    shutdown : ends the agent, for the reason given
    time_left : seconds until it must go; None if it may stay
    """

    def __init__(
        self,
        group: asyncio.TaskGroup,
        identity: AgentIdentity,
        state: Path,
        resources: Resources,
        node: Node,
        results: Results,
        lease: Lease,
        shutdown: Callable[[str], None],
        time_left: Callable[[], float | None],
    ) -> None:
        self.leaving: str | None = None
        """Why no master is let in any more; None while one may come."""
        self._group = group
        self._identity = identity
        self._state = state
        self._resources = resources
        self._node = node
        self._results = results
        self._lease = lease
        self._shutdown = shutdown
        self._time_left = time_left
        self._link: Link | None = None

    async def serve(self, link: Link) -> None:
        """Deal with one master from its first word to the loss of its link."""
        try:
            async with asyncio.timeout(_FIRST_WORD_S):
                first, *rest = await link.receive()
            attach = decode(first)
            if not isinstance(attach, Attach):
                raise RemoteProtocolError(f"a master began with {type(attach).__name__}")
            objection = self._objection(attach)
            if objection is not None:
                log.warning("refused master %s: %s", attach.master, objection)
                link.send(encode(Goodbye(objection)))
            else:
                self._admit(link, attach)
                self._obey(link, rest)
                await link.listen(partial(self._obey, link))
        except (NodeError, ProtocolError, TimeoutError) as error:
            log.info("the link to a master ended: %s", error)
        finally:
            self._dismiss(link)
        await link.close("the agent has nothing more to say")

    def say_goodbye(self, reason: str) -> None:
        """Let no master in any more; the one that is there shall send no more work."""
        self.leaving = reason
        if self._link is not None:
            self._link.send(encode(Goodbye(reason)))

    async def close(self, reason: str) -> None:
        """Hang up on the master that is there; it has been told."""
        link = self._link
        if link is not None:
            self._dismiss(link)
            await link.close(reason)

    def _objection(self, attach: Attach) -> str | None:
        """Why this master is not to be served; None if it is."""
        known = self._identity
        if known.campaign_id and attach.campaign_id != known.campaign_id:
            return f"this agent works for campaign {known.campaign_id}"
        if attach.epoch < known.epoch:
            return f"master {known.master} took over with epoch {known.epoch}"
        if self.leaving is not None:
            return f"the agent is going: {self.leaving}"
        elsewhere = bool(known.master) and _host(attach.master) != _host(known.master)
        if elsewhere and not attach.takeover and attach.epoch > known.epoch:
            return f"master {known.master} may come back: --takeover takes the campaign from it"
        return None

    def _admit(self, link: Link, attach: Attach) -> None:
        old, self._link = self._link, link
        if old is not None:
            reason = f"master {attach.master} took over"
            old.send(encode(Goodbye(reason)))
            self._group.create_task(old.close(reason))
        known = self._identity
        if (known.campaign_id, known.epoch, known.master) != (
            attach.campaign_id,
            attach.epoch,
            attach.master,
        ):
            known.campaign_id, known.epoch = attach.campaign_id, attach.epoch
            known.master = attach.master
            try:
                known.save(self._state)
            except OSError as error:  # what runs here is worth more than the fence after a crash
                log.warning("the new master is not remembered on disk: %s", error)
        log.info("master %s attached with epoch %d", attach.master, attach.epoch)
        self._lease.attach(attach.lease_s)
        self._node.closed = None
        self._results.attach(link)
        link.send(
            encode(
                Inventory(
                    campaign_id=known.campaign_id,
                    agent_id=known.agent_id,
                    incarnation=known.incarnation,
                    boot_id=boot_id(),
                    host=socket.gethostname(),
                    pid=os.getpid(),
                    resources=resources_form(self._resources),
                    running=self._node.in_hand(),
                    spooled=self._results.spool.refs(),
                    left_s=self._time_left(),
                )
            )
        )
        link.flush()

    def _dismiss(self, link: Link) -> None:
        if link is self._link:
            self._link = None
            self._results.detach()
            self._lease.detach(time.monotonic())

    def _obey(self, link: Link, payloads: list[bytes]) -> None:
        if link is not self._link:
            return  # another master took over while these were on their way
        for payload in payloads:
            match decode(payload):
                case RunTasks() as run:
                    self._node.accept(run, self._identity.epoch)
                case AckResults() as ack:
                    self._results.acknowledge(ack.attempts)
                case DefineJob() as job:
                    self._node.define(job)
                case FilePart() as part:
                    self._node.inputs.take(part)
                case KeptPart() as part:
                    self._node.take_kept(part)
                case CancelTasks() as cancel:
                    self._node.cancel(cancel.attempts, cancel.reason, soft=cancel.soft)
                case TakeBack() as wish:
                    self._node.take_back(wish.job, wish.count)
                case Settle() as settle:
                    self._node.keep_only(settle.keep)
                    self._node.inputs.ask_again()
                    self._results.settle([*settle.keep, *settle.deliver])
                case Drain() as drain:
                    self._node.give_back_waiting(drain.reason)
                case Look() as look:
                    self._node.attract(look)
                case Shutdown() as shutdown:
                    self._shutdown(shutdown.reason)
                case _:
                    pass  # of a later minor version


def _host(master: str) -> str:
    """Of ``host:pid``."""
    return master.rpartition(":")[0]
