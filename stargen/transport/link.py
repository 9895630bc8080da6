"""Link: messages over a byte stream that may be cut, for asyncio.

A Link joins a `Session` to whatever asyncio transport carries it now. Sending is buffered and
written once per turn of the event loop, so messages sent in one turn share a system call and a
lonely one leaves at once. After a cut, the side that connected opens another stream for the same
session while `resume_s` lasts; the other side waits as long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn, cast

from stargen.errors import HandshakeRefused, LinkLost, RemoteProtocolError
from stargen.transport.frames import FrameReader
from stargen.transport.greeting import Hello
from stargen.transport.session import Session, State

Reconnect = Callable[["Link"], Awaitable[None]]
"""Connects a new `Stream(link)` and calls `link.greet`; LinkLost if there is no use in trying."""

_WRITE_AHEAD = 1024 * 1024
_READ_AHEAD = 32 * 1024 * 1024
_FIRST_RETRY_S, _LONGEST_RETRY_S = 0.05, 1.0


class Stream(asyncio.Protocol):
    """One byte stream under a link: asyncio's callbacks, passed on while it is the current one."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.transport: asyncio.Transport
        self.writable = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=_WRITE_AHEAD)

    def data_received(self, data: bytes) -> None:
        self._link.arrived(self, data)

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        self._link.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._link.stream_ended(self, exc)


class Link:
    """Messages to and from one other side; made by stargen.transport.local and .ssh."""

    def __init__(self, session: Session, reconnect: Reconnect | None = None) -> None:
        self.session = session
        self._reconnect = reconnect
        self._loop = asyncio.get_running_loop()
        self._stream: Stream | None = None
        self._inbox: list[bytes] = []
        self._inbox_bytes = 0
        self._reading_paused = False
        self._flush_due = False
        self._lost: Exception | None = None
        self._ended = asyncio.Event()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._waiter: asyncio.Future[None] | None = None
        self._hear: Callable[[list[bytes]], None] | None = None
        self._drained: asyncio.Event = asyncio.Event()
        self._mending: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closing: str | None = None

    # --- for users ------------------------------------------------------------------------------

    @property
    def peer(self) -> Hello | None:
        """What the other side said of itself."""
        return self.session.hello

    @property
    def buffered(self) -> int:
        """Bytes that the operating system has not taken yet."""
        stream = self._stream
        return self.session.buffered + (stream.transport.get_write_buffer_size() if stream else 0)

    @property
    def lost(self) -> Exception | None:
        """Why the link is over, or None while it lives."""
        return self._lost

    def send(self, payload: bytes) -> None:
        """Queue a message; it is written in this turn of the loop if the stream takes it.

        On a lost link it is dropped: `receive` tells of the loss.
        """
        self.post(payload)
        if self._lost is None and not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self.flush)

    def post(self, payload: bytes) -> None:
        """Queue a message for the next `flush`, which is up to the caller.

        A lonely message that is sent and then flushed costs the loop another turn, which finds
        nothing to do: a tenth of the way from an order to its result.
        """
        if self._lost is None:
            self.session.send(payload)

    @property
    def silent_s(self) -> float:
        """For how long the other side has given no sign of life."""
        return self._loop.time() - self.session.heard_at

    async def drain(self) -> None:
        """Wait until the stream has taken everything, but for a last megabyte; or it is lost."""
        while self.session.buffered and self._lost is None:
            self._drained.clear()
            await self._drained.wait()

    async def receive(self) -> list[bytes]:
        """Every message that has arrived since the last call; waits for at least one.

        Raises
        ------
        LinkLost : the link is over; what came before has been returned
        RemoteProtocolError : it is over because the other side broke the protocol
        """
        while not self._inbox:
            if self._lost is not None:
                raise self._lost
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._empty_inbox()

    async def listen(self, hear: Callable[[list[bytes]], None]) -> NoReturn:
        """Pass on what arrives at once, not a turn of the loop later as `receive` does.

        Raises
        ------
        LinkLost, RemoteProtocolError : as `receive`
        Exception : what `hear` raised; the link is over then
        """
        if self._inbox:
            hear(self._empty_inbox())
        self._hear = hear
        try:
            await self._ended.wait()
        finally:
            self._hear = None
        assert self._lost is not None
        raise self._lost

    def _empty_inbox(self) -> list[bytes]:
        messages, self._inbox, self._inbox_bytes = self._inbox, [], 0
        if self._reading_paused and self._stream is not None:
            self._reading_paused = False
            self._stream.transport.resume_reading()
        return messages

    async def close(self, reason: str = "closed") -> None:
        """Write what is buffered, say goodbye, end. A second call waits for the first."""
        if self._lost is None and self._closing is None:
            self._closing = reason
            self.session.close(reason)
            if self.session.state is State.IDLE:
                self._lose(LinkLost(reason, node=self.session.peer))
            self.flush()
        try:
            async with asyncio.timeout(self.session.limits.timeout_s):
                await self._ended.wait()
        except TimeoutError:
            self._lose(LinkLost(reason, node=self.session.peer))

    async def wait_lost(self) -> None:
        """Until the link is over; `receive` may be waited for by somebody else."""
        await self._ended.wait()

    async def wait_open(self, timeout_s: float) -> None:
        """Until the greeting has been answered; HandshakeRefused or LinkLost if it is not."""
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.shield(self._opened)
        except TimeoutError as error:
            said = f"; it said: {self.session.noise[:200]!r}" if self.session.noise else ""
            self._lose(LinkLost(f"no answer in {timeout_s:g} s{said}", node=self.session.peer))
            raise LinkLost(f"no answer in {timeout_s:g} s{said}", node=self.session.peer) from error

    # --- for those who open streams -------------------------------------------------------------

    def greet(self, stream: Stream) -> None:
        """The initiator's stream is connected."""
        self.session.greet(self._loop.time())
        self._use(stream)

    def welcome(self, stream: Stream, hello: Hello, reader: FrameReader) -> None:
        """The acceptor has read a greeting from this stream."""
        self.session.welcome(hello, reader, self._loop.time())
        self._use(stream)
        self._open()

    def _use(self, stream: Stream) -> None:
        old, self._stream = self._stream, stream
        if old is not None:
            old.transport.abort()
        self._reading_paused = False
        if self._timer is None and self.session.limits.heartbeat_s > 0:
            self._timer = self._loop.call_later(self.session.limits.heartbeat_s / 2, self._tick)
        self.flush()

    def _open(self) -> None:
        if not self._opened.done():
            self._opened.set_result(None)
        self.flush()

    # --- what streams tell ----------------------------------------------------------------------

    def arrived(self, stream: Stream, data: bytes) -> None:
        """Bytes came."""
        if stream is not self._stream:
            return
        session = self.session
        greeting = session.state is State.GREETING
        try:
            messages = session.receive(data, self._loop.time())
        except RemoteProtocolError as error:
            self._lose(error)
            return
        except HandshakeRefused as error:
            opened = self._opened.done()
            self._lose(LinkLost(error.problem, node=session.peer) if opened else error)
            return
        if messages and self._hear is not None:
            try:
                self._hear(messages)
            except Exception as error:  # `listen` raises it
                self._lose(error)
                return
        elif messages:
            self._keep(messages, stream)
        if session.state is State.CLOSED:
            self._lose(LinkLost(f"closed: {session.closed_because}", node=session.peer))
        elif greeting and session.state is State.OPEN:
            self._open()
        elif not self._flush_due and session.wants_to_speak:
            self.flush()

    def _keep(self, messages: list[bytes], stream: Stream) -> None:
        self._inbox.extend(messages)
        self._inbox_bytes += sum(map(len, messages))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        if self._inbox_bytes > _READ_AHEAD and not self._reading_paused:
            self._reading_paused = True
            stream.transport.pause_reading()

    def stream_ended(self, stream: Stream, exc: Exception | None) -> None:
        """The stream is gone."""
        if stream is not self._stream:
            return
        self._stream = None
        session = self.session
        noise = session.noise
        opened = session.hello is not None
        session.cut()
        why = str(exc) if exc else "the stream ended"
        if self._closing is not None or session.state is State.CLOSED or not opened:
            said = f"; it said: {noise[:200]!r}" if noise and not opened else ""
            self._lose(LinkLost((self._closing or why) + said, node=session.peer))
        elif not session.resumable:
            self._lose(LinkLost(why, node=session.peer))
        elif self._mending is None:
            self._mending = self._loop.create_task(self._mend(why))

    def flush(self) -> None:
        """Write what the session has to say, as far as the stream takes it."""
        self._flush_due = False
        stream, session = self._stream, self.session
        if stream is None or self._lost is not None:
            return
        while stream.writable and session.wants_to_speak:
            data = session.take(self._loop.time())
            if not data:
                break
            stream.transport.write(data)
        if session.state is State.CLOSED and self._closing is not None:
            stream.transport.close()
        self._drained.set()

    # --- time and ends --------------------------------------------------------------------------

    def _tick(self) -> None:
        session, now = self.session, self._loop.time()
        self._timer = self._loop.call_later(session.limits.heartbeat_s / 2, self._tick)
        if self._reading_paused:
            session.still_listening(now)
        try:
            session.tick(now)
        except LinkLost as silence:
            stream = self._stream
            if stream is not None:
                stream.transport.abort()
                self.stream_ended(stream, silence)
            return
        self.flush()

    async def _mend(self, why: str) -> None:
        """After a cut: connect again, or as the acceptor wait for the other side to do so."""
        pause_s = _FIRST_RETRY_S
        try:
            async with asyncio.timeout(self.session.resume_s):
                while self._stream is None or self.session.state is not State.OPEN:
                    if self._reconnect is not None and self._stream is None:
                        await self._reconnect(self)
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, _LONGEST_RETRY_S)
        except TimeoutError:
            self._lose(LinkLost(why, node=self.session.peer))
        except LinkLost as error:
            self._lose(error)
        finally:
            self._mending = None

    def _lose(self, error: Exception) -> None:
        if self._lost is not None:
            return
        self._lost = error
        if self._timer is not None:
            self._timer.cancel()
        if self._mending is not None and self._mending is not asyncio.current_task():
            self._mending.cancel()
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.transport.abort()
        if not self._opened.done():
            self._opened.set_exception(error)
            self._opened.exception()  # seen, whether or not anyone waits
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        self._drained.set()
        self._ended.set()
