"""Who is there, and whether we talk: the first frame of either side of a link."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from stargen.codec import pack, unpack
from stargen.errors import HandshakeRefused, RemoteProtocolError
from stargen.messages import PROTOCOL
from stargen.transport import frames
from stargen.transport.frames import FrameReader, frame
from stargen.version import __version__


@dataclass(frozen=True, slots=True)
class Identity:
    """Who speaks. `name` is for people; an empty `campaign_id` fits any."""

    role: str
    campaign_id: str = ""
    name: str = ""
    version: str = __version__
    protocol: tuple[int, int] = PROTOCOL


@dataclass(frozen=True, slots=True)
class Hello:
    """The first frame of either side.

    `resumes`: this stream continues the session, of which the speaker has `received` frames;
    `resume_s`: how long it waits after a cut; `window`: how many bytes it keeps unacknowledged;
    `heartbeat_s`: how long it is silent at most, 0 for any time.
    """

    role: str
    version: str
    protocol: tuple[int, int]
    campaign_id: str = ""
    name: str = ""
    session: bytes = b""
    resumes: bool = False
    received: int = 0
    resume_s: float = 0.0
    window: int = 0
    heartbeat_s: float = 0.0

    def encode(self) -> bytes:
        return pack({name: getattr(self, name) for name in _HELLO})

    @classmethod
    def decode(cls, body: bytes) -> Hello:
        """The inverse; fields of other versions are ignored, absent ones have their defaults."""
        try:
            table = unpack(body)
            known: dict[str, Any] = {name: table[name] for name in _HELLO if name in table}
            major, minor = known["protocol"]
            known["protocol"] = (int(major), int(minor))
            return cls(**known)
        except (ValueError, TypeError, KeyError) as error:
            raise RemoteProtocolError(f"not a greeting: {error!r}") from error


_HELLO = tuple(field.name for field in fields(Hello))


def objection(me: Identity, hello: Hello, expects: str) -> str | None:
    """Why `me` cannot talk to the other side, in plain words; None if it can."""
    if hello.protocol[0] != me.protocol[0]:
        mine, theirs = (".".join(map(str, p)) for p in (me.protocol, hello.protocol))
        older = me.role if me.protocol < hello.protocol else hello.role
        return (
            f"the {me.role} (stargen {me.version}) speaks protocol {mine}, the {hello.role} "
            f"(stargen {hello.version}) speaks {theirs}: upgrade stargen at the {older}'s side"
        )
    if hello.role != expects:
        return f"the {me.role} expects a {expects} here, not a {hello.role}"
    if me.campaign_id and hello.campaign_id and me.campaign_id != hello.campaign_id:
        return (
            f"the {me.role} works for campaign {me.campaign_id}, "
            f"the {hello.role} for {hello.campaign_id}"
        )
    return None


class Doorman:
    """The acceptor's first moments: reads a greeting and decides whether to talk."""

    def __init__(self, me: Identity, expects: str) -> None:
        self._me = me
        self._expects = expects
        self.reader = FrameReader()

    def feed(self, data: bytes) -> Hello | None:
        """The greeting once it is complete.

        Raises
        ------
        HandshakeRefused : `refusal` of the sentence is to be written to the other side
        RemoteProtocolError : whatever this is, it is not Star-gen
        """
        came = self.reader.feed(data)
        if not came:
            return None
        kind, body = came[0]
        if kind != frames.HELLO or len(came) > 1:
            raise RemoteProtocolError(f"a frame of kind {kind} where a greeting belongs")
        hello = Hello.decode(body)
        problem = objection(self._me, hello, self._expects)
        if problem is not None:
            raise HandshakeRefused(problem, node=hello.name or hello.role)
        return hello


def refusal(reason: str) -> bytes:
    """What an acceptor writes before it hangs up."""
    return frames.MARKER + frame(frames.REFUSED, reason.encode())
