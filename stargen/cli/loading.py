"""Reading the two files together, so that everything wrong with both is shown at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeVar

import typer

from stargen.errors import CampaignError, Problems, UserError

if TYPE_CHECKING:
    from stargen.config import Settings
    from stargen.scheduling.plan import Plan

T = TypeVar("T")

CampaignFile = Annotated[Path, typer.Argument(metavar="FILE", help="The campaign file.")]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="Site file, instead of ./stargen.toml.", show_default=False),
]


class Loaded(NamedTuple):
    """What the two files say."""

    plan: Plan
    settings: Settings


def load(file: Path, config: Path | None) -> Loaded:
    """The campaign as a plan, and the site's settings.

    Raises
    ------
    UserError, Problems : everything that is wrong with either
    """
    from stargen.config import Settings, load_settings

    problems: list[UserError] = []
    settings = _attempt(lambda: load_settings(config), problems)
    plan = _attempt(lambda: load_plan(file, settings or Settings(), settings is not None), problems)
    if plan is None or settings is None:
        raise problems[0] if len(problems) == 1 else Problems(problems)
    return Loaded(plan, settings)


def load_plan(file: Path, settings: Settings, promised: bool) -> Plan:
    """The plan of a campaign file.

    Parameters
    ----------
    promised : whether the settings say which nodes there will be
    """
    from stargen.calculators.registry import Registry
    from stargen.config import promised_nodes
    from stargen.machine import this_machine
    from stargen.scheduling.organizer import organize
    from stargen.scheduling.parser import draft
    from stargen.toml import read_document

    text = read_document(file, CampaignError).text
    return organize(
        draft(text, file),
        Registry.installed().calculator,
        folder=file.resolve().parent,
        offers=promised_nodes(settings, this_machine()) if promised else None,
    )


def _attempt(load: Callable[[], T], problems: list[UserError]) -> T | None:
    try:
        return load()
    except Problems as several:
        problems += several.problems
    except UserError as error:
        problems.append(error)
    return None
