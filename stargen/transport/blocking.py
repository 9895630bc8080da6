"""BlockingLink: the same session over a socket, for a process that has no event loop.

A worker's main thread computes; between computations it reads what has come and writes what is
done. There is no heartbeat and no resumption: a socket pair lives exactly as long as both ends.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterable

from stargen.errors import HandshakeRefused, LinkLost, LocalProtocolError
from stargen.transport.greeting import Doorman, Hello, Identity, refusal
from stargen.transport.session import SOCKET_PAIR, Session, State

_READ_SIZE = 256 * 1024


class BlockingLink:
    """The accepting end of a socket pair; the other end is `local.connect_socket`'s.

    One thread may receive while another sends.
    """

    def __init__(self, connection: socket.socket, me: Identity, *, expects: str) -> None:
        connection.setblocking(True)
        self._socket = connection
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._me = me
        self._expects = expects
        self._session: Session | None = None

    def accept(self) -> Hello:
        """Wait for the greeting and answer it.

        Raises
        ------
        HandshakeRefused : the two sides will not talk to each other
        LinkLost : the other end is closed
        """
        doorman = Doorman(self._me, self._expects)
        hello = None
        while hello is None:
            try:
                hello = doorman.feed(self._read())
            except HandshakeRefused as error:
                self._socket.sendall(refusal(error.problem))
                raise
        session = Session(
            self._me,
            expects=self._expects,
            session_id=hello.session,
            peer=hello.name or hello.role,
            limits=SOCKET_PAIR,
        )
        session.welcome(hello, doorman.reader, time.monotonic())
        self._session = session
        self._write(session)
        return hello

    def send(self, payload: bytes) -> None:
        """Write one message; returns when the operating system has it."""
        self.send_all((payload,))

    def send_all(self, payloads: Iterable[bytes]) -> None:
        """Write several messages at once."""
        session = self._open()
        for payload in payloads:
            session.send(payload)
        self._write(session)

    def receive(self, timeout_s: float | None = None) -> list[bytes]:
        """Every message that has arrived.

        Waits for the first one at most `timeout_s` seconds (None: for ever; 0: not at all) and
        returns an empty list after that.

        Raises
        ------
        LinkLost : the other end is closed
        RemoteProtocolError : it broke the protocol
        """
        session = self._open()
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if left is not None and not self._poll.poll(left * 1000):
                return []
            messages = session.receive(self._read(), 0.0)
            if messages:
                return messages
            if session.state is State.CLOSED:
                raise LinkLost(f"closed: {session.closed_because}", node=session.peer)

    def close(self) -> None:
        self._socket.close()

    def fileno(self) -> int:
        """For `select`: readable when `receive` has something to do."""
        return self._socket.fileno()

    def _open(self) -> Session:
        if self._session is None:
            raise LocalProtocolError("accept the greeting first")
        return self._session

    def _write(self, session: Session) -> None:
        try:
            while data := session.take(0.0):
                self._socket.sendall(data)
        except OSError as error:
            raise LinkLost(str(error), node=session.peer) from error

    def _read(self) -> bytes:
        try:
            data = self._socket.recv(_READ_SIZE)
        except OSError as error:
            raise LinkLost(str(error), node=self._expects) from error
        if not data:
            raise LinkLost("the other end is closed", node=self._expects)
        return data
