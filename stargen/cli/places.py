"""Which campaign a command is about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stargen.errors import CampaignError, UserError

if TYPE_CHECKING:
    from stargen.store import CampaignFolder

CAMPAIGNS = Path("campaigns")
"""Where campaigns' folders are made, in the working directory."""

Campaign = Annotated[
    str | None,
    typer.Option(
        "--campaign",
        "-c",
        metavar="NAME|FOLDER|FILE",
        help="Which campaign; may be left out where there is only one.",
        show_default=False,
    ),
]


def folder_of(name: str) -> Path:
    """Where a campaign of that name lies unless its folder was named."""
    return CAMPAIGNS / name


def find_folder(campaign: str | None) -> CampaignFolder:
    """The folder of a campaign that has been run.

    Raises
    ------
    UserError : if there is none, or which one is meant is not clear
    """
    from stargen.store import CampaignFolder

    if campaign is None:
        return CampaignFolder(_only_one())
    given = Path(campaign)
    places = [given, folder_of(campaign)]
    if given.suffix == ".toml" and given.is_file():
        places = [folder_of(_name_in(given)), given.parent]
    for place in places:
        if _is_campaign(place):
            return CampaignFolder(place)
    raise UserError(
        f"no campaign has been run in {' or '.join(str(place) for place in places)}",
        hint=f"there are: {', '.join(p.name for p in _all_here()) or 'none here'}",
    )


def _only_one() -> Path:
    if _is_campaign(Path()):
        return Path()
    here = _all_here()
    if len(here) == 1:
        return here[0]
    if not here:
        raise UserError(
            f"no campaign has been run here: {CAMPAIGNS}/ is empty",
            hint="run one with `stargen up FILE`, or name its folder with --campaign",
        )
    running = [place for place in here if _is_running(place)]
    if len(running) == 1:
        return running[0]
    raise UserError(
        f"there are several campaigns here: {', '.join(place.name for place in here)}",
        hint=f"name one: --campaign {(running or here)[0].name}",
    )


def _all_here() -> list[Path]:
    return sorted(p for p in CAMPAIGNS.glob("*") if _is_campaign(p))


def _is_campaign(place: Path) -> bool:
    return (place / "journal").is_dir()


def _is_running(place: Path) -> bool:
    from stargen.master.control import ControlClient, NoMaster

    try:
        ControlClient.of(place).close()
    except NoMaster:
        return False
    return True


def _name_in(file: Path) -> str:
    from stargen.scheduling.parser import draft
    from stargen.toml import read_document

    return draft(read_document(file, CampaignError).text, file).campaign.name
