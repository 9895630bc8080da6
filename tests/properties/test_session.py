"""Sessions under any chunking, any cut and any garbage."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from stargen.errors import RemoteProtocolError
from stargen.transport.greeting import Doorman, Identity
from stargen.transport.session import Limits, Session

MASTER = Identity("master", "c1", "m")
AGENT = Identity("agent", "c1", "a")
LIMITS = Limits(part=16, window=200)

payloads = st.lists(st.binary(max_size=60), max_size=30)


class Wire:
    """Two sessions and the bytes between them, which arrive in pieces and may be lost in a cut."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.master = Session(MASTER, expects="agent", session_id=b"1", peer="a", limits=LIMITS)
        self.agent = Session(AGENT, expects="master", session_id=b"1", peer="m", limits=LIMITS)
        self.got = {self.master: [], self.agent: []}
        self.connect()

    def connect(self) -> None:
        self.pending = {self.master: b"", self.agent: b""}
        self.doorman = Doorman(AGENT, "master")
        self.met = False
        self.master.greet(0.0)

    def cut(self) -> None:
        self.master.cut()
        self.agent.cut()
        self.connect()

    def step(self) -> bool:
        """Move some bytes; False if none moved."""
        moved = False
        for source, target in ((self.master, self.agent), (self.agent, self.master)):
            if source is self.agent and not self.met:
                continue
            self.pending[target] += source.take(0.0, self.chance.randrange(1, 100))
            data = self.pending[target]
            count = self.chance.randint(0, len(data))
            if data and not count:
                count = 1
            self.pending[target] = data[count:]
            moved |= count > 0
            if count:
                self.deliver(target, data[:count])
        return moved

    def deliver(self, target: Session, data: bytes) -> None:
        if target is self.agent and not self.met:
            hello = self.doorman.feed(data)
            if hello is not None:
                self.met = True
                self.agent.welcome(hello, self.doorman.reader, 0.0)
            return
        self.got[target] += target.receive(data, 0.0)

    def settle(self) -> None:
        idle = 0
        while idle < 2:
            idle = 0 if self.step() else idle + 1


@given(payloads, payloads, st.randoms(use_true_random=False))
def test_any_chunking_gives_the_same_messages(there, back, chance):
    wire = Wire(chance)
    for message in there:
        wire.master.send(message)
    for message in back:
        wire.agent.send(message)
    wire.settle()
    assert wire.got[wire.agent] == there
    assert wire.got[wire.master] == back


@settings(max_examples=200)
@given(payloads, payloads, st.lists(st.integers(0, 60), max_size=6), st.randoms())
def test_cuts_lose_nothing_and_double_nothing(there, back, cuts, chance):
    wire = Wire(chance)
    there_left, back_left = list(reversed(there)), list(reversed(back))
    for steps in cuts:
        for _ in range(steps):
            if there_left and chance.random() < 0.5:
                wire.master.send(there_left.pop())
            if back_left and chance.random() < 0.5:
                wire.agent.send(back_left.pop())
            wire.step()
        wire.cut()
    for message in reversed(there_left):
        wire.master.send(message)
    for message in reversed(back_left):
        wire.agent.send(message)
    wire.settle()
    assert wire.got[wire.agent] == there
    assert wire.got[wire.master] == back


@given(st.binary(max_size=300), st.booleans())
def test_garbage_is_an_error_or_waited_on_and_never_a_message(garbage, greeted):
    session = Session(MASTER, expects="agent", session_id=b"1", peer="a", limits=LIMITS)
    session.greet(0.0)
    if greeted:
        agent = Session(AGENT, expects="master", session_id=b"1", peer="m", limits=LIMITS)
        doorman = Doorman(AGENT, "master")
        agent.welcome(doorman.feed(session.take(0.0)), doorman.reader, 0.0)
        session.receive(agent.take(0.0), 0.0)
        garbage = b"\xff\xff\xff\xff" + garbage
    try:
        assert session.receive(garbage, 0.0) == []
    except RemoteProtocolError:
        return
    assert not greeted or len(garbage) < 5
