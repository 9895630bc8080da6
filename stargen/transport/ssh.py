"""Links over SSH: a host that commands run on, and byte streams to sockets there.

Each host has one connection, on which everything to it travels: the commands that start or end an
agent, and a channel to the agent's UNIX socket. Where the site forbids to forward sockets, the
stream goes through a bridge instead: a command on the host that joins its standard input and output
to the socket. asyncssh ends a lost connection with exit status None and raises nothing; here that
is `LinkLost`, never success.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, cast

import asyncssh
from asyncssh.constants import OPEN_ADMINISTRATIVELY_PROHIBITED

from stargen.config import Ssh
from stargen.errors import AgentGone, LinkLost, NodeError
from stargen.transport.link import Stream

CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes256-ctr")
"""In the order of what they cost; the default one costs twice as much a message."""
KEEPALIVE_MISSED = 3
_SAID_BYTES = 4000
_SAID_CHARS = 400


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command on a host ended, and what it said."""

    status: int
    stdout: str
    stderr: str


class RemoteHost(Protocol):
    """A machine on which commands run and sockets are reached."""

    async def run(self, command: str, timeout_s: float, told: bytes = b"") -> Finished:
        """Run a command line of the user's shell there, to its end; `told` is its standard input.

        Raises
        ------
        NodeError : the host cannot be reached or was lost, or the time is over
        """
        ...

    async def carry(self, stream: Stream, socket: str, bridge: str) -> None:
        """Connect `stream` to the UNIX socket there, by the command `bridge` if need be.

        Raises
        ------
        AgentGone : nobody listens there
        NodeError : the host cannot be reached
        """
        ...

    async def pipe(self, stream: Stream, command: str) -> None:
        """Connect `stream` to standard input and output of a command there.

        Raises
        ------
        NodeError : the host cannot be reached
        """
        ...

    async def renew(self) -> None:
        """Use a new connection from here on: the old one may be dead without knowing it."""
        ...

    async def close(self) -> None:
        """Hang up."""
        ...


class SshHost:
    """A host reached by asyncssh.

    Parameters
    ----------
    name : as the site file and ssh_config have it
    options : how it is reached
    keepalive_s : seconds of silence after which its sshd is asked whether it lives
    gate : bounds how many logins are under way; an sshd drops connections beyond its MaxStartups
    """

    def __init__(
        self, name: str, options: Ssh, *, keepalive_s: float, gate: asyncio.Semaphore
    ) -> None:
        self.name = name
        self._options = options
        self._keepalive_s = keepalive_s
        self._gate = gate
        self._connection: asyncssh.SSHClientConnection | None = None
        self._connecting = asyncio.Lock()
        self._forwards = options.forward

    async def run(self, command: str, timeout_s: float, told: bytes = b"") -> Finished:
        connection = await self._connected()
        try:
            async with asyncio.timeout(timeout_s):
                done = await connection.run(command, input=told, encoding=None)
        except TimeoutError as error:
            raise NodeError(no_answer(timeout_s, command), node=self.name) from error
        except asyncssh.ChannelOpenError as error:
            raise NodeError(words_of(error), node=self.name) from error
        except (OSError, asyncssh.Error) as error:
            await self._forget(connection)
            raise LinkLost(words_of(error), node=self.name) from error
        if done.exit_status is None or done.exit_status < 0:
            await self._forget(connection)
            raise LinkLost("the connection was lost", node=self.name)
        return Finished(done.exit_status, _text(done.stdout), _text(done.stderr))

    async def carry(self, stream: Stream, socket: str, bridge: str) -> None:
        async def forward(connection: asyncssh.SSHClientConnection) -> None:
            await connection.create_unix_connection(lambda: SocketStream(stream), socket)

        if self._forwards:
            try:
                await self._open(forward)
            except asyncssh.ChannelOpenError as error:
                if error.code != OPEN_ADMINISTRATIVELY_PROHIBITED:
                    raise AgentGone(f"nobody listens on {socket}", node=self.name) from error
                self._forwards = False
            else:
                return
        await self.pipe(stream, bridge)

    async def pipe(self, stream: Stream, command: str) -> None:
        async def session(connection: asyncssh.SSHClientConnection) -> None:
            await connection.create_session(lambda: _BridgeStream(stream), command, encoding=None)

        try:
            await self._open(session)
        except asyncssh.ChannelOpenError as error:
            raise LinkLost(words_of(error), node=self.name) from error

    async def _open(
        self, channel: Callable[[asyncssh.SSHClientConnection], Awaitable[None]]
    ) -> None:
        """Open a channel. LinkLost, or asyncssh's ChannelOpenError if it alone is refused."""
        connection = await self._connected()
        try:
            async with asyncio.timeout(self._options.connect_s):
                await channel(connection)
        except TimeoutError as error:
            await self._forget(connection)
            raise LinkLost("the host does not answer", node=self.name) from error
        except asyncssh.ChannelOpenError:
            raise
        except (OSError, asyncssh.Error) as error:
            await self._forget(connection)
            raise LinkLost(words_of(error), node=self.name) from error

    async def renew(self) -> None:
        if self._connection is not None:
            await self._forget(self._connection)

    async def close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()
            await connection.wait_closed()

    async def _forget(self, connection: asyncssh.SSHClientConnection) -> None:
        connection.abort()
        if self._connection is connection:
            self._connection = None

    async def _connected(self) -> asyncssh.SSHClientConnection:
        async with self._connecting:
            if self._connection is None or self._connection.is_closed():
                async with self._gate:
                    self._connection = await self._connect()
            return self._connection

    async def _connect(self) -> asyncssh.SSHClientConnection:
        options = self._options
        given: dict[str, Any] = {
            "username": options.user,
            "port": options.port,
            "config": options.config,
            "tunnel": options.jump,
            "client_keys": options.identity,
        }
        stated = {key: value for key, value in given.items() if value is not None}
        try:
            async with asyncio.timeout(options.connect_s):
                return await asyncssh.connect(
                    self.name,
                    encryption_algs=CIPHERS,
                    compression_algs=None,
                    keepalive_interval=self._keepalive_s,
                    keepalive_count_max=KEEPALIVE_MISSED,
                    **stated,
                )
        except TimeoutError as error:
            said = f"no login in {options.connect_s:g} s"
            raise NodeError(said, node=self.name) from error
        except (OSError, ValueError, asyncssh.Error, asyncssh.ConfigParseError) as error:
            raise NodeError(why_no_login(error, self.name), node=self.name) from error


def no_answer(timeout_s: float, command: str) -> str:
    """What to say of a command that did not end in time."""
    return f"no answer in {timeout_s:g} s to: {command[:_SAID_CHARS]}"


def why_no_login(error: Exception, host: str) -> str:
    """What a failed login means and what helps, in words for the user."""
    match error:
        case asyncssh.HostKeyNotVerifiable():
            return (
                f"its host key is not known here ({words_of(error)}); `stargen nodes trust {host}`"
                " shows it and stores it"
            )
        case asyncssh.PermissionDenied():
            return (
                f"it refuses the login: {words_of(error)}; try `ssh {host}`, and see `user` and"
                " `identity` of the pool's ssh table"
            )
        case asyncssh.ConfigParseError():
            return f"ssh_config cannot be read: {words_of(error)}"
        case OSError():
            return f"it cannot be reached: {error.strerror or words_of(error)}"
        case _:
            return f"it cannot be reached: {words_of(error)}"


class _Channel:
    """An SSH channel that behaves as asyncio's transports do.

    To write when the other side has just closed it is no error: that it was lost is told next.
    """

    def __init__(self, channel: Any) -> None:
        self._channel = channel

    def write(self, data: bytes) -> None:
        with suppress(BrokenPipeError):
            self._channel.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)


class _Carrier:
    """What carries a `Stream` over an SSH channel, which is nearly asyncio's transport."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def connection_made(self, chan: Any) -> None:
        self._stream.connection_made(cast("asyncio.Transport", _Channel(chan)))

    def pause_writing(self) -> None:
        self._stream.pause_writing()

    def resume_writing(self) -> None:
        self._stream.resume_writing()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._stream.connection_lost(exc)


class SocketStream(_Carrier, asyncssh.SSHUNIXSession[bytes]):
    def data_received(self, data: bytes, datatype: int | None) -> None:
        self._stream.data_received(data)


class _BridgeStream(_Carrier, asyncssh.SSHClientSession[bytes]):
    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        self._said = b""

    def data_received(self, data: bytes, datatype: int | None) -> None:
        if datatype is None:
            self._stream.data_received(data)
        else:
            self._said = (self._said + data)[-_SAID_BYTES:]

    def connection_lost(self, exc: Exception | None) -> None:
        said = self._said.decode(errors="replace").strip()
        super().connection_lost(exc or (ConnectionError(said) if said else None))


def words_of(error: BaseException) -> str:
    return str(getattr(error, "reason", "") or error) or type(error).__name__


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")
