"""Where the candidates of a stream lie, and the lanes that divide a job's input.

A stream is what a job puts out: numbered from 0, append-only. Only locations are held, 16 bytes a
candidate, and those that every reader is done with are forgotten.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

from stargen.model import Location
from stargen.scheduling.intervals import IntervalSet

_TRIM_AT = 4096
ENDLESS = 1 << 62
"""The length of a source that has not said where it ends."""


class Stream:
    """Locations of numbered entries."""

    __slots__ = ("_base", "_words")

    def __init__(self) -> None:
        self._base = 0
        self._words = array("Q")  # two words an entry: segment << 32 | size, offset

    @property
    def length(self) -> int:
        """How many entries there are, forgotten ones included."""
        return self._base + len(self._words) // 2

    @property
    def base(self) -> int:
        """The first entry that is still known."""
        return self._base

    def extend(self, segment: int, offset: int, sizes: Sequence[int]) -> None:
        """Entries that lie one after another."""
        words = self._words
        high = segment << 32
        for size in sizes:
            words.append(high | size)
            words.append(offset)
            offset += size

    def append(self, location: Location) -> None:
        self._words.append(location.segment << 32 | location.size)
        self._words.append(location.offset)

    def location(self, position: int) -> Location:
        """Where entry `position` lies; IndexError if it is forgotten or not there yet."""
        index = 2 * (position - self._base)
        if index < 0:
            raise IndexError(f"entry {position} is forgotten")
        head = self._words[index]
        return Location(head >> 32, self._words[index + 1], head & 0xFFFFFFFF)

    def locations(self, lo: int, hi: int) -> list[Location]:
        if hi - lo == 1:
            return [self.location(lo)]
        if lo < self._base:
            raise IndexError(f"entry {lo} is forgotten")
        words = self._words[2 * (lo - self._base) : 2 * (hi - self._base)]
        return [
            Location(words[i] >> 32, words[i + 1], words[i] & 0xFFFFFFFF)
            for i in range(0, len(words), 2)
        ]

    def size(self, position: int) -> int:
        """Bytes of entry `position`."""
        return self._words[2 * (position - self._base)] & 0xFFFFFFFF

    def forget_below(self, floor: int) -> None:
        """Nobody will ask below `floor`; memory is given back in large pieces."""
        drop = floor - self._base
        if drop >= _TRIM_AT and 2 * drop >= self.length - self._base:
            del self._words[: 2 * drop]
            self._base = floor

    def become(self, other: Stream) -> None:
        """Take another stream's entries, keeping this object for those who hold it."""
        self._base, self._words = other._base, other._words

    def state(self) -> list[Any]:
        return [self._base, self._words.tobytes()]

    @classmethod
    def from_state(cls, state: list[Any]) -> Stream:
        made = cls()
        made._base = state[0]
        made._words.frombytes(state[1])
        return made


class Lane:
    """One numbered sequence of a job's input, and how far the job is with it.

    Below `cursor` every position belongs to a task, open or finished.
    """

    __slots__ = ("cursor", "done", "stream")

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.cursor = 0
        self.done = IntervalSet()

    @property
    def length(self) -> int:
        return self.stream.length

    @property
    def waiting(self) -> int:
        """Positions that no task covers yet."""
        return self.length - self.cursor

    @property
    def idle(self) -> bool:
        """True if no task of this lane is open."""
        return self.done.total == self.cursor

    @property
    def complete(self) -> bool:
        return self.done.total == self.length

    def locations(self, lo: int, hi: int) -> list[Location]:
        return self.stream.locations(lo, hi)

    def size(self, position: int) -> int:
        return self.stream.size(position)

    def forget_done(self) -> None:
        """Locations of finished candidates are not asked for again (the lane's own stream)."""
        self.stream.forget_below(self.done.floor)


class OrdinalLane(Lane):
    """A source's lane: bare ordinals, up to `end` if that is known."""

    __slots__ = ("end",)

    def __init__(self, end: int | None) -> None:
        super().__init__(Stream())
        self.end = ENDLESS if end is None else end

    @property
    def length(self) -> int:
        return self.end

    def locations(self, lo: int, hi: int) -> list[Location]:
        return []

    def size(self, position: int) -> int:
        return 0


class KeyedLane(Lane):
    """A partition of a keyed job: its candidates, and the hash of each one's key."""

    __slots__ = ("_keys",)

    def __init__(self) -> None:
        super().__init__(Stream())
        self._keys = array("Q")

    def append(self, location: Location, key: int) -> None:
        self.stream.append(location)
        self._keys.append(key)

    def keys(self, lo: int, hi: int) -> list[int]:
        """The key hashes of [lo, hi), in order, each once."""
        base = self.stream.length - len(self._keys)
        return list(dict.fromkeys(self._keys[lo - base : hi - base]))

    def forget_done(self) -> None:
        """Locations and keys of finished candidates are not asked for again."""
        self.stream.forget_below(self.done.floor)
        surplus = len(self._keys) - (self.stream.length - self.stream.base)
        if surplus > 0:
            del self._keys[:surplus]

    def keys_state(self) -> bytes:
        return self._keys.tobytes()

    def load_keys(self, state: bytes) -> None:
        self._keys = array("Q")
        self._keys.frombytes(state)
