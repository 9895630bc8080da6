"""`stargen train NAME` and `stargen eval NAME` hand on to what plugins announce."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer

from stargen.errors import PluginError


def train(args: Sequence[str], prog_name: str) -> Any:
    """`stargen train`: the trainers by name, each imported when it is called."""
    return _app("stargen.trainers", "Train a network.")(args=list(args), prog_name=prog_name)


def evaluate(args: Sequence[str], prog_name: str) -> Any:
    """`stargen eval`: the evaluators by name."""
    app = _app("stargen.evaluators", "Measure a network on data that it has not seen.")
    return app(args=list(args), prog_name=prog_name)


def _app(group: str, help_text: str) -> typer.Typer:
    app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=help_text)
    app.callback()(lambda: None)  # keeps the names apart even where there is only one
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=group):
        found.setdefault(point.name, []).append(point)
    for name, points in sorted(found.items()):
        app.command(
            name,
            help=f"From {points[0].module.partition('.')[0]}.",
            add_help_option=False,
            context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        )(_handing_on(points))
    return app


def _handing_on(points: Sequence[EntryPoint]) -> Callable[[typer.Context], None]:
    def command(context: typer.Context) -> None:
        owners = {point.dist.name for point in points if point.dist is not None}
        if len(owners) > 1:
            raise PluginError(
                f"{points[0].name} is claimed by {' and '.join(sorted(owners))}",
                hint="uninstall one of them",
            )
        points[0].load()(args=context.args, prog_name=context.command_path)

    return command
