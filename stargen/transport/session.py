"""The session: what two sides of a link say to each other, without a socket in sight.

Theory of operation. The side that connects (the initiator) writes the marker and HELLO; the other
(the acceptor) answers with the marker and HELLO, or REFUSED with a sentence. Then both send
messages. A message longer than a frame's limit travels as PARTs and a final MESSAGE, so that a
heartbeat fits between any two of them. Frames of messages are numbered by their position, from 0,
in each direction; ACK carries how many have been received, and travels with whatever goes out
next, or alone when a quarter of the sender's window is owed, or at the next heartbeat.

When the byte stream is cut, both sides keep their counters. The initiator opens another stream and
its HELLO names the same session and how many frames it has; the acceptor's HELLO says the same of
its side; each then sends again what the other has not. What is not acknowledged is therefore kept,
at most `window` bytes of it: beyond that frames wait. A side that was started anew does not know
the session and refuses, and the layers above begin again from an inventory. A session whose
`resume_s` is 0 on either side keeps and acknowledges nothing.

Every frame proves life. Who has said nothing for `heartbeat_s` sends PING (or an ACK that is
owed); who has heard nothing for `timeout_s`, or for four of the other's heartbeats if that is
longer, takes the stream for dead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from math import inf

from stargen.errors import HandshakeRefused, LinkLost, LocalProtocolError, RemoteProtocolError
from stargen.transport import frames
from stargen.transport.frames import FrameReader, frame
from stargen.transport.greeting import Hello, Identity, objection


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient and how generous a side is.

    `heartbeat_s` of 0: no heartbeats, no time-out. `part`: bytes of a message in one frame.
    """

    heartbeat_s: float = 5.0
    timeout_s: float = 20.0
    resume_s: float = 10.0
    window: int = 16 * 1024 * 1024
    part: int = frames.MAX_BODY
    max_message: int = 256 * 1024 * 1024


MISSED = 4
"""Heartbeats that must fail to come before silence means death."""
USUAL = Limits()
SOCKET_PAIR = Limits(heartbeat_s=0.0, resume_s=0.0)
"""For two processes whose link ends exactly when one of them does."""


class State(Enum):
    """Where a session stands."""

    IDLE = "no stream yet, or cut"
    GREETING = "said hello, waits for the answer"
    OPEN = "messages flow"
    CLOSED = "over for good"


_NEXT: dict[tuple[State, int], State] = {
    (State.GREETING, frames.HELLO): State.OPEN,
    (State.GREETING, frames.REFUSED): State.CLOSED,
    # (OPEN, MESSAGE) is OPEN too; `receive` knows it by heart because nearly every frame is one.
    (State.OPEN, frames.PART): State.OPEN,
    (State.OPEN, frames.ACK): State.OPEN,
    (State.OPEN, frames.PING): State.OPEN,
    (State.OPEN, frames.CLOSE): State.CLOSED,
}


class Session:
    """One side of a conversation; outlives the byte streams that carry it.

    Parameters
    ----------
    me : who speaks
    expects : the role that the other side must have
    session_id : names the session; chosen at random by the initiator
    peer : the other side's name, for error messages
    """

    def __init__(
        self, me: Identity, *, expects: str, session_id: bytes, peer: str, limits: Limits = USUAL
    ) -> None:
        self.me = me
        self.session_id = session_id
        self.peer = peer
        self.limits = limits
        self.hello: Hello | None = None
        self.resume_s = 0.0
        """How long both sides wait for a new stream after a cut; known from the other's hello."""
        self.resumable = False
        """True if a cut is not the end: both sides keep what is not acknowledged."""
        self.state = State.IDLE
        self.closed_because: str | None = None
        self._expects = expects
        self._reader = FrameReader()
        self._control: list[bytes] = []
        self._waiting: deque[tuple[int, bytes | memoryview]] = deque()
        self._waiting_bytes = 0
        self._unacked: deque[tuple[int, bytes | memoryview]] = deque()
        self._unacked_bytes = 0
        self._acked = 0
        self._received = 0
        self._reported = 0
        self._owed_bytes = 0
        self._parts: list[bytes] = []
        self._parts_bytes = 0
        self._heard_at = self._spoke_at = self._ticked_at = 0.0
        self._handlers: dict[int, Callable[[bytes], None]] = {
            frames.HELLO: self._on_hello,
            frames.REFUSED: self._on_refused,
            frames.PART: self._on_part,
            frames.ACK: self._on_ack,
            frames.PING: lambda body: None,
            frames.CLOSE: self._on_close,
        }

    # --- streams begin and end ------------------------------------------------------------------

    def greet(self, now: float) -> None:
        """As the initiator: a byte stream is there."""
        self._new_stream(FrameReader(), now)
        self.state = State.GREETING
        self._control.append(frames.MARKER + frame(frames.HELLO, self._my_hello().encode()))

    def welcome(self, hello: Hello, reader: FrameReader, now: float) -> None:
        """As the acceptor: a stream whose first frame, already read, was `hello`."""
        self._new_stream(reader, now)
        self._control.append(frames.MARKER + frame(frames.HELLO, self._my_hello().encode()))
        self.state = State.OPEN
        self._meet(hello)

    def cut(self) -> None:
        """The byte stream ended without a word."""
        if self.state is not State.CLOSED:
            self.state = State.IDLE

    def close(self, reason: str) -> None:
        """Say that this is the end; what waits is still to be written."""
        if self.state is State.OPEN:
            self._waiting.append((frames.CLOSE, reason.encode()))

    @property
    def noise(self) -> str:
        """What the stream said before the greeting."""
        return self._reader.noise

    def _new_stream(self, reader: FrameReader, now: float) -> None:
        self._reader = reader
        self._control.clear()
        self._heard_at = self._spoke_at = self._ticked_at = now

    def _my_hello(self) -> Hello:
        return Hello(
            self.me.role,
            self.me.version,
            self.me.protocol,
            campaign_id=self.me.campaign_id,
            name=self.me.name,
            session=self.session_id,
            resumes=self.hello is not None,
            received=self._received,
            resume_s=self.limits.resume_s,
            window=self.limits.window,
            heartbeat_s=self.limits.heartbeat_s,
        )

    def _meet(self, hello: Hello) -> None:
        """Learn what the other side has, and put the rest back to be sent."""
        sent = self._acked + len(self._unacked)
        if not self._acked <= hello.received <= sent:
            raise RemoteProtocolError(
                f"{self.peer} says it has {hello.received} frames; "
                f"{self._acked} were acknowledged, {sent} sent"
            )
        self._acknowledged(hello.received)
        self._waiting.extendleft(reversed(self._unacked))
        self._waiting_bytes += self._unacked_bytes
        self._unacked.clear()
        self._unacked_bytes = 0
        self._reported = self._received
        self.hello = hello
        self.resume_s = min(self.limits.resume_s, hello.resume_s)
        self.resumable = self.resume_s > 0

    # --- outwards -------------------------------------------------------------------------------

    @property
    def buffered(self) -> int:
        """Bytes of messages that wait to be written."""
        return self._waiting_bytes

    def send(self, payload: bytes) -> None:
        """Queue a message."""
        size, most = len(payload), self.limits.part
        if size > self.limits.max_message:
            raise LocalProtocolError(
                f"a message of {size} bytes; the limit is {self.limits.max_message}"
            )
        self._waiting_bytes += size
        if size <= most:
            self._waiting.append((frames.MESSAGE, payload))
            return
        view = memoryview(payload)
        cuts = range(0, size, most)
        self._waiting.extend((frames.PART, view[at : at + most]) for at in cuts[:-1])
        self._waiting.append((frames.MESSAGE, view[cuts[-1] :]))

    @property
    def wants_to_speak(self) -> bool:
        """True if `take` may have something; what is owed but small waits for company."""
        return bool(self._control or self._waiting) or (self.resumable and self._must_ack())

    def take(self, now: float, limit: int = 256 * 1024) -> bytes:
        """Bytes to write now, about `limit` at most; empty if there is nothing to say."""
        if self.state is not State.OPEN:
            out = b"".join(self._control)
            self._control.clear()
            return out
        pieces: list[bytes | memoryview] = []
        size = self._gather(pieces, limit)
        if self.resumable and (self._must_ack() or (size and self._received > self._reported)):
            self._report()
        if not (size or self._control):
            return b""
        self._spoke_at = now
        out = b"".join([*self._control, *pieces])
        self._control.clear()
        return out

    def _gather(self, pieces: list[bytes | memoryview], limit: int) -> int:
        keep = self.resumable
        waiting, pack_header, size = self._waiting, frames.HEADER.pack, 0
        while waiting and size < limit and not (keep and self._unacked_bytes >= self.limits.window):
            item = waiting.popleft()
            kind, body = item
            pieces.append(pack_header(len(body), kind))
            pieces.append(body)
            size += len(body) + frames.HEADER.size
            if kind == frames.CLOSE:
                self.state = State.CLOSED
                break
            self._waiting_bytes -= len(body)
            if keep:
                self._unacked.append(item)
                self._unacked_bytes += len(body)
        return size

    def _must_ack(self) -> bool:
        window = self.hello.window if self.hello else 0
        return self._received > self._reported and self._owed_bytes * 4 >= window

    def _report(self) -> None:
        self._control.append(frame(frames.ACK, self._received.to_bytes(8, "little")))
        self._reported = self._received
        self._owed_bytes = 0

    @property
    def heard_at(self) -> float:
        """When the other side was heard last, if only by a sign of life."""
        return self._heard_at

    # --- inwards --------------------------------------------------------------------------------

    def receive(self, data: bytes, now: float) -> list[bytes]:
        """The messages that `data` completes, in order, each once.

        Raises
        ------
        RemoteProtocolError : the other side breaks the protocol
        HandshakeRefused : one of the sides will not talk to the other
        """
        self._heard_at = now
        messages: list[bytes] = []
        for kind, body in self._reader.feed(data):
            if kind == frames.MESSAGE and self.state is State.OPEN:
                messages.append(self._complete(body) if self._parts else body)
                self._received += 1
                self._owed_bytes += len(body)
                continue
            after = _NEXT.get((self.state, kind))
            if after is None:
                raise RemoteProtocolError(
                    f"{self.peer} sent a frame of kind {kind} while the session is {self.state}"
                )
            self.state = after
            self._handlers[kind](body)
        return messages

    def _complete(self, body: bytes) -> bytes:
        whole = b"".join([*self._parts, body])
        self._parts.clear()
        self._parts_bytes = 0
        return whole

    def _on_part(self, body: bytes) -> None:
        self._parts.append(body)
        self._parts_bytes += len(body)
        self._received += 1
        self._owed_bytes += len(body)
        if self._parts_bytes > self.limits.max_message:
            raise RemoteProtocolError(
                f"{self.peer} sends a message of more than {self.limits.max_message} bytes"
            )

    def _on_hello(self, body: bytes) -> None:
        hello = Hello.decode(body)
        problem = objection(self.me, hello, self._expects)
        if problem is not None:
            self.state = State.CLOSED
            raise HandshakeRefused(problem, node=self.peer)
        self._meet(hello)

    def _on_refused(self, body: bytes) -> None:
        raise HandshakeRefused(body.decode(errors="replace"), node=self.peer)

    def _on_ack(self, body: bytes) -> None:
        count = int.from_bytes(body, "little")
        if not self._acked <= count <= self._acked + len(self._unacked):
            raise RemoteProtocolError(f"{self.peer} acknowledges frame {count}, which is not open")
        self._acknowledged(count)

    def _acknowledged(self, count: int) -> None:
        for _ in range(count - self._acked):
            self._unacked_bytes -= len(self._unacked.popleft()[1])
        self._acked = count

    def _on_close(self, body: bytes) -> None:
        self.closed_because = body.decode(errors="replace")

    # --- time -----------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Call at least twice per heartbeat; queues a sign of life when one is due.

        Raises
        ------
        LinkLost : nothing was heard for too long
        """
        heartbeat_s = self.limits.heartbeat_s
        if heartbeat_s <= 0 or self.state not in (State.OPEN, State.GREETING):
            return
        if now - self._ticked_at > 2 * heartbeat_s:
            # This process itself slept (stopped, suspended, starved): hear what has come first.
            self._heard_at = max(self._heard_at, now - self.limits.timeout_s / 2)
        self._ticked_at = now
        if now - self._heard_at > self._patience_s:
            raise LinkLost(f"silent for {now - self._heard_at:.0f} s", node=self.peer)
        if self.state is State.OPEN and now - self._spoke_at >= heartbeat_s:
            if self.resumable and self._received > self._reported:
                self._report()
            else:
                self._control.append(frame(frames.PING))

    @property
    def _patience_s(self) -> float:
        """How long the other side may be silent, given how often it says that it speaks."""
        if self.hello is None:
            return self.limits.timeout_s
        theirs_s = self.hello.heartbeat_s
        return max(self.limits.timeout_s, MISSED * theirs_s) if theirs_s > 0 else inf

    def still_listening(self, now: float) -> None:
        """Reading is paused on our side: silence is not the other's fault."""
        self._heard_at = now
