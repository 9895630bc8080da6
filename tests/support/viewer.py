"""Dashboards for tests: no terminal, no clock of their own."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from support.shown import SECONDS, START, ToldMaster
from textual.pilot import Pilot
from textual.worker import WorkerCancelled

from stargen.store import CampaignFolder
from stargen.tui.app import Dashboard
from stargen.tui.desk import Desk
from stargen.tui.feed import Feed
from stargen.tui.link import Live
from stargen.tui.themes import DARK


def dashboard(
    folder: CampaignFolder,
    *,
    master: ToldMaster | None = None,
    control: bool = False,
    **options: Any,
) -> Dashboard:
    """Of a campaign that stands still a second after its last record; a master is not asked."""
    feed = Feed(folder.journal, follow=False, wall=lambda: START + SECONDS + 1)
    desk = Desk("li-oxides", feed, master.connect if master else None, control=control)
    app = Dashboard(desk, theme=DARK, **options)
    app.animation_level = "none"
    return app


@asynccontextmanager
async def seen(
    app: Dashboard, size: tuple[int, int] = (80, 24), *, loads: bool = True
) -> AsyncIterator[Pilot[None]]:
    """The dashboard when it has read everything; `loads` as if a master had told them."""
    link, app._link = app._link, None
    async with app.run_test(size=size) as pilot:
        await settled(pilot)
        if loads:
            live, master = Live(), ToldMaster()
            for _ in range(90):
                master.move()
                live = live.then(copy.deepcopy(master.look()))
                app.desk.heard(live)
        app._refresh_page()
        await settled(pilot)
        yield pilot
    app._link = link


async def told(pilot: Pilot[None], app: Dashboard) -> None:
    """A master tells what the page that is seen is interested in."""
    master = ToldMaster()
    master.learn(app.desk.view, app.desk.now)
    live = app.desk.live or Live()
    app.desk.heard(live.then(master.look(0.0, *app.desk.question())))
    app._refresh_page()
    await settled(pilot)


async def settled(pilot: Pilot[None]) -> None:
    """Until nothing is read any more and everything is drawn."""
    for _ in range(2):
        await pilot.pause()
        for worker in list(pilot.app.workers):
            with suppress(WorkerCancelled):  # another took its place
                await asyncio.wait_for(worker.wait(), 30)
    await pilot.pause()


async def press(pilot: Pilot[None], *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        await settled(pilot)


def text(app: Dashboard) -> str:
    """What is on the screen."""
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in strips)
