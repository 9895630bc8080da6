"""Results: from the worker into the spool, from the spool to the master, until it acknowledges.

A result is spooled first and sent at once if a master is attached and keeps up. What could not be
sent (no master, not settled yet, or too much under way to it) stays in the spool alone, and is
read back when it can be sent; so memory holds no results, however long the master is away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from stargen.executing.spool import Spool
from stargen.messages import (
    AttemptRef,
    GaveBack,
    Message,
    TaskFault,
    TasksFailed,
    encode,
)
from stargen.transport.link import Link

_UNDER_WAY_BYTES = 32 * 1024 * 1024
_LONG_TASK_S = 60.0
_AT_ONCE = 256


class Results:
    """What the agent owes to its master.

    Parameters
    ----------
    spool : keeps it
    observer : told of named points, for tests that kill the agent there
    """

    def __init__(self, spool: Spool, observer: Callable[[str], None]) -> None:
        self.spool = spool
        self._observer = observer
        self._link: Link | None = None
        self._settled = False
        self._unsent: dict[AttemptRef, None] = {}
        self._owed: list[Message] = []
        self._sync_wanted = asyncio.Event()

    # --- what happened ----------------------------------------------------------------------------

    def keep(self, message: bytes, refs: list[AttemptRef], longest_s: float) -> None:
        """Results, encoded as TasksDone or TasksFailed, about these attempts."""
        self.spool.append(message, refs)
        link = self._link
        if link is None or longest_s > _LONG_TASK_S:
            self._sync_wanted.set()
        if link is None or not self._settled or self._unsent or link.buffered > _UNDER_WAY_BYTES:
            self._unsent.update(dict.fromkeys(refs))
            return
        self._observer("before-send")
        link.post(message)
        link.flush()
        self._observer("after-send")

    def failed(self, faults: list[TaskFault]) -> None:
        """Attempts that failed, as the agent itself found."""
        if faults:
            refs = [AttemptRef(f.job, f.ordinal, f.epoch, f.n) for f in faults]
            longest_s = max(fault.duration_s for fault in faults)
            self.keep(encode(TasksFailed(faults)), refs, longest_s)

    def gave_back(self, refs: list[AttemptRef], reason: str) -> None:
        """Attempts that did not start, or were stopped without blame.

        Nothing is kept of it: an inventory that does not name them says the same.
        """
        if refs:
            self.say(GaveBack(refs, reason))

    @property
    def has_master(self) -> bool:
        return self._link is not None

    def say(self, message: Message) -> None:
        """Anything else for the master, if there is one."""
        if self._link is not None:
            if self._settled:
                self._link.send(encode(message))
            else:
                self._owed.append(message)

    # --- masters come and go ----------------------------------------------------------------------

    def attach(self, link: Link) -> None:
        """A master is there; it gets nothing until it has settled the inventory."""
        self._link, self._settled = link, False
        self._owed.clear()

    def detach(self) -> None:
        """It is gone. What it has not acknowledged is for the next one to ask for."""
        self._link, self._settled = None, False
        self._owed.clear()
        if len(self.spool):
            self._sync_wanted.set()

    def settle(self, wanted: Iterable[AttemptRef]) -> None:
        """The master wants the results of these attempts, and of no others."""
        wanted = set(wanted)
        held = self.spool.refs()
        self.spool.acknowledge([ref for ref in held if ref not in wanted])
        self._unsent = dict.fromkeys(ref for ref in held if ref in wanted)
        self._settled = True
        owed, self._owed = self._owed, []
        for message in owed:
            self.say(message)
        self.pump()

    def acknowledge(self, refs: list[AttemptRef]) -> None:
        """The master's disk has these."""
        self.spool.acknowledge(refs)
        for ref in refs:
            self._unsent.pop(ref, None)

    def pump(self) -> None:
        """Send what waits in the spool, as far as the link takes it."""
        link = self._link
        while link is not None and self._settled and self._unsent:
            if link.buffered > _UNDER_WAY_BYTES:
                return
            some = list(self._unsent)[:_AT_ONCE]
            for results in self.spool.read(some):
                self._observer("before-send")
                link.send(encode(results))
                self._observer("after-send")
            for ref in some:
                del self._unsent[ref]

    async def sync_when_wanted(self) -> None:
        """Make the spool outlive the machine, as often as that is asked for."""
        while True:
            await self._sync_wanted.wait()
            self._sync_wanted.clear()
            try:
                await asyncio.to_thread(self.spool.sync)
            except OSError as error:
                self.spool.failed = str(error)
