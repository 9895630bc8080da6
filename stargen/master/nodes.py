"""The master's side of its nodes: commands become messages to the agents that they concern."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from stargen.master.carried import CarriedFiles
from stargen.master.keeper import NodeKeeper
from stargen.messages import (
    UNSEEN_S,
    AckResults,
    Attach,
    CancelTasks,
    DefineJob,
    Drain,
    Look,
    RunTasks,
    Settle,
    TakeBack,
    TaskOrder,
)
from stargen.model import Location
from stargen.scheduling.events import (
    AcknowledgeResults,
    CancelAttempts,
    Command,
    DrainNode,
    SendRow,
    SendTasks,
    SettleInventory,
    TakeBackTasks,
)
from stargen.scheduling.nodelist import resources_form

_MESSAGE_BYTES = 1024 * 1024
_TRIES_WITHOUT_HOPE = 4
_TOLD = 5
"""So many nodes' problems are told where all have one; mostly it is the same."""
_LOOK_S = 20.0
"""How long agents believe that somebody looks."""

_SAMPLES_PER_S = 100
"""The most that all agents together may send for those who look: each costs the master ten
microseconds or more. Many nodes send as many by themselves: then they are asked for no more."""

Observer = Callable[[str], None]


class Nodes:
    """All nodes of a campaign; performs the commands that concern them.

    Parameters
    ----------
    define : (job, pool) -> what an agent of that pool must know of the job
    carried : what travels to nodes that share no folder with the master
    read : where entries come from: the journal itself. What it has not written is in its memory,
        what it wrote lately in the system's; a cache here would save less than it costs.
    growing : whether more nodes may come while the campaign runs
    observer : told the points "before-ack" and "after-ack", for tests that die there
    """

    def __init__(
        self,
        keepers: Iterable[NodeKeeper],
        *,
        define: Callable[[int, str], DefineJob],
        carried: CarriedFiles | None = None,
        read: Callable[[Sequence[Location]], list[bytes]],
        growing: bool = False,
        observer: Observer = lambda point: None,
    ) -> None:
        self.keepers = {keeper.name: keeper for keeper in keepers}
        self._define = define
        self._carried = carried
        self._read = read
        self._growing = growing
        self._group: asyncio.TaskGroup | None = None
        self._attach: Attach | None = None
        self._observe = observer
        self._touched: dict[str, NodeKeeper] = {}
        self._acknowledged = False
        self._looked_at = float("-inf")
        self._performers: dict[type[Any], Callable[[NodeKeeper, Any], None]] = {
            SendTasks: self._send_tasks,
            AcknowledgeResults: self._acknowledge,
            CancelAttempts: lambda k, c: k.send(CancelTasks(c.attempts, c.reason, c.soft)),
            TakeBackTasks: lambda k, c: k.send(TakeBack(c.job, c.count)),
            SettleInventory: lambda k, c: k.settle(Settle(c.keep, c.cancel, c.deliver)),
            DrainNode: lambda k, c: k.send(Drain(c.reason)),
        }

    async def keep(self, attach: Attach) -> None:
        """Keep links to all nodes until cancelled."""
        forever = asyncio.Event()
        async with asyncio.TaskGroup() as self._group:
            self._attach = attach
            for keeper in self.keepers.values():
                self._group.create_task(keeper.keep(attach))
            await forever.wait()

    def add(self, keeper: NodeKeeper) -> None:
        """Keep one more node."""
        assert self._group is not None
        assert self._attach is not None
        self.keepers[keeper.name] = keeper
        self._group.create_task(keeper.keep(self._attach))

    @property
    def hopeless(self) -> str | None:
        """Why no node can be had, if all were tried in vain; None while there is hope.

        Who has removed them all may add others.
        """
        keepers = self.keepers.values()
        if self._growing or not all(keeper.tries >= _TRIES_WITHOUT_HOPE for keeper in keepers):
            return None
        told = [f"{keeper.name}: {keeper.problem}" for keeper in islice(keepers, _TOLD)]
        more = len(keepers) - len(told)
        return "; ".join([*told, f"and {more} more"] if more else told) or None

    async def dismiss(self, reason: str, grace_s: float) -> list[str]:
        """End every agent and all that they started; what is left, or may be, in words."""
        keepers = self.keepers.values()
        await asyncio.gather(*(keeper.dismiss(reason, grace_s) for keeper in keepers))
        left = await asyncio.gather(*(keeper.end(grace_s) for keeper in keepers))
        return [words for words in left if words]

    def look(self, at: Sequence[str] = (), task: list[int] | None = None) -> None:
        """Somebody looks: have agents send samples more often for a while.

        Parameters
        ----------
        at : nodes that are looked at; a single one closely
        task : [job, ordinal] of the task whose output is read
        """
        every_s = max(1.0, len(self.keepers) / _SAMPLES_PER_S)
        now = time.monotonic()
        if every_s < UNSEEN_S and now - self._looked_at > _LOOK_S / 2:
            self._looked_at = now
            for keeper in self.keepers.values():
                keeper.send(Look(every_s, _LOOK_S))
                keeper.flush()
        if len(at) == 1 and at[0] in self.keepers:
            self.keepers[at[0]].send(Look(1.0, _LOOK_S, True, [task] if task else []))
            self.keepers[at[0]].flush()

    def perform(self, command: Command) -> None:
        keeper = self.keepers.get(getattr(command, "node", ""))
        if keeper is None:  # of a former campaign file; nobody there to be told
            return
        self._touched[keeper.name] = keeper
        self._performers[type(command)](keeper, command)

    def flush(self) -> None:
        """Write what was sent since the last flush, once per node."""
        if self._touched:
            for keeper in self._touched.values():
                keeper.flush()
            self._touched.clear()
            if self._acknowledged:
                self._acknowledged = False
                self._observe("after-ack")

    def _acknowledge(self, keeper: NodeKeeper, command: AcknowledgeResults) -> None:
        self._observe("before-ack")
        keeper.send(AckResults(command.attempts))
        self._acknowledged = True

    def _send_tasks(self, keeper: NodeKeeper, command: SendTasks) -> None:
        if not keeper.takes_orders:
            return
        keeper.define(command.job, lambda: self._define(command.job, keeper.spec.pool))
        resources = resources_form(command.resources)
        if keeper.apart and self._carried is not None:
            for row in command.rows:
                for part in self._carried.kept(command.job, row.ordinal):
                    keeper.send(part)
        hosts = [self.keepers[name].host for name in command.gang if name in self.keepers]
        for rows in _messages(command.rows):
            orders = self._orders(rows)
            keeper.send(RunTasks(command.job, resources, command.priority, orders, hosts=hosts))

    def _orders(self, rows: Sequence[SendRow]) -> list[TaskOrder]:
        """What an agent is told of these tasks, with their candidates."""
        entries = iter(self._read([at for row in rows for at in (*row.entries, *row.kept)]))
        return [
            TaskOrder(
                ordinal,
                n,
                lo,
                hi,
                list(islice(entries, len(places))),
                list(islice(entries, len(kept))) if kept else [],
                steered,
            )
            for ordinal, n, lo, hi, places, kept, steered in rows
        ]


def _messages(rows: Sequence[SendRow]) -> Iterator[Sequence[SendRow]]:
    """Divide what is to be sent into messages of a bounded size."""
    first = size = 0
    for index, row in enumerate(rows):
        for places in (row.entries, row.kept):
            for at in places:
                size += at.size
        if size > _MESSAGE_BYTES:
            yield rows[first : index + 1]
            first, size = index + 1, 0
    if first < len(rows):
        yield rows[first:]
