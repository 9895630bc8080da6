"""The master's own SSH server, at which agents in allocations report.

Compute nodes can mostly open connections to a login node, and not the other way round. So an
agent's side dials (stargen/transport/dialing.py), proves itself by the campaign's key, and asks
that connections to the path NAME be forwarded to it: from then on the master opens streams to the
agent's socket over that connection, as it does over one that it opened itself. There is nothing
else here to be had: no shell, no command, no file, no other forwarding but the one to the master's
own control socket.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncssh

from stargen.errors import AgentGone, LinkLost
from stargen.transport.link import Stream
from stargen.transport.meeting import MeetingPlace
from stargen.transport.ssh import CIPHERS, KEEPALIVE_MISSED, SocketStream, words_of

log = logging.getLogger(__name__)

USER = "stargen"
CONTROL = "control"
"""The path by which whoever has the agents' key reaches the master's control socket."""
_KEEPALIVE_S = 5.0
_LOGIN_S = 15.0
_STRANGERS = 64
"""So many may be under way to prove themselves; more are hung up on, and come again."""
_OPEN_S = 30.0
_PAUSES_S = (0.05, 0.2, 1.0)

Wanted = Callable[[str], bool]


class Caller:
    """One agent's connection."""

    def __init__(self, name: str, connection: asyncssh.SSHServerConnection) -> None:
        self.name = name
        self._connection = connection
        self._hung_up = False

    async def carry(self, stream: Stream) -> None:
        """Connect `stream` to the agent's socket.

        Raises
        ------
        AgentGone : nobody listens there
        LinkLost : the connection is over
        """
        try:
            async with asyncio.timeout(_OPEN_S):
                await self._carry(stream)
        except (OSError, asyncssh.Error, TimeoutError) as error:
            raise LinkLost(words_of(error), node=self.name) from error

    async def _carry(self, stream: Stream) -> None:
        """The agent's side may need a moment before it knows that its report was taken."""
        for pause_s in (*_PAUSES_S, None):
            try:
                await self._connection.create_unix_connection(
                    lambda: SocketStream(stream), self.name
                )
            except asyncssh.ChannelOpenError as error:
                if not self.lives:
                    raise LinkLost(words_of(error), node=self.name) from error
                if pause_s is None:
                    raise AgentGone("its agent does not listen", node=self.name) from error
                await asyncio.sleep(pause_s)
            else:
                return

    @property
    def lives(self) -> bool:
        return not (self._hung_up or self._connection.is_closed())

    def hang_up(self) -> None:
        self._hung_up = True
        self._connection.abort()

    async def wait_closed(self) -> None:
        await self._connection.wait_closed()


class DialServer:
    """Listens for agents.

    Parameters
    ----------
    wanted : whether an agent of that name is one of the campaign's
    on_caller : told of each that reports
    control : the master's control socket
    address, port : where to listen; at all addresses, and any free port, if not said
    """

    def __init__(
        self,
        place: MeetingPlace,
        *,
        wanted: Wanted,
        on_caller: Callable[[Caller], None],
        control: Path,
        address: str = "",
        port: int = 0,
    ) -> None:
        self.place = place
        self.wanted = wanted
        self.on_caller = on_caller
        self.control = control
        self._at = (address, port)
        self.connections: set[asyncssh.SSHServerConnection] = set()
        self.strangers: set[asyncssh.SSHServerConnection] = set()
        """Those of the connections that have not proved themselves yet."""
        self.agent_key = b""
        self._acceptor: asyncssh.SSHAcceptor | None = None

    async def open(self) -> int:
        """Begin to listen, and write down where; the port.

        Raises
        ------
        OSError : that is not possible
        """
        self.place.prepare()
        self.agent_key = asyncssh.read_private_key(self.place.agent_key).public_data
        listener = _listener(*self._at)
        self._acceptor = await asyncssh.listen(
            sock=listener,
            server_factory=lambda: _Reception(self),
            server_host_keys=[str(self.place.master_key)],
            encryption_algs=CIPHERS,
            compression_algs=None,
            keepalive_interval=_KEEPALIVE_S,
            keepalive_count_max=KEEPALIVE_MISSED,
            login_timeout=_LOGIN_S,
            agent_forwarding=False,
            x11_forwarding=False,
            allow_pty=False,
            gss_host=None,
            config=None,
        )
        return self.place.tell(listener.getsockname()[1]).port

    async def close(self) -> None:
        """Listen no more, and hang up on everybody."""
        self.place.forget()
        if self._acceptor is not None:
            self._acceptor.close()
            await self._acceptor.wait_closed()
        for connection in list(self.connections):
            connection.close()


class _Reception(asyncssh.SSHServer):
    """What one connection may do."""

    def __init__(self, server: DialServer) -> None:
        self._server = server
        self._connection: asyncssh.SSHServerConnection

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        strangers = self._server.strangers
        strangers.add(conn)
        self._server.connections.add(conn)
        if len(strangers) > _STRANGERS:
            conn.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.strangers.discard(self._connection)
        self._server.connections.discard(self._connection)

    def begin_auth(self, username: str) -> bool:
        return True

    def auth_completed(self) -> None:
        self._server.strangers.discard(self._connection)

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == USER and key.public_data == self._server.agent_key

    def unix_server_requested(self, listen_path: str) -> asyncssh.SSHListener | bool:
        """An agent reports, under its name."""
        if not self._server.wanted(listen_path):
            log.warning("refused an agent that calls itself %r", listen_path)
            return False
        caller = Caller(listen_path, self._connection)
        asyncio.get_running_loop().call_soon(self._server.on_caller, caller)
        return _Reported()

    def unix_connection_requested(self, dest_path: str) -> Any:
        """Somebody at another machine wants to talk to the master."""
        if dest_path != CONTROL:
            return False
        return self._connection.forward_unix_connection(str(self._server.control))


class _Reported(asyncssh.SSHListener):
    """What asyncssh keeps of the agent's request; nothing listens."""

    def close(self) -> None: ...

    async def wait_closed(self) -> None: ...


def _listener(address: str, port: int) -> socket.socket:
    if address:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return socket.create_server((address, port), family=family)
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))
