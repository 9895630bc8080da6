"""How the command line speaks: errors, tables, numbers and times."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


_PACES = (("s", 1), ("min", 60), ("h", 3600))


def fail(text: str) -> None:
    """An error message."""
    typer.secho("error: ", fg="red", bold=True, nl=False, err=True)
    typer.echo(text, err=True)


def show_json(value: Any) -> None:
    """A value for programs."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns as wide as they must be; those whose heading begins with > are set to the right."""
    titles = [heading.lstrip(">") for heading in headings]
    lines = [titles, *map(list, rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    for number, line in enumerate(lines):
        cells = [
            cell.rjust(width) if heading.startswith(">") else cell.ljust(width)
            for cell, width, heading in zip(line, widths, headings, strict=True)
        ]
        typer.secho("  ".join(cells).rstrip(), bold=number == 0)


def count(number: float) -> str:
    """A count with its thousands apart: 1,234,567."""
    return f"{number:,.0f}"


def rate(per_s: float) -> str:
    """So many a second, minute or hour, whichever reads well."""
    if per_s <= 0:
        return "-"
    unit, factor = next((u, f) for u, f in _PACES if per_s * f >= 1 or u == "h")
    pace = per_s * factor
    return f"{pace:,.0f}/{unit}" if pace >= 100 else f"{pace:.2g}/{unit}"


def clock(at: float) -> str:
    """The time of day here, from seconds since the epoch."""
    from datetime import datetime

    return datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S")


def duration(seconds: float) -> str:
    """About how long: 12 s, 3 min 20 s, 5 h 3 min, 2 d 4 h."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    for unit, small, size, part in (("d", "h", 86400, 3600), ("h", "min", 3600, 60)):
        if seconds >= size:
            rest = int(seconds % size // part)
            return f"{int(seconds // size)} {unit}" + (f" {rest} {small}" if rest else "")
    rest = int(seconds % 60)
    return f"{int(seconds // 60)} min" + (f" {rest} s" if rest else "")
