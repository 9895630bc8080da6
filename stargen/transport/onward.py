"""Hosts reached through another one: one login of ours opens the way to a whole group.

Theory of operation. The master logs in to the first host of a group; from there the site's own ssh
command leads on to the others, one process for each command or stream, and what it carries travels
as a session of the one connection. So logins, key exchanges and keep-alives to the group are the
first host's work and not the master's. Whatever fails on the way through (the first host is down,
its ssh is refused, a stream ends) makes a host be logged in to directly from then on: the way
through saves work, and nothing depends on it. Sessions of one connection are few (MaxSessions of
sshd, 10 if nobody changed it): each host has one for its stream, and all share two for commands.
"""

from __future__ import annotations

import asyncio
import logging
import shlex
from collections.abc import Awaitable, Callable
from typing import TypeVar

from stargen.config import Ssh
from stargen.errors import NodeError
from stargen.transport.link import Stream
from stargen.transport.openssh import unattended
from stargen.transport.ssh import Finished, RemoteHost

T = TypeVar("T")

log = logging.getLogger(__name__)

COMMANDS = 2
"""So many at once go through a first host; the others wait."""
_NOT_THERE = (126, 127, 255)
"""Exit statuses of ssh that reached nobody, and of a shell that found no ssh."""
_SAID = 400


class FirstHost:
    """The first host of a group. What it failed to do once, nobody asks of it again.

    Parameters
    ----------
    host : it, logged in to directly
    """

    def __init__(self, host: RemoteHost) -> None:
        self.host = host
        self._gate = asyncio.Semaphore(COMMANDS)
        self._failed: NodeError | None = None
        self._users: set[str] = set()

    async def run(self, command: str, timeout_s: float, told: bytes) -> Finished:
        async with self._gate:
            return await self._try(lambda: self.host.run(command, timeout_s, told))

    async def pipe(self, stream: Stream, command: str) -> None:
        await self._try(lambda: self.host.pipe(stream, command))

    async def _try(self, way: Callable[[], Awaitable[T]]) -> T:
        if self._failed is not None:
            raise self._failed
        try:
            return await way()
        except NodeError as error:
            self._failed = error
            raise

    def use(self, name: str) -> None:
        """The connection is wanted for that host."""
        self._users.add(name)

    async def leave(self, name: str) -> None:
        """It is not any more; hang up if nobody is left."""
        self._users.discard(name)
        if not self._users:
            await self.host.close()


class OnwardHost:
    """A host reached through the first of its group, or directly where that fails.

    Parameters
    ----------
    name : as the first host's ssh knows it, and ours
    options : how hosts are reached
    direct : makes the host as it is without a way through
    keepalive_s : seconds of silence after which the other side is asked whether it lives
    """

    def __init__(
        self,
        name: str,
        options: Ssh,
        first: FirstHost,
        direct: Callable[[], RemoteHost],
        *,
        keepalive_s: float,
    ) -> None:
        self.name = name
        self._first = first
        self._make = direct
        self._direct: RemoteHost | None = None
        onward = shlex.split(options.onward)
        self._words = [*onward, "-T", *unattended(options, keepalive_s), "--", name]

    async def run(self, command: str, timeout_s: float, told: bytes = b"") -> Finished:
        if self._direct is None:
            try:
                done = await self._first.run(self._onward(command), timeout_s, told)
            except NodeError as error:
                self._leave_the_way(str(error))
            else:
                if done.status not in _NOT_THERE:
                    return done
                self._leave_the_way(done.stderr)
        return await self._directly().run(command, timeout_s, told)

    async def carry(self, stream: Stream, socket: str, bridge: str) -> None:
        if self._direct is None:
            try:
                await self._first.pipe(stream, self._onward(bridge))
            except NodeError as error:
                self._leave_the_way(str(error))
            else:
                return
        await self._directly().carry(stream, socket, bridge)

    async def pipe(self, stream: Stream, command: str) -> None:
        await self._directly().pipe(stream, command)

    async def renew(self) -> None:
        if self._direct is None:
            self._leave_the_way("its link was lost")
        else:
            await self._direct.renew()

    async def close(self) -> None:
        await self._first.leave(self.name)
        if self._direct is not None:
            await self._direct.close()

    def _onward(self, command: str) -> str:
        return f"exec {shlex.join([*self._words, command])}"

    def _leave_the_way(self, why: str) -> None:
        log.warning(
            "%s: the way through another host is given up for direct logins: %s",
            self.name,
            why.strip()[-_SAID:],
        )
        self._directly()

    def _directly(self) -> RemoteHost:
        if self._direct is None:
            self._direct = self._make()
        return self._direct
