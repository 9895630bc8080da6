"""Feed: what the screens show, now or at the moment somebody travelled to.

Records are read from the journal's files, also while a master writes them: that costs the master
nothing, and goes on when it dies and when it comes back. Where they come faster than a viewer
should read, a running master tells what they add up to: it has folded them by the same function.
Reading and decoding happen in a thread; taking records into a view that is shown happens on the
event loop, so nothing needs a lock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from stargen.codec import unpack
from stargen.errors import JournalCorrupt, JournalError
from stargen.journal import newest_snapshot, read_records
from stargen.records import decode
from stargen.status_forms import thaw
from stargen.tui.history import KeyFrames, Walker, first_moment, view_at
from stargen.tui.leap import Leap
from stargen.tui.link import Live
from stargen.tui.trail import View

_LOOK_EVERY_S = 0.25
_AT_ONCE = 1_000
_FRESH_S = 10.0
_FLOOD = 500.0
"""Records a second that are read at most, if there is a master that can tell the rest."""

_CALM = 250.0
"""Records a second at which reading is taken up again."""

_TRAIL = 20_000
"""Records before a snapshot that are read for the trail alone."""

SPEEDS = (1, 10, 60, 600, 3600)
"""Seconds of the campaign to a step, or to a second of playing."""


class Feed:
    """Follows a journal, and travels in it.

    Parameters
    ----------
    journal : folder of the journal
    follow : whether to look for new records; otherwise the journal is read once
    wall : the time of day
    """

    def __init__(
        self, journal: Path, *, follow: bool = True, wall: Callable[[], float] = time.time
    ) -> None:
        self.journal = journal
        self.live = View()
        self.master: Live | None = None
        self.problem: str | None = None
        self.read_all = False
        self.speed = 10
        self.playing = False
        self._follow = follow
        self._wall = wall
        self._frames = KeyFrames()
        self._past: tuple[View, Walker] | None = None
        self._cursor = 0.0
        self._first: float | None = None
        self._reading = View()
        self._grew_at = 0.0
        self._walker: Walker | None = None
        """Reads what comes; None while a master tells it."""
        self._flood = False
        self._counted = (0, 0.0)
        self._stranded = False
        self._travelling = asyncio.Lock()
        self._lives = 0

    # --- what is shown ----------------------------------------------------------------------------

    @property
    def view(self) -> View:
        return self.live if self._past is None else self._past[0]

    @property
    def is_past(self) -> bool:
        """Whether a former moment is shown."""
        return self._past is not None

    @property
    def records_read(self) -> int:
        """How far the first reading of the journal has come."""
        return self._reading.position

    @property
    def growing(self) -> bool:
        """Whether the journal has got a record just now."""
        return self._wall() - self._grew_at < _FRESH_S

    @property
    def now(self) -> float:
        """The moment that is shown."""
        if self._past is not None:
            return self._cursor
        alive = self.master is not None or (self._follow and self.growing)
        return self._wall() if alive else self.live.status.at

    @property
    def state(self) -> str:
        """State of the campaign at that moment, in a word."""
        state = self.view.status.state
        if state != "running" or self.is_past or self.master is not None:
            return state
        return "running" if self._follow and self.growing else "interrupted"

    # --- following --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Read the journal and, if it is to be followed, go on until cancelled."""
        while True:
            try:
                await self._run_once()
            except JournalCorrupt as error:
                self.problem = str(error)
                return
            except JournalError as error:
                self.problem = f"{error}; reading it again"
                await asyncio.sleep(1.0)
            else:
                return

    async def _run_once(self) -> None:
        await self._begin()
        self.problem = None
        while self._follow:
            await self._go_on()

    async def _begin(self) -> None:
        self._walker = await asyncio.to_thread(self._open)
        self._stranded = False
        self._count()

    async def _go_on(self) -> None:
        """Take in what has come since, or wait for something to come."""
        walker = self._walker
        if walker is None:
            await self._be_told()
            return
        rows = await asyncio.to_thread(walker.some, _AT_ONCE)
        if walker is not self._walker:
            return  # a master has told it meanwhile
        for position, record in rows:
            self.live.take(position, record)
        if rows:
            self._grew_at = self._wall()
            self._count()
            if self._frames.wants(self.live):  # nothing is folded until it is taken
                await asyncio.to_thread(self._frames.offer, self.live)
        if len(rows) < _AT_ONCE:
            await asyncio.sleep(_LOOK_EVERY_S)

    def _open(self) -> Walker:
        """Everything up to now: from the newest snapshot, or from the start."""
        frames = KeyFrames()
        view = _remembered(self.journal)
        self._reading = view
        walker = Walker(self.journal, view.position)
        while rows := walker.some(_AT_ONCE):
            for position, record in rows:
                view.take(position, record)
            frames.offer(view)
        self._frames, self.live = frames, view
        self.read_all = True
        return walker

    # --- leaping ----------------------------------------------------------------------------------

    def glance_wanted(self, whole: bool) -> tuple[str, int]:
        """What a master should tell of its status, and behind which record.

        Parameters
        ----------
        whole : whether somebody looks at all open tasks
        """
        if (self._walker is not None and not self._flood) or not self.read_all:
            return "", 0
        whole = whole or not self._flood or self._frames.wants(self.live, told=True)
        return "whole" if whole else "lean", self.live.position

    def heard(self, live: Live | None) -> None:
        """A master has said something, or is gone (None)."""
        self.master = live
        leap = live.leap if live is not None else None
        if leap is None or (self._walker is not None and not self._flood):
            return
        if leap.glance.since is None or leap.glance.since > self.live.position:
            self._stranded = self._walker is None
        elif leap.glance.position >= self.live.position:
            self._leap(leap)

    def _leap(self, leap: Leap) -> None:
        if leap.glance.position > self.live.position:
            self._grew_at = self._wall()
        else:
            self._flood = False
        self._frames.keep(leap)
        self.live = self.live.leapt(leap)
        self._count()
        self._walker = None
        if leap.glance.whole and not self._flood:
            self._walker = Walker(self.journal, self.live.position)

    async def _be_told(self) -> None:
        """Wait for the master's next word; without one, what was told is not all: read it."""
        if self.master is not None and not self._stranded:
            await asyncio.sleep(_LOOK_EVERY_S)
        else:
            await self._begin()

    def _count(self) -> None:
        """Whether records come in a flood, by the time that they bear."""
        position, at = self._counted
        passed_s = self.live.status.at - at
        if passed_s < 1.0:
            return
        pace = (self.live.position - position) / passed_s
        self._flood = pace > (_CALM if self._flood else _FLOOD)
        self._counted = (self.live.position, self.live.status.at)

    # --- travelling -------------------------------------------------------------------------------

    async def step(self, direction: int) -> None:
        """Go `speed` seconds earlier (-1) or later (1)."""
        await self.go_to((self._cursor if self.is_past else self.now) + direction * self.speed)

    async def play(self, seconds: float) -> None:
        """Let so many seconds pass, at the chosen speed; playing ends where the journal does."""
        await self.go_to(self._cursor + seconds * self.speed)
        if self._cursor >= self.live.status.at:
            self.playing = False

    async def go_to(self, at: float) -> None:
        """Show the campaign as it was at a moment."""
        if self._travelling.locked():
            return  # keys that are pressed while the last one is still at work add nothing
        async with self._travelling:
            lives = self._lives
            if self._first is None:
                self._first = await asyncio.to_thread(first_moment, self.journal)
            at = max(self._first or 0.0, min(at, self.live.status.at))
            past = await self._travelled(at)
            if lives == self._lives:  # nobody has gone back to the present meanwhile
                self._past, self._cursor = past, at

    async def _travelled(self, at: float) -> tuple[View, Walker]:
        past = self._past
        if past is None or at < self._cursor or self._frames.between(past[0].position, at):
            return await asyncio.to_thread(view_at, self.journal, self._frames, at)
        view, walker = past
        for position, record in await asyncio.to_thread(lambda: list(walker.until(at))):
            view.take(position, record)
        return past

    async def go_to_start(self) -> None:
        await self.go_to(0.0)

    def go_live(self) -> None:
        """Show what is now."""
        self._past, self.playing = None, False
        self._lives += 1

    def change_speed(self, direction: int) -> None:
        """The next faster (1) or slower (-1) speed."""
        index = SPEEDS.index(self.speed) + direction
        self.speed = SPEEDS[max(0, min(len(SPEEDS) - 1, index))]

    async def toggle_playing(self) -> None:
        """Begin to play from the moment shown (from the start, if that is the end), or stop."""
        if self.playing:
            self.playing = False
            return
        if not self.is_past:
            await self.go_to_start()
        self.playing = True


def _remembered(journal: Path) -> View:
    """The newest snapshot, and the trail of what happened shortly before it."""
    snapshot, _ = newest_snapshot(journal)
    if snapshot is None:
        return View()
    view = View(thaw(unpack(snapshot.state)[1]), position=snapshot.position)
    for _, body in read_records(journal, max(0, view.position - _TRAIL), view.position):
        view.trail.take(decode(body))
    return view
