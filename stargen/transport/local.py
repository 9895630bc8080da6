"""Links on one machine: UNIX sockets that only their owner may open, and socket pairs."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

from stargen.errors import LinkLost, LocalProtocolError, UserError
from stargen.transport.door import HANDSHAKE_S, Door
from stargen.transport.greeting import Identity
from stargen.transport.link import Link, Stream
from stargen.transport.session import SOCKET_PAIR, USUAL, Limits, Session

_CREDENTIALS = struct.Struct("3i")
_BACKLOG = 128
_MOST_PATH_BYTES = 107


async def connect_unix(
    path: Path, me: Identity, *, expects: str, limits: Limits = USUAL, peer: str = ""
) -> Link:
    """An open link to whoever serves the socket at `path`.

    Raises
    ------
    LinkLost : nobody serves it, or nobody answers
    HandshakeRefused : the two sides will not talk to each other
    """
    peer = peer or str(path)

    async def reconnect(link: Link) -> None:
        stream = Stream(link)
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: stream, str(path))
        except OSError as error:
            raise LinkLost(f"{path}: {error.strerror or error}", node=peer) from error
        link.greet(stream)

    session = Session(me, expects=expects, session_id=os.urandom(16), peer=peer, limits=limits)
    link = Link(session, reconnect)
    await reconnect(link)
    await link.wait_open(HANDSHAKE_S)
    return link


async def connect_socket(
    connection: socket.socket,
    me: Identity,
    *,
    expects: str,
    limits: Limits = SOCKET_PAIR,
    peer: str,
    timeout_s: float = HANDSHAKE_S,
) -> Link:
    """An open link over a connected socket, one end of a socket pair: it lives as long as that.

    Raises
    ------
    LinkLost : the other end is closed, or does not answer in time
    HandshakeRefused : the two sides will not talk to each other
    """
    session = Session(me, expects=expects, session_id=os.urandom(16), peer=peer, limits=limits)
    link = Link(session)
    stream = Stream(link)
    await asyncio.get_running_loop().create_connection(lambda: stream, sock=connection)
    link.greet(stream)
    await link.wait_open(timeout_s)
    return link


class UnixServer:
    """Accepts links on a UNIX socket; see `serve_unix`."""

    def __init__(self, path: Path, server: asyncio.Server) -> None:
        self.path = path
        self._server = server

    def close(self) -> None:
        """Listen no more; links that are open stay open."""
        self.path.unlink(missing_ok=True)
        self._server.close()


class _UnixDoor(Door):
    def allows(self, transport: asyncio.Transport) -> bool:
        return peer_uid(transport.get_extra_info("socket")) in (os.getuid(), 0)


async def serve_unix(
    path: Path,
    me: Identity,
    on_link: Callable[[Link], None],
    *,
    expects: str,
    limits: Limits = USUAL,
    listener: socket.socket | None = None,
) -> UnixServer:
    """Serve a UNIX socket of mode 0600 to this user alone; `on_link` gets each new open link.

    Parameters
    ----------
    listener : what `bind_unix` made of the path, if that was done before

    Raises
    ------
    UserError, LocalProtocolError : as `bind_unix`
    """
    door = _UnixDoor(me, on_link, expects=expects, limits=limits)
    server = await asyncio.get_running_loop().create_unix_server(
        door.newcomer, sock=listener or bind_unix(path)
    )
    return UnixServer(path, server)


def bind_unix(path: Path) -> socket.socket:
    """A listening UNIX socket of mode 0600; one that a dead process left is replaced.

    Raises
    ------
    LocalProtocolError : a living process listens there
    UserError : there can be no socket there
    """
    if path.is_socket():
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
            except OSError:
                path.unlink(missing_ok=True)
            else:
                raise LocalProtocolError(f"another process listens on {path}")
    listener = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        hint = f"a socket's path has at most {_MOST_PATH_BYTES} bytes, in a folder that exists"
        raise UserError(f"no socket at {path}: {error.strerror or error}", hint=hint) from error
    finally:
        os.umask(mask)
    listener.listen(_BACKLOG)
    return listener


def peer_uid(connection: socket.socket) -> int:
    """The user at the other end of a UNIX socket."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return _CREDENTIALS.unpack(raw)[1]
