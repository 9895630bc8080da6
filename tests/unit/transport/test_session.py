"""What two sessions say to each other, byte by byte."""

from __future__ import annotations

import pytest

from stargen.errors import HandshakeRefused, LinkLost, LocalProtocolError, RemoteProtocolError
from stargen.transport import frames
from stargen.transport.frames import MARKER, frame
from stargen.transport.greeting import Doorman, Hello, Identity, refusal
from stargen.transport.session import USUAL, Limits, Session, State

MASTER = Identity("master", "c1", "m")
AGENT = Identity("agent", "c1", "a")


def session(me=MASTER, expects="agent", limits=USUAL):
    return Session(me, expects=expects, session_id=b"s" * 16, peer="other", limits=limits)


def joined(limits=USUAL):
    """An initiator and an acceptor whose greetings have been exchanged."""
    one, other = session(limits=limits), session(AGENT, "master", limits)
    join(one, other)
    return one, other


def join(one, other, now=0.0):
    one.greet(now)
    doorman = Doorman(other.me, "master")
    other.welcome(doorman.feed(one.take(now)), doorman.reader, now)
    assert one.receive(other.take(now), now) == []


def test_an_acknowledgement_rides_on_the_answer():
    one, other = joined()
    one.send(b"question")
    assert other.receive(one.take(0.0), 0.0) == [b"question"]
    assert other.take(0.0) == b""  # small debts wait
    other.send(b"answer")
    assert one.receive(other.take(0.0), 0.0) == [b"answer"]
    assert not one._unacked
    assert len(other._unacked) == 1


def test_the_window_bounds_what_is_unacknowledged():
    one, other = joined(Limits(window=100))
    for n in range(10):
        one.send(bytes([n]) * 40)
    first = one.take(0.0)
    assert len(first) == 3 * 45  # 120 bytes of messages: the window is passed once
    assert one.take(0.0) == b""
    other.receive(first, 0.0)
    assert other.wants_to_speak
    one.receive(other.take(0.0), 0.0)
    assert one.take(0.0)


def test_without_resumption_nothing_is_kept_or_acknowledged():
    one, other = joined(Limits(resume_s=0.0))
    one.send(b"x" * 1000)
    other.receive(one.take(0.0), 0.0)
    other.send(b"y")
    assert other.take(0.0) == frame(frames.MESSAGE, b"y")
    assert not one._unacked


def test_a_sign_of_life_is_sent_when_nothing_else_was():
    one, other = joined(Limits(heartbeat_s=5.0, timeout_s=20.0))
    one.tick(4.0)
    assert one.take(4.0) == b""
    one.tick(5.0)
    ping = one.take(5.0)
    assert ping == frame(frames.PING)
    other.tick(5.0)
    other.receive(ping, 19.0)
    for now in (10.0, 15.0, 20.0, 25.0, 30.0, 35.0):
        other.tick(now)
    with pytest.raises(LinkLost, match="silent for 21 s"):
        other.tick(40.0)


def test_patience_follows_the_slower_heart():
    one = session(limits=Limits(heartbeat_s=5.0, timeout_s=20.0))
    other = session(AGENT, "master", Limits(heartbeat_s=30.0, timeout_s=120.0))
    join(one, other)
    for now in range(5, 121, 5):
        one.tick(float(now))
    with pytest.raises(LinkLost):
        one.tick(125.0)


def test_who_has_no_heartbeat_is_never_taken_for_dead():
    one = session(limits=Limits(heartbeat_s=5.0, timeout_s=20.0))
    join(one, session(AGENT, "master", Limits(heartbeat_s=0.0)))
    for now in range(5, 1000, 5):
        one.tick(float(now))


def test_a_process_that_slept_listens_before_it_judges():
    _, other = joined(Limits(heartbeat_s=5.0, timeout_s=20.0))
    other.tick(5.0)
    other.tick(3600.0)
    other.tick(3605.0)
    other.tick(3610.0)
    with pytest.raises(LinkLost):
        other.tick(3615.0)


def test_a_message_beyond_the_limit_is_our_fault():
    one, _ = joined(Limits(max_message=10))
    with pytest.raises(LocalProtocolError):
        one.send(bytes(11))


def test_parts_beyond_the_limit_are_theirs():
    one, _ = joined(Limits(max_message=10))
    with pytest.raises(RemoteProtocolError, match="more than 10"):
        one.receive(frame(frames.PART, bytes(11)), 0.0)


@pytest.mark.parametrize(
    "bad",
    [
        frame(99),
        frame(frames.HELLO, b""),
        frame(frames.ACK, (7).to_bytes(8, "little")),
        b"\xff" * 20,
    ],
)
def test_what_must_not_come_ends_the_talk(bad):
    one, _ = joined()
    with pytest.raises(RemoteProtocolError):
        one.receive(bad, 0.0)


def test_a_message_before_the_greeting_is_refused():
    one = session()
    one.greet(0.0)
    with pytest.raises(RemoteProtocolError):
        one.receive(MARKER + frame(frames.MESSAGE, b"x"), 0.0)


def test_a_refusal_is_passed_on_in_its_own_words():
    one = session()
    one.greet(0.0)
    with pytest.raises(HandshakeRefused, match="come back later"):
        one.receive(refusal("come back later"), 0.0)
    assert one.state is State.CLOSED


def test_a_greeting_of_a_later_version_is_understood():
    table = {"role": "agent", "version": "3.0", "protocol": [1, 9], "colour": "green"}
    from stargen.codec import pack

    hello = Hello.decode(pack(table))
    assert hello.protocol == (1, 9)
    assert hello.received == 0


def test_a_greeting_that_claims_frames_never_sent_is_refused():
    one, other = joined()
    one.cut()
    other.cut()
    other._received = 5
    with pytest.raises(RemoteProtocolError, match="has 5 frames"):
        join(one, other)


def test_closing_is_heard():
    one, other = joined()
    one.send(b"last")
    one.close("enough")
    assert other.receive(one.take(0.0), 0.0) == [b"last"]
    assert other.closed_because == "enough"
    assert other.state is State.CLOSED
