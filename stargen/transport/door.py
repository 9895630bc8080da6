"""The accepting side of links: who is let in, and which session a newcomer belongs to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from stargen.errors import HandshakeRefused, RemoteProtocolError
from stargen.transport.greeting import Doorman, Hello, Identity, refusal
from stargen.transport.link import Link, Stream
from stargen.transport.session import USUAL, Limits, Session

HANDSHAKE_S = 10.0
"""How long either side may take over its greeting."""


class Door:
    """Turns new byte streams into links; a stream that resumes a session is given to its link."""

    def __init__(
        self,
        me: Identity,
        on_link: Callable[[Link], None],
        *,
        expects: str,
        limits: Limits = USUAL,
    ) -> None:
        self.me = me
        self.on_link = on_link
        self.expects = expects
        self.limits = limits
        self._links: dict[bytes, Link] = {}

    def newcomer(self) -> asyncio.Protocol:
        """A protocol for a stream that has just been accepted."""
        return _Newcomer(self)

    def admit(self, hello: Hello) -> Link:
        """The link that a greeting belongs to; HandshakeRefused if its session is unknown here."""
        self._links = {key: link for key, link in self._links.items() if link.lost is None}
        peer = hello.name or hello.role
        if hello.resumes:
            if hello.session not in self._links:
                raise HandshakeRefused(f"the {self.me.role} does not know this session", node=peer)
            return self._links[hello.session]
        session = Session(
            self.me, expects=self.expects, session_id=hello.session, peer=peer, limits=self.limits
        )
        link = self._links[hello.session] = Link(session)
        return link

    def allows(self, transport: asyncio.Transport) -> bool:
        """Whether whoever connected may speak at all."""
        return True


class _Newcomer(asyncio.Protocol):
    """A stream that has not said who it is yet."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._doorman = Doorman(door.me, door.expects)
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if not self._door.allows(self._transport):
            self._transport.abort()
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(HANDSHAKE_S, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        try:
            hello = self._doorman.feed(data)
            if hello is not None:
                self._enter(self._door.admit(hello), hello)
        except HandshakeRefused as error:
            self._transport.write(refusal(error.problem))
            self._transport.close()
        except RemoteProtocolError:
            self._transport.abort()

    def _enter(self, link: Link, hello: Hello) -> None:
        if self._timer is not None:
            self._timer.cancel()
        stream = Stream(link)
        self._transport.set_protocol(stream)
        stream.connection_made(self._transport)
        link.welcome(stream, hello, self._doorman.reader)
        if not hello.resumes:
            self._door.on_link(link)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
