"""The master's side of its allocations: commands go to batch systems, and their words come back.

Each batch pool has one task, which submits, releases and looks at the queue, one after another: so
nothing is looked for before it was submitted, and one command a tick tells of all allocations. The
agents of an allocation report at the master's SSH server; from then on they are nodes like others.
What only the next master hears of (a job that was submitted just before a crash) is found by its
name in the queue.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from stargen.config import Pool
from stargen.errors import NodeError, UserError
from stargen.launchers.base import NodeSpec
from stargen.launchers.batch import AllocationSpec, BatchLauncher
from stargen.master.dialed import DialedNode
from stargen.master.inbox import Inbox
from stargen.master.keeper import NodeKeeper
from stargen.master.nodes import Nodes
from stargen.messages import Shutdown
from stargen.records import AllocationStands
from stargen.scheduling.allocations import ENDED, QUEUED, REFUSED, Allocation, Allocations
from stargen.scheduling.events import (
    AllocationSeen,
    Command,
    ReleaseAllocation,
    SubmitAllocation,
)
from stargen.transport.dialback import Caller, DialServer

T = TypeVar("T")

_SOON_S = 1.0
_RELEASE_S = 20.0
"""So long may agents take to leave before their allocation is cancelled."""
_END_S = 30.0
_LOOK_AGAIN_S = 0.5


@dataclass(slots=True)
class BatchDesk:
    """One pool: its batch system, what is to be done there, and the jobs that it has taken."""

    name: str
    settings: Pool
    launcher: BatchLauncher
    todo: asyncio.Queue[Command] = field(default_factory=asyncio.Queue[Command])
    jobs: dict[str, str] = field(default_factory=dict[str, str])
    """{allocation: job number} of those that have not ended."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    missed: set[str] = field(default_factory=set[str])
    """Those that the last look did not find: a queue that has just been restarted may be empty."""
    problem: str = ""
    doubtful: bool = True
    """Whether there may be jobs that nobody knows of: from an earlier master, or after an error."""
    uncertain: set[str] = field(default_factory=set[str])
    """Those of which the last master did not write down that they were submitted."""


class Host(Protocol):
    """What the allocator needs of the master."""

    def alert(self, text: str) -> None: ...

    def fail(self, error: Exception) -> None: ...

    def conclude(self, record: AllocationStands) -> None:
        """Remember a fact after the last turn of the loop."""
        ...


class Allocator:
    """Performs what is decided about allocations, and tells what becomes of them.

    Parameters
    ----------
    allocations : what the scheduler knows of them
    keeper : makes the keeper of a node
    lease_s : how long agents work without a master
    """

    def __init__(
        self,
        desks: list[BatchDesk],
        *,
        campaign_id: str,
        folder: Path,
        lease_s: float,
        allocations: Callable[[], Allocations],
        keeper: Callable[[NodeSpec, DialedNode], NodeKeeper],
        nodes: Nodes,
        inbox: Inbox,
        host: Callable[[], Host],
        server: Callable[[Allocator], DialServer],
    ) -> None:
        self.desks = {desk.name: desk for desk in desks}
        self.nodes = nodes
        self._campaign_id = campaign_id
        self._folder = folder
        self._lease_s = lease_s
        self._allocations = allocations
        self._keeper = keeper
        self._inbox = inbox
        self._host = host
        self._dialed: dict[str, DialedNode] = {}
        self._ending = False
        self._server = server(self)

    # --- its life ---------------------------------------------------------------------------------

    async def keep(self) -> None:
        """Let agents report, and serve the batch systems, until cancelled."""
        for desk in self.desks.values():
            desk.uncertain = {a.name for a in self._open(desk) if not a.job_id}
        try:
            await self._server.open()
        except OSError as error:
            problem = f"agents cannot report to this machine: {error.strerror or error}"
            self._host().fail(UserError(problem, hint="see listen and port of [master]"))
            return
        try:
            async with asyncio.TaskGroup() as group:
                for desk in self.desks.values():
                    group.create_task(self._serve(desk))
        finally:
            await asyncio.shield(self._server.close())

    def perform(self, command: Command) -> None:
        """Carry out a command about an allocation, in its turn; all others are its nodes'."""
        if isinstance(command, SubmitAllocation):
            self.desks[command.pool].todo.put_nowait(command)
        elif isinstance(command, ReleaseAllocation):
            allocation = self._allocations().get(command.name)
            if allocation is not None and allocation.pool in self.desks:
                self._ask_to_leave(allocation, command.reason)
                self.desks[allocation.pool].todo.put_nowait(command)
        else:
            self.nodes.perform(command)

    def flush(self) -> None:
        """Write what was sent to nodes."""
        self.nodes.flush()

    async def end(self) -> list[str]:
        """Cancel every allocation; what may be left, in words."""
        self._ending = True
        left = await asyncio.gather(*(self._end_pool(desk) for desk in self.desks.values()))
        return [text for texts in left for text in texts]

    # --- agents that report -----------------------------------------------------------------------

    def wanted(self, name: str) -> bool:
        """Whether a node of that name may report."""
        allocation = self._allocations().of_node(name)
        if allocation is None or allocation.pool not in self.desks:
            return False
        return allocation.is_open and name in allocation.node_names()

    def welcome(self, caller: Caller) -> None:
        """An agent has reported: from here on its node is kept."""
        dialed = self._dialed.get(caller.name)
        if dialed is None:
            allocation = self._allocations().of_node(caller.name)
            assert allocation is not None
            dialed = self._dialed[caller.name] = DialedNode()
            spec = NodeSpec(
                name=caller.name,
                pool=allocation.pool,
                settings=self.desks[allocation.pool].settings,
                campaign_id=self._campaign_id,
                campaign_folder=self._folder,
                run_folder=self._folder / "run",
                socket=Path(caller.name),
                lease_s=self._lease_s,
                allocation=allocation.name,
            )
            self.nodes.add(self._keeper(spec, dialed))
        dialed.welcome(caller)

    def _ask_to_leave(self, allocation: Allocation, reason: str) -> None:
        for name in allocation.node_names():
            keeper = self.nodes.keepers.get(name)
            if keeper is not None:
                keeper.send(Shutdown(reason))
                keeper.flush()

    # --- one pool ---------------------------------------------------------------------------------

    async def _serve(self, desk: BatchDesk) -> None:
        desk.jobs |= {a.name: a.job_id for a in self._open(desk) if a.job_id}
        try:
            await desk.launcher.share(desk.settings, self._folder, self._campaign_id)
        except NodeError as error:
            self._complain(desk, error)
        pause_s = _SOON_S
        while not self._ending:
            async with desk.lock:
                await self._look(desk)
            try:
                async with asyncio.timeout(_SOON_S if desk.missed else pause_s):
                    command = await desk.todo.get()
            except TimeoutError:
                pause_s = min(2 * pause_s, desk.settings.batch.look_s)
                continue
            pause_s = _SOON_S
            await self._work(desk, command)
            while not desk.todo.empty():
                await self._work(desk, desk.todo.get_nowait())

    async def _work(self, desk: BatchDesk, command: Command) -> None:
        async with desk.lock:
            if self._ending:
                return
            if isinstance(command, SubmitAllocation):
                await self._submit(desk, command)
            elif isinstance(command, ReleaseAllocation):
                await self._release(desk, command)

    async def _submit(self, desk: BatchDesk, command: SubmitAllocation) -> None:
        spec = self._spec(desk, command.name, command.nodes, command.walltime_s)
        try:
            job_id = await desk.launcher.submit(spec)
        except NodeError as error:
            desk.doubtful = True
            self._tell(command.name, REFUSED, error.problem)
            return
        desk.jobs[command.name] = job_id
        self._tell(command.name, QUEUED, "", job_id)

    async def _release(self, desk: BatchDesk, command: ReleaseAllocation) -> None:
        """Agents that are there have some time to leave; then, or if there are none, cancel it."""
        names = self._nodes_of(command.name)
        with suppress(TimeoutError):
            async with asyncio.timeout(_RELEASE_S if names else 0.0):
                while any(self.nodes.keepers[name].connected for name in names):  # noqa: ASYNC110 - links end in several ways
                    await asyncio.sleep(_LOOK_AGAIN_S)
        job_id = desk.jobs.get(command.name)
        if job_id is not None:
            await self._try(desk, desk.launcher.cancel(desk.settings, [job_id]))

    def _nodes_of(self, allocation: str) -> list[str]:
        keepers = self.nodes.keepers.values()
        return [k.name for k in keepers if k.spec.allocation == allocation]

    async def _look(self, desk: BatchDesk) -> None:
        """Compare the queue with what is known, and tell what differs."""
        known = {a.name: a for a in self._open(desk)}
        if not desk.doubtful and not desk.jobs and not known:
            return
        jobs = dict(desk.jobs)
        look = desk.launcher.look(desk.settings, self._campaign_id, jobs, all_=desk.doubtful)
        rows = await self._try(desk, look)
        if rows is None:
            return
        desk.doubtful = False
        for name, row in rows.items():
            if row.state == "ended":
                continue
            if name in known or name in jobs:
                desk.jobs[name] = row.job_id
                self._tell(name, row.state, row.reason, row.job_id)
            elif re.fullmatch(rf"{re.escape(desk.name)}-\d+", name):
                self._host().alert(
                    f"job {row.job_id} of an allocation that nobody knows is cancelled"
                )
                await self._try(desk, desk.launcher.cancel(desk.settings, [row.job_id]))
        absent = {name for name in jobs if name not in rows}
        over = {name for name in jobs if name in rows and rows[name].state == "ended"}
        for name in sorted(over | (absent & desk.missed)):
            await self._ended(desk, name)
        desk.missed = absent & desk.jobs.keys()
        for name in sorted(desk.uncertain - rows.keys()):
            self._tell(name, ENDED, "the master ended while it was being asked for")
        desk.uncertain.clear()

    async def _ended(self, desk: BatchDesk, name: str) -> None:
        job_id = desk.jobs.pop(name)
        allocation = self._allocations().get(name)
        if allocation is None:
            return
        spec = self._spec(desk, name, allocation.nodes, allocation.walltime_s)
        asked = desk.launcher.last_words(spec, job_id, output=not allocation.joined)
        self._tell(name, ENDED, await self._try(desk, asked) or "it has left the queue", job_id)

    async def _try(self, desk: BatchDesk, asked: Awaitable[T]) -> T | None:
        """What the batch system answers; None, after saying so, if it cannot be asked."""
        try:
            answer = await asked
        except NodeError as error:
            self._complain(desk, error)
            return None
        desk.problem = ""
        return answer

    def _complain(self, desk: BatchDesk, error: NodeError) -> None:
        """Once for each problem."""
        if error.problem != desk.problem:
            desk.problem = error.problem
            self._host().alert(f"pool {desk.name}: {error.problem}")

    def _tell(self, name: str, state: str, reason: str, job_id: str = "") -> None:
        if self._ending:
            return
        self._inbox.put(lambda at: AllocationSeen(at, name, state, reason, job_id))

    def _spec(self, desk: BatchDesk, name: str, nodes: int, walltime_s: float) -> AllocationSpec:
        return AllocationSpec(
            name=name,
            pool=desk.name,
            settings=desk.settings,
            nodes=nodes,
            walltime_s=walltime_s,
            campaign_id=self._campaign_id,
            folder=self._folder,
            lease_s=self._lease_s,
        )

    def _open(self, desk: BatchDesk) -> list[Allocation]:
        return self._allocations().open_in(desk.name)

    # --- the end ----------------------------------------------------------------------------------

    async def _end_pool(self, desk: BatchDesk) -> list[str]:
        async with desk.lock:
            deadline = time.monotonic() + _END_S
            desk.jobs |= {a.name: a.job_id for a in self._open(desk) if a.job_id}
            left = set(desk.jobs)
            if left:
                await self._try(desk, desk.launcher.cancel(desk.settings, list(desk.jobs.values())))
            while left and time.monotonic() < deadline:
                look = desk.launcher.look(desk.settings, self._campaign_id, desk.jobs)
                rows = await self._try(desk, look)
                if rows is not None:
                    left = {name for name, row in rows.items() if row.state != "ended"}
                    left &= desk.jobs.keys()
                if left:
                    await asyncio.sleep(_LOOK_AGAIN_S)
            for allocation in self._open(desk):
                if allocation.name not in left:
                    at = time.time()
                    self._host().conclude(AllocationStands(at, allocation.name, ENDED, "cancelled"))
            await desk.launcher.close()
        return [f"job {desk.jobs[name]} (allocation {name}) is in the queue still" for name in left]
