"""How the command line speaks: errors, tables and JSON."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

_GAP = "  "
_LEAST_ROOM = 24
"""Text in a narrower column is not read easily."""


def fail(text: str) -> None:
    """An error message."""
    typer.secho("error: ", fg="red", bold=True, nl=False, err=True)
    typer.echo(text, err=True)


def show_json(value: Any) -> None:
    """A value for programs."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns as wide as they must be; those whose heading begins with > are set to the right."""
    for number, line in table_lines(headings, rows, terminal_width()):
        typer.secho(line, bold=number == 0)


def terminal_width() -> int | None:
    """Characters of a line on the screen; None where the output goes elsewhere."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table_lines(
    headings: Sequence[str], rows: Iterable[Sequence[str]], width: int | None
) -> Iterator[tuple[int, str]]:
    """A table as (number of the row, 0 for the headings; line of text).

    Where it is wider than `width`, the text of its last column is folded: in its column if there
    is room, else into lines of its own.
    """
    titles = [heading.lstrip(">") for heading in headings]
    table = [titles, *map(list, rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    used = sum(widths[:-1]) + len(_GAP) * (len(widths) - 1)
    room = widths[-1] if width is None or used + widths[-1] <= width else width - used
    for number, row in enumerate(table):
        cells = [
            cell.rjust(size) if heading.startswith(">") else cell.ljust(size)
            for cell, size, heading in zip(row[:-1], widths[:-1], headings[:-1], strict=True)
        ]
        head = "".join(f"{cell}{_GAP}" for cell in cells)
        if headings[-1].startswith(">"):
            yield number, head + row[-1].rjust(widths[-1])
        elif room >= min(widths[-1], _LEAST_ROOM):
            first, *more = textwrap.wrap(row[-1], room) or [""]
            yield number, (head + first).rstrip()
            yield from ((number, " " * used + line) for line in more)
        else:
            yield number, head.rstrip()
            text = f"{titles[-1]}: {row[-1]}" if number and row[-1] else ""
            folded = textwrap.wrap(text, width or 80, initial_indent="  ", subsequent_indent="    ")
            yield from ((number, line) for line in folded)
