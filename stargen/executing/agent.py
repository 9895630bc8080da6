"""Agent: the one long-lived process on a node; `python -m stargen.executing.agent`.

It listens on a UNIX socket, serves one master at a time, and outlives all of them up to its lease.
A master says Attach with its epoch; a lower epoch than the agent has seen is refused, a higher one
takes over. The agent answers with an Inventory of what it has, the master settles it, and from then
on orders come in and results go out. Everything happens on one event loop; what may block (samples
of the node, writing checkpoints, proving that processes are gone) happens in threads.

Whatever the end (SIGTERM, Shutdown, the lease), no process that it started is left behind, and what
a killed predecessor left is ended and adopted at the start.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence

from stargen.errors import StargenError
from stargen.executing.cgroups import MemoryGroups
from stargen.executing.identity import AgentIdentity, assume_identity, lock_folder
from stargen.executing.lease import Lease, Standing
from stargen.executing.node import Node
from stargen.executing.options import AgentOptions, parse
from stargen.executing.reception import Reception
from stargen.executing.results import Results
from stargen.executing.spool import Spool
from stargen.executing.staging import ScratchSpace
from stargen.processes import end_marked
from stargen.transport.greeting import Identity
from stargen.transport.link import Link
from stargen.transport.local import bind_unix, serve_unix

log = logging.getLogger(__name__)

LOOK_S = 0.25
Observer = Callable[[str], None]


class _Leave(Exception):
    """Everything in the agent's task group is to end now."""


class Agent:
    """The agent of one node, for one life.

    Parameters
    ----------
    options : how it is to be
    identity : who it is
    observer : told of named points, for tests that kill the agent there
    """

    def __init__(self, options: AgentOptions, identity: AgentIdentity, observer: Observer) -> None:
        self._options = options
        self._identity = identity
        self._spool = Spool(options.state / "spool", observer=observer)
        self._results = Results(self._spool, observer)
        self._scratch = ScratchSpace(
            identity.agent_id, options.campaign_folder / "scratch", options.scratch
        )
        self._lease = Lease(options.lease_s, 2 * options.grace_s, time.monotonic())
        self._groups: MemoryGroups | None = None
        self._leaving = asyncio.Event()
        self._reason = ""

    def shutdown(self, reason: str) -> None:
        """End the agent: stop what runs, say goodbye, go."""
        if not self._leaving.is_set():
            log.info("leaving: %s", reason)
            self._reason = reason
            self._leaving.set()

    async def run(self) -> None:
        """Live until `shutdown`, SIGTERM or the end of the lease."""
        await asyncio.to_thread(self._clear_the_past)
        self._groups = MemoryGroups.made_for(f"stargen-{self._identity.agent_id}")
        listener = bind_unix(self._options.socket)
        try:
            async with asyncio.TaskGroup() as group:
                await self._live(group, listener)
                raise _Leave  # noqa: TRY301 - the only way to end a task group
        except* _Leave:
            pass
        finally:
            await asyncio.shield(asyncio.to_thread(self._leave_nothing))

    async def _live(self, group: asyncio.TaskGroup, listener: socket.socket) -> None:
        options, identity = self._options, self._identity
        node = Node(
            group, options, identity.mark, self._results, self._scratch, memory=self._groups
        )
        reception = Reception(
            group,
            identity,
            options.state,
            options.resources,
            node,
            self._results,
            self._lease,
            self.shutdown,
            self._time_left,
        )

        def receive(link: Link) -> None:
            group.create_task(reception.serve(link))

        me = Identity("agent", identity.campaign_id, options.node)
        server = await serve_unix(options.socket, me, receive, expects="master", listener=listener)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.shutdown, number.name)
        group.create_task(node.watch())
        group.create_task(self._results.sync_when_wanted())
        group.create_task(self._look(node))
        log.info("agent %s of node %s serves %s", identity.mark, options.node, options.socket)
        await self._leaving.wait()
        server.close()
        reception.say_goodbye(self._reason)
        await self._wind_up(node)
        await reception.close(self._reason)

    async def _look(self, node: Node) -> None:
        """What has to be done several times a second."""
        while True:
            await asyncio.sleep(LOOK_S)
            now = time.monotonic()
            node.look(now)
            if self._spool.failed is not None:
                self._spool.retry()
            self._results.pump()
            if self._time_left() == 0:
                self.shutdown("its time is over")
            match self._lease.standing(now):
                case Standing.WINDING_DOWN if node.closed is None:
                    log.warning("no master for %g s", self._lease.lease_s)
                    node.stop_all("the lease is over", soft=True)
                case Standing.WINDING_DOWN if not node.in_hand():
                    self.shutdown("the lease is over")
                case Standing.OVER:
                    self.shutdown("the lease is over")
                case _:
                    pass

    def _time_left(self) -> float | None:
        """Seconds until the agent must go because its allocation ends; None if it does not."""
        ends_at = self._options.ends_at
        return None if ends_at is None else max(0.0, ends_at - self._options.margin_s - time.time())

    async def _wind_up(self, node: Node) -> None:
        """Stop what runs, softly where that can save something, and wait for the end of it."""
        node.stop_all(self._reason, soft=True)
        try:
            async with asyncio.timeout(2 * self._options.grace_s + 1.0):
                while node.in_hand():  # noqa: ASYNC110 - the last task may end in several ways
                    await asyncio.sleep(0.01)
        except TimeoutError:
            log.warning("%d tasks did not end in time", len(node.in_hand()))
        await node.settle_checkpoints()

    def _clear_the_past(self) -> None:
        """End what a killed predecessor left running, and remove its files and those of others."""
        left = end_marked(self._identity.family)
        if left:
            log.error("cannot end processes %s of a former agent", left)
        self._scratch.clear()
        self._scratch.sweep()

    def _leave_nothing(self) -> None:
        left = end_marked(self._identity.mark)
        if left:
            log.error("cannot end processes %s", left)
        self._scratch.clear()
        if self._groups is not None:
            self._groups.remove()
        if len(self._spool):
            self._spool.sync()
        self._spool.close()


def main(arguments: Sequence[str] | None = None, observer: Observer = lambda point: None) -> int:
    """Be an agent; the process's exit code.

    Parameters
    ----------
    observer : told of named points; tests kill the agent there
    """
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    try:
        options = parse(arguments)
        options.state.mkdir(parents=True, exist_ok=True)
        with lock_folder(options.state):
            identity = assume_identity(options.state, options.campaign_id)
            asyncio.run(Agent(options, identity, observer).run())
    except (StargenError, OSError) as error:
        log.error("%s", error)  # noqa: TRY400 - the sentence says it all
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
