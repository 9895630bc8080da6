"""Many agents in one process that answer every task at once: for measuring the master."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from multiprocessing.synchronize import Event
from pathlib import Path
from zlib import crc32

from stargen.codec import pack
from stargen.errors import LinkLost
from stargen.launchers.base import NodeSpec
from stargen.messages import (
    AckResults,
    Attach,
    DefineJob,
    GaveBack,
    Inventory,
    RunTasks,
    Shutdown,
    TakeBack,
    TaskDone,
    TasksDone,
    decode,
    encode,
)
from stargen.model import Resources
from stargen.scheduling.nodelist import resources_form
from stargen.transport.greeting import Identity
from stargen.transport.link import Link
from stargen.transport.local import UnixServer, connect_unix, serve_unix
from stargen.transport.session import Limits

TASKS_A_FRAME = 64
CANDIDATES_A_FRAME = 512
_FILLING = bytes(range(256)) * 2


def entry(name: str, size: int = 500) -> bytes:
    """An entry whose blob ends with a checksum of all before it."""
    clear = pack([name, b"0123456789abcdef", "ClNa", 2, {"x": 1.0}])
    head = len(clear).to_bytes(4, "little") + clear
    data = head + _FILLING[: max(0, size - len(head) - 4)]
    return data + crc32(data).to_bytes(4, "little")


def serve_agents(sockets: list[str], cores: int, ready: Event) -> None:
    """Run agents at these sockets until each has been shut down; `ready` is set when all listen."""
    asyncio.run(_serve_agents(sockets, cores, ready))


async def _serve_agents(sockets: list[str], cores: int, ready: Event) -> None:
    async with asyncio.TaskGroup() as group:
        for path in map(Path, sockets):
            server, met = await listen(path)
            group.create_task(_agent(path.name, cores, server, met))
        ready.set()


async def listen(socket: Path) -> tuple[UnixServer, asyncio.Future[Link]]:
    """A server at this socket, and the link of the master that comes."""
    met: asyncio.Future[Link] = asyncio.get_running_loop().create_future()
    me = Identity("agent", "", socket.name)
    return await serve_unix(socket, me, met.set_result, expects="master"), met


async def _agent(name: str, cores: int, server: UnixServer, met: asyncio.Future[Link]) -> None:
    link = await met
    jobs: dict[int, DefineJob] = {}
    epoch = 0
    with suppress(LinkLost):
        while True:
            for payload in await link.receive():
                message = decode(payload)
                match message:
                    case RunTasks():
                        _run(link, jobs[message.job], epoch, message)
                    case AckResults():
                        pass
                    case Attach():
                        epoch = message.epoch
                        link.send(encode(_inventory(message, name, cores)))
                    case DefineJob():
                        jobs[message.job] = message
                    case TakeBack():
                        link.send(encode(GaveBack([])))
                    case Shutdown():
                        await link.close("shut down")
            await link.drain()
    server.close()


def _inventory(attach: Attach, name: str, cores: int) -> Inventory:
    resources = resources_form(Resources(cores=cores))
    return Inventory(attach.campaign_id, name, 1, "boot", "here", 0, resources, [], [])


def _run(link: Link, job: DefineJob, epoch: int, message: RunTasks) -> None:
    """Results leave in company, but none waits for all that was ordered with it."""
    rows: list[TaskDone] = []
    candidates = 0
    for order in message.tasks:
        made = order.entries or [entry(f"{job.name}/{n}") for n in range(order.lo, order.hi)]
        rows.append(TaskDone(order.ordinal, epoch, order.n, 1e-4, made))
        candidates += len(made)
        if len(rows) >= TASKS_A_FRAME or candidates >= CANDIDATES_A_FRAME:
            _tell(link, message.job, rows)
            rows, candidates = [], 0
    if rows:
        _tell(link, message.job, rows)


def _tell(link: Link, job: int, rows: list[TaskDone]) -> None:
    link.post(encode(TasksDone(job, rows)))
    link.flush()


class SimulatedLauncher:
    """Finds the agents that `serve_agents` runs."""

    async def start(self, node: NodeSpec) -> SimulatedAccess:
        return SimulatedAccess(node)

    async def stop(self, node: NodeSpec, agent_id: str, grace_s: float) -> list[int]:
        return []

    def describe(self, node: NodeSpec) -> str:
        return f"{node.name}: simulated"


class SimulatedAccess:
    def __init__(self, node: NodeSpec) -> None:
        self._node = node

    async def connect(self, me: Identity, limits: Limits) -> Link:
        return await connect_unix(self._node.socket, me, expects="agent", limits=limits)

    def is_gone(self) -> bool:
        return False
