"""`stargen plugins`, and the commands that plugins bring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from stargen.cli.words import AsJson, show_json, table_lines, terminal_width
from stargen.errors import UserError

if TYPE_CHECKING:
    from stargen.calculators.contract import CalculatorInfo
    from stargen.calculators.registry import Announced, Registry


class Row(NamedTuple):
    """One plugin as it is listed."""

    kind: str
    name: str
    distribution: str
    version: str
    api: str
    state: str
    summary: str = ""
    problem: str = ""


def plugins(
    check: Annotated[
        bool, typer.Option("--check", help="Load each one, and try every calculator.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List calculators, launchers, sinks and commands: where they come from, whether they work.

    With --check each calculator runs on a few crystals, and breaks of the contract are shown.
    """
    from stargen.calculators.registry import GROUPS, Registry

    registry = Registry.installed()
    rows = [_row(registry, each, check) for group in GROUPS for each in registry.listing(group)]
    if as_json:
        show_json([row._asdict() for row in rows])
    else:
        _show(sorted(rows, key=lambda row: (row.distribution, row.kind, row.name)))
    if any(row.problem for row in rows):
        raise typer.Exit(1)


def _show(rows: Sequence[Row]) -> None:
    """A table with a line before the rows of each distribution, and what is wrong after it."""
    lines = table_lines(
        ["  name", "kind", ">api", "state", "summary"],
        [[f"  {row.name}", row.kind, row.api, row.state, row.summary] for row in rows],
        terminal_width(),
    )
    above = ""
    for number, line in lines:
        title = f"{rows[number - 1].distribution} {rows[number - 1].version}" if number else above
        if title != above:
            typer.secho(title, bold=True)
            above = title
        typer.secho(line, bold=number == 0)
    for row in rows:
        if row.problem:
            typer.secho(f"\n{row.name}: {row.problem}", fg="red")


def _row(registry: Registry, each: Announced, check: bool) -> Row:
    known = each.group.removesuffix("s"), each.name, each.distribution, each.version
    try:
        if each.group != "calculators":
            registry.load(each.group, each.name)
            return Row(*known, "", "ready")
        info = registry.calculator(each.name)
    except UserError as error:
        return Row(*known, "", "broken", problem=str(error))
    if not check:
        return Row(*known, str(info.api), "ready", info.summary)
    state, problem = _try(info)
    return Row(*known, str(info.api), state, info.summary, problem)


def _try(info: CalculatorInfo) -> tuple[str, str]:
    """How a calculator did when it was tried, and in what it breaks the contract."""
    from stargen.calculators.conformance import check

    try:
        info.params()
    except TypeError:
        return "not tried", ""  # it needs parameters that nobody here can guess
    flaws = check(info)
    if not flaws:
        return "sound", ""
    return "unsound", "; ".join(f"{flaw.rule}: {flaw.problem}" for flaw in flaws)


def add_commands(app: typer.Typer) -> None:
    """Let each plugin's command stand beside our own; it is imported when it is called."""
    from stargen.calculators.registry import Registry

    registry = Registry.installed()
    for name in dict.fromkeys(each.name for each in registry.listing("commands")):
        app.command(
            name,
            rich_help_panel="From plugins",
            help=f"See `stargen {name} --help`.",
            add_help_option=False,
            context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        )(_handing_on(registry, name))


def _handing_on(registry: Registry, name: str) -> Any:
    def command(context: typer.Context) -> None:
        registry.load("commands", name)(args=context.args, prog_name=f"stargen {name}")

    return command
