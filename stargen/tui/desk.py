"""Desk: what every page works with."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stargen.errors import UserError
from stargen.status import Status
from stargen.tui.feed import Feed
from stargen.tui.link import Connect, Interest, Live, Question
from stargen.tui.trail import View
from stargen.tui.usage import Usage


@dataclass
class Desk:
    """One viewer of one campaign.

    Parameters
    ----------
    name : of the campaign
    feed : what its journal tells
    connect : how its master is reached; None if only the journal is looked at
    control : whether keys may act
    """

    name: str
    feed: Feed
    connect: Connect | None = None
    control: bool = False
    wall: Callable[[], float] = time.time
    usage: Usage = field(default_factory=Usage)
    interest: Interest = field(default_factory=Interest)
    """What the page that is seen asks of the master."""

    @property
    def view(self) -> View:
        return self.feed.view

    @property
    def status(self) -> Status:
        return self.feed.view.status

    @property
    def journal(self) -> Path:
        return self.feed.journal

    @property
    def now(self) -> float:
        return self.feed.now

    @property
    def live(self) -> Live | None:
        """What the master says, while the present is shown."""
        return None if self.feed.is_past else self.feed.master

    def question(self) -> Question:
        """What the master is asked next."""
        nodes, task, whole = self.interest
        return Question(nodes, task, *self.feed.glance_wanted(whole))

    def heard(self, live: Live | None) -> None:
        """The master has said something, or is gone (None)."""
        self.feed.heard(live)
        if live is not None:
            self.usage.take(live.loads, live.fresh)

    def load_of(self, node: str) -> dict[str, Any] | None:
        return self.live.loads.get(node) if self.live is not None else None

    def explain(self, target: str) -> list[str]:
        """Why a job or task waits; UserError if nobody can tell. May take a while."""
        if self.connect is None:
            raise UserError("only a running master can explain what waits")
        with self.connect() as master:
            return master.explain(target)

    def ask(self, action: str, target: str) -> None:
        """Have the master do something; UserError if it cannot. May take a while."""
        if self.connect is None:
            raise UserError("there is no master to ask")
        with self.connect() as master:
            master.ask(action, target)
