"""Links within one process, for tests and simulations: real sessions, no socket, cut at will."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from stargen.errors import LinkLost
from stargen.transport.door import HANDSHAKE_S, Door
from stargen.transport.greeting import Identity
from stargen.transport.link import Link, Stream
from stargen.transport.session import USUAL, Limits, Session


class MemoryTransport(asyncio.Transport):
    """One end of a byte stream that is a pair of method calls on the event loop."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._other: MemoryTransport | None = None
        self._held: list[bytes] | None = None

    def join(self, other: MemoryTransport) -> None:
        """Connect both ends."""
        self._other, other._other = other, self
        other._protocol.connection_made(other)
        self._protocol.connection_made(self)

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if self._other is not None:
            self._loop.call_soon(self._other._deliver, bytes(data))

    def _deliver(self, data: bytes) -> None:
        if self._other is None:
            return
        if self._held is not None:
            self._held.append(data)
        else:
            self._protocol.data_received(data)

    def pause_reading(self) -> None:
        self._held = []

    def resume_reading(self) -> None:
        held, self._held = self._held or [], None
        for data in held:
            self._deliver(data)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        if isinstance(protocol, asyncio.Protocol):
            self._protocol = protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is ever buffered."""

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self._other is None

    def close(self) -> None:
        self._loop.call_soon(self.abort)

    def abort(self) -> None:
        other, self._other = self._other, None
        if other is not None:
            self._loop.call_soon(self._protocol.connection_lost, None)
            other.abort()


class MemoryHub:
    """A place to connect to. `cut` severs every stream; with `down`, no new one is made."""

    def __init__(
        self,
        me: Identity,
        on_link: Callable[[Link], None],
        *,
        expects: str,
        limits: Limits = USUAL,
    ) -> None:
        self._door = Door(me, on_link, expects=expects, limits=limits)
        self._ends: list[MemoryTransport] = []
        self.down = False

    async def connect(self, me: Identity, *, expects: str, limits: Limits = USUAL) -> Link:
        """An open link to this place, whose role must be `expects`."""
        name = self._door.me.name or expects

        async def reconnect(link: Link) -> None:
            if self.down:
                return
            stream = Stream(link)
            near = MemoryTransport(stream)
            near.join(MemoryTransport(self._door.newcomer()))
            self._ends.append(near)
            link.greet(stream)

        session_id = id(reconnect).to_bytes(16, "little")
        session = Session(me, expects=expects, session_id=session_id, peer=name, limits=limits)
        link = Link(session, reconnect)
        await reconnect(link)
        if self.down:
            raise LinkLost("nobody there", node=name)
        await link.wait_open(HANDSHAKE_S)
        return link

    def cut(self) -> None:
        """Sever every stream; whatever was on its way is gone."""
        for end in self._ends:
            end.abort()
        self._ends.clear()


async def memory_pair(
    one: Identity, other: Identity, *, limits: Limits = USUAL
) -> tuple[Link, Link, MemoryHub]:
    """Two ends of one link, the first of which connected, and the hub between them."""
    accepted: list[Link] = []
    hub = MemoryHub(other, accepted.append, expects=one.role, limits=limits)
    link = await hub.connect(one, expects=other.role, limits=limits)
    return link, accepted[0], hub
