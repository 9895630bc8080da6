"""Two production sessions, and bytes between them that come late, in pieces, or not at all."""

from __future__ import annotations

import random
from collections import deque

from stargen.transport.greeting import Doorman, Identity
from stargen.transport.session import Limits, Session

MASTER = Identity("master", "c", "m")
LIMITS = Limits(heartbeat_s=0.0, part=400, window=6000)
LATE_S = 0.2
"""Mean time that bytes are under way."""


class Wire:
    """Bytes under way in both directions: in order, in pieces, late; lost if it is cut."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._flying: dict[str, deque[tuple[float, bytes]]] = {"agent": deque(), "master": deque()}

    def put(self, to: str, data: bytes, now: float) -> None:
        flying = self._flying[to]
        while data:
            size = self._chance.randint(1, 600)
            earliest = flying[-1][0] if flying else now
            arrives = max(earliest, now + self._chance.expovariate(1 / LATE_S))
            flying.append((arrives, data[:size]))
            data = data[size:]

    def take(self, to: str, now: float) -> list[bytes]:
        flying = self._flying[to]
        came: list[bytes] = []
        while flying and flying[0][0] <= now:
            came.append(flying.popleft()[1])
        return came


class Connection:
    """Two sessions and the wire between them; a new one begins with `Attach`."""

    def __init__(self, chance: random.Random, name: str) -> None:
        self._chance = chance
        me = self._me = Identity("agent", "c", name)
        session = chance.randbytes(8)
        self.master = Session(MASTER, expects="agent", session_id=session, peer=name, limits=LIMITS)
        self.agent = Session(me, expects="master", session_id=session, peer="m", limits=LIMITS)
        self._connect()

    def _connect(self) -> None:
        self._wire = Wire(self._chance)
        self._doorman: Doorman | None = Doorman(self._me, "master")
        self.master.greet(0.0)

    def cut_and_mend(self) -> None:
        """The stream breaks; both sides go on over another one."""
        self.master.cut()
        self.agent.cut()
        self._connect()

    def move(self, now: float) -> tuple[list[bytes], list[bytes]]:
        """Carry bytes; the messages that came to the agent, and to the master."""
        self._wire.put("agent", self.master.take(now), now)
        if self._doorman is None:
            self._wire.put("master", self.agent.take(now), now)
        to_agent: list[bytes] = []
        for data in self._wire.take("agent", now):
            if self._doorman is None:
                to_agent += self.agent.receive(data, now)
            elif (hello := self._doorman.feed(data)) is not None:
                self.agent.welcome(hello, self._doorman.reader, now)
                self._doorman = None
        to_master: list[bytes] = []
        for data in self._wire.take("master", now):
            to_master += self.master.receive(data, now)
        return to_agent, to_master
