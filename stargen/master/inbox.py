"""What has happened and waits for the kernel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from stargen.scheduling.events import Event

Happening = Callable[[float], Event | None]
"""Makes the event, given the time at which the kernel takes it; None if it turns out to be none."""

_ROOM = 4096

_AT_ONCE = 32
"""What is taken in one turn passes through the master step by step, and should still be in the
processor's cache at the last: messages of thousands of nodes at once would not be."""


class Inbox:
    """A bounded queue that is emptied some at a time."""

    def __init__(self, room: int = _ROOM) -> None:
        self._waiting: list[Happening] = []
        self._room = room
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()

    def put(self, happening: Happening) -> None:
        """Add something that cannot wait, and is rare."""
        self._waiting.append(happening)
        self._filled.set()

    async def put_in_turn(self, happening: Happening) -> None:
        """Add something when there is room for it."""
        while len(self._waiting) >= self._room:
            self._emptied.clear()
            await self._emptied.wait()
        self.put(happening)

    async def take(self) -> list[Happening]:
        """What has waited longest; at least one."""
        await self._filled.wait()
        taken, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
        if self._waiting:
            await asyncio.sleep(0)  # links have their turn too
        else:
            self._filled.clear()
        if len(self._waiting) <= self._room // 2:  # not for each turn: many may wait for room
            self._emptied.set()
        return taken
