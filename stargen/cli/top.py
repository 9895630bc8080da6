"""`stargen top`: the dashboard, in this terminal or in a browser."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stargen.cli.places import Campaign, find_folder
from stargen.errors import UserError

if TYPE_CHECKING:
    from stargen.store import CampaignFolder
    from stargen.tui.link import Master


def top(
    campaign: Campaign = None,
    replay: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Look at this campaign's journal alone."),
    ] = None,
    control: Annotated[
        bool, typer.Option("--control", help="Let keys act: retry, cancel, hold, drain.")
    ] = False,
    theme: Annotated[
        str | None,
        typer.Option(help="stargen, stargen-light, stargen-safe, stargen-16 or one of Textual's."),
    ] = None,
    ascii_only: Annotated[
        bool, typer.Option("--ascii", help="Draw with ASCII, as where the locale is not UTF-8.")
    ] = False,
    web: Annotated[bool, typer.Option("--web", help="Serve it to browsers on this host.")] = False,
    port: Annotated[int, typer.Option(help="Port for --web.")] = 8000,
) -> None:
    """Look at a campaign as it runs, or as it ran.

    It is a process of its own and reads the journal: ending it ends nothing else. Without a master
    it shows what the journal tells. Press ? for the keys.
    """
    folder = _replayed(replay) if replay is not None else find_folder(campaign)
    if web:
        if control:
            raise UserError("--web only looks", hint="leave --control out")
        _serve(folder, replay is not None, theme, port)
        return
    look_at(folder, live=replay is None, control=control, theme=theme, ascii_only=ascii_only)


def look_at(
    folder: CampaignFolder,
    *,
    live: bool = True,
    control: bool = False,
    theme: str | None = None,
    ascii_only: bool = False,
) -> None:
    """Show the dashboard in this terminal until somebody leaves it."""
    os.environ.setdefault("ESCDELAY", "25")  # ms until an Escape is no start of another key
    from stargen.tui.app import Dashboard
    from stargen.tui.themes import THEMES

    dashboard = Dashboard(_desk(folder, live, control), ascii_only=ascii_only)
    if theme is not None:
        if theme not in dashboard.available_themes:
            names = ", ".join(each.name for each in THEMES)
            raise UserError(f"there is no theme {theme}", hint=f"there are {names}")
        dashboard.theme = theme
    _mind_the_keys()
    dashboard.run()


def _mind_the_keys() -> None:
    """Following the journal must not keep a key waiting.

    The thread that reads gives way soon. Records come in bulk and in no cycles: looking for those
    would cost most.
    """
    import gc

    sys.setswitchinterval(0.001)
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def _desk(folder: CampaignFolder, is_live: bool, control: bool):  # noqa: ANN202 - imported late
    from stargen.cli.looking import name_of
    from stargen.master.control import ControlClient
    from stargen.tui.desk import Desk
    from stargen.tui.feed import Feed

    def connect() -> AbstractContextManager[Master]:
        return ControlClient.of(folder.root)

    feed = Feed(folder.journal, follow=is_live)
    return Desk(name_of(folder), feed, connect if is_live else None, control=control and is_live)


def _replayed(place: Path) -> CampaignFolder:
    """The campaign of a folder, or of the journal's folder in it."""
    from stargen.store import CampaignFolder

    for root in (place, place.parent):
        if (root / "journal").is_dir():
            return CampaignFolder(root)
    raise UserError(f"there is no journal in {place}", hint="name the campaign's folder")


def _serve(folder: CampaignFolder, replayed: bool, theme: str | None, port: int) -> None:
    import shlex

    try:
        from textual_serve.server import Server
    except ImportError as error:
        raise UserError("browsers need textual-serve", hint="pip install 'stargen[web]'") from error

    place = str(folder.root.resolve())
    command = [sys.executable, "-m", "stargen.cli", "top"]
    command += ["--replay", place] if replayed else ["--campaign", place]
    command += ["--theme", theme] if theme else []
    Server(shlex.join(command), host="localhost", port=port, title="stargen top").serve()
