"""`stargen init` and `stargen schema`: how people begin to write the two files."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stargen.cli.words import show_json
from stargen.errors import UserError

if TYPE_CHECKING:
    from stargen.calculators.contract import CalculatorInfo

_TEMPLATES = Path(__file__).with_name("templates")


class File(StrEnum):
    """Which of the two files."""

    CAMPAIGN = "campaign"
    SITE = "site"


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where to; made if it is missing.")
    ] = Path(),
) -> None:
    """Write a first campaign.toml and stargen.toml, with comments."""
    from stargen.calculators.registry import Registry

    known = {each.name for each in Registry.installed().listing("calculators")}
    full = {"structures.substitute", "filters.geometry", "filters.unique"} <= known
    campaign = _TEMPLATES / ("materials.toml" if full else "echo.toml")
    targets = {
        folder / "campaign.toml": campaign,
        folder / "stargen.toml": _TEMPLATES / "site.toml",
    }
    for target in targets:
        if target.exists():
            raise UserError(f"{target} is there already", hint="name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for target, template in targets.items():
        target.write_text(template.read_text("utf-8"), "utf-8")
        typer.echo(f"wrote {target}")
    typer.echo(f"next: stargen check {folder / 'campaign.toml'}")


def schema(
    file: Annotated[File, typer.Argument(help="Which file to describe.")] = File.CAMPAIGN,
) -> None:
    """Print the JSON Schema of a file, so that editors complete and check it.

    That of a campaign holds the parameters of the calculators installed here.
    """
    if file is File.SITE:
        from stargen.config import Settings
        from stargen.schema import document_schema

        show_json(document_schema(Settings, "Star-gen site file"))
        return
    from stargen.calculators.registry import Registry
    from stargen.scheduling.campaign_schema import campaign_schema

    registry = Registry.installed()
    infos: list[CalculatorInfo] = []
    for each in registry.listing("calculators"):
        try:
            infos.append(registry.calculator(each.name))
        except UserError as error:
            typer.echo(f"left out: {error}", err=True)
    show_json(campaign_schema(infos))
