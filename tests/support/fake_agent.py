"""Agents without workers: the real protocol over real UNIX sockets, and a function as the work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from stargen.errors import AgentGone, LinkLost
from stargen.launchers.base import NodeSpec
from stargen.messages import (
    AckResults,
    Attach,
    AttemptRef,
    CancelTasks,
    DefineJob,
    GaveBack,
    Goodbye,
    Inventory,
    RunTasks,
    Settle,
    Shutdown,
    TakeBack,
    TaskDone,
    TaskFault,
    TaskOrder,
    TasksDone,
    TasksFailed,
    decode,
    encode,
)
from stargen.model import Resources
from stargen.scheduling.nodelist import resources_form
from stargen.transport.greeting import Identity
from stargen.transport.link import Link
from stargen.transport.local import UnixServer, connect_unix, serve_unix
from stargen.transport.session import Limits

Work = Callable[[DefineJob, TaskOrder], list[bytes] | TaskFault | None]
"""The entries that come out, or how it failed; None: it goes on for ever."""


def echo(job: DefineJob, order: TaskOrder) -> list[bytes]:
    """Hands on what comes in."""
    return list(order.entries)


class FakeAgent:
    """One node's agent; outlives its links, keeps results until they are acknowledged."""

    def __init__(self, name: str, work: Work = echo, cores: int = 2, campaign_id: str = "") -> None:
        self.name = name
        self.work = work
        self.cores = cores
        self.campaign_id = campaign_id
        self.incarnation = 0
        self.running: dict[AttemptRef, TaskOrder] = {}
        self.spool: dict[AttemptRef, tuple[int, TaskDone | TaskFault]] = {}
        self.heard: list[object] = []
        self.executions: dict[tuple[int, int], int] = {}
        self.mute = False
        self._jobs: dict[int, DefineJob] = {}
        self._epoch = 0
        self._link: Link | None = None
        self._server: UnixServer | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, socket: Path) -> None:
        """A new agent process, so to speak, that adopts the spool."""
        self.incarnation += 1
        me = Identity("agent", self.campaign_id, self.name)
        self._server = await serve_unix(socket, me, self._meet, expects="master")

    async def die(self) -> None:
        """kill -9: what runs is lost, the spool is on disk."""
        self.running.clear()
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.cut()

    async def cut(self) -> None:
        """The link is lost without a word; no resumption."""
        link, self._link = self._link, None
        if link is not None:
            link._lose(LinkLost("cut", node=self.name))

    @property
    def alive(self) -> bool:
        return self._server is not None

    def _meet(self, link: Link) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(link))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, link: Link) -> None:
        try:
            while True:
                for payload in await link.receive():
                    await self._on(link, decode(payload))
        except LinkLost:
            pass

    async def _on(self, link: Link, message: object) -> None:
        if not isinstance(message, RunTasks | AckResults):
            self.heard.append(message)
        match message:
            case Attach():
                self._link, self._epoch = link, message.epoch
                self._jobs.clear()
                link.send(encode(self._inventory(message.campaign_id)))
            case Settle():
                for ref in message.cancel:
                    self.running.pop(ref, None)
                    self.spool.pop(ref, None)
                for ref in message.deliver:
                    self._deliver(link, [ref])
            case DefineJob():
                self._jobs[message.job] = message
            case RunTasks():
                self._run(link, message)
            case AckResults():
                for ref in message.attempts:
                    self.spool.pop(ref, None)
            case CancelTasks():
                gone = [ref for ref in message.attempts if self.running.pop(ref, None)]
                link.send(encode(GaveBack(gone, message.reason)))
            case TakeBack():
                link.send(encode(GaveBack([], "none left")))
            case Shutdown():
                link.send(encode(Goodbye(message.reason)))
                await link.close("shut down")
                await self.die()

    def _inventory(self, campaign_id: str) -> Inventory:
        return Inventory(
            campaign_id,
            f"id-{self.name}",
            self.incarnation,
            "boot",
            "here",
            0,
            resources_form(Resources(cores=self.cores)),
            list(self.running),
            list(self.spool),
        )

    def _run(self, link: Link, message: RunTasks) -> None:
        job, epoch, work = self._jobs[message.job], self._epoch, self.work
        done: list[AttemptRef] = []
        for order in message.tasks:
            ref = AttemptRef(message.job, order.ordinal, epoch, order.n)
            key = (message.job, order.ordinal)
            self.executions[key] = self.executions.get(key, 0) + 1
            result = work(job, order)
            if result is None:
                self.running[ref] = order
                continue
            if isinstance(result, TaskFault):
                row = result._replace(
                    job=message.job, ordinal=order.ordinal, epoch=epoch, n=order.n
                )
            else:
                row = TaskDone(order.ordinal, epoch, order.n, 1e-4, result)
            self.spool[ref] = (message.job, row)
            done.append(ref)
        self._deliver(link, done)

    def finish(self, ref: AttemptRef, entries: list[bytes]) -> None:
        """A task that went on comes to its end now."""
        del self.running[ref]
        self.spool[ref] = (ref.job, TaskDone(ref.ordinal, ref.epoch, ref.n, 1.0, entries))
        if self._link is not None:
            self._deliver(self._link, [ref])

    def _deliver(self, link: Link, refs: list[AttemptRef]) -> None:
        if self.mute:
            return
        done: dict[int, list[TaskDone]] = {}
        failed: list[TaskFault] = []
        for ref in refs:
            job, row = self.spool[ref]
            if isinstance(row, TaskDone):
                done.setdefault(job, []).append(row)
            else:
                failed.append(row)
        for job, rows in done.items():
            link.send(encode(TasksDone(job, rows)))
        if failed:
            link.send(encode(TasksFailed(failed)))


class FakeLauncher:
    """Launches `FakeAgent`s in this process."""

    def __init__(self, *agents: FakeAgent) -> None:
        self.agents = {agent.name: agent for agent in agents}
        self.starts = 0

    async def start(self, node: NodeSpec) -> FakeAccess:
        agent = self.agents[node.name]
        if not agent.alive:
            self.starts += 1
            await agent.start(node.socket)
        return FakeAccess(agent, node)

    async def stop(self, node: NodeSpec, agent_id: str, grace_s: float) -> list[int]:
        await self.agents[node.name].die()
        return []

    def describe(self, node: NodeSpec) -> str:
        return f"{node.name}: in memory"


class FakeAccess:
    def __init__(self, agent: FakeAgent, node: NodeSpec) -> None:
        self._agent = agent
        self._node = node

    async def connect(self, me: Identity, limits: Limits) -> Link:
        if not self._agent.alive:
            raise AgentGone("dead", node=self._node.name)
        return await connect_unix(
            self._node.socket, me, expects="agent", limits=limits, peer=self._node.name
        )

    def is_gone(self) -> bool:
        return not self._agent.alive
