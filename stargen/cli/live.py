"""A running campaign on the screen: a table that changes in place, or plain lines for a log."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Self

import typer

from stargen.cli.tables import JOB_HEADINGS, headline, job_rows, notes
from stargen.cli.words import table_lines
from stargen.quantities import clock, count, rate

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

Picture = dict[str, Any]

_LINE_EVERY_S = 10.0
_SCREEN_EVERY_S = 0.5
"""Drawing takes some milliseconds, and it is the master's own loop that waits for them."""


def view_of(name: str) -> Screen | Lines:
    """The view that fits where the output goes; a context, which leaves the terminal in order."""
    return Screen(name) if sys.stdout.isatty() else Lines(name)


class Screen:
    """The whole picture, in place."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._live: Live | None = None
        self._next_at = 0.0

    def __enter__(self) -> Self:
        from rich.live import Live

        self._live = Live(f"{self._name}: starting", auto_refresh=False, transient=True)
        self._live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def show(self, picture: Picture) -> None:
        if self._live is not None and picture["now"] >= self._next_at:
            self._next_at = picture["now"] + _SCREEN_EVERY_S
            width = self._live.console.width
            self._live.update(render(self._name, picture, width), refresh=True)


class Lines:
    """A line every ten seconds, and one for each thing that happens."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._next_at = 0.0
        self._told_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()

    def show(self, picture: Picture) -> None:
        now = picture["now"]
        self._told_at = self._told_at or now - _LINE_EVERY_S
        for event in picture["events"]:
            if event["at"] > self._told_at:
                typer.echo(f"{clock(event['at'])} {event['text']}")
        self._told_at = max([self._told_at, *(event["at"] for event in picture["events"])])
        if now >= self._next_at:
            self._next_at = now + _LINE_EVERY_S
            parts = [headline(self._name, picture).text, _pace(picture)]
            typer.echo(f"{clock(now)} {'; '.join(filter(None, parts))}")


def _pace(picture: Picture) -> str:
    """The open jobs in a few words; at the end, what is waited for."""
    if picture["state"] != "running":
        behind = [sink for sink in picture.get("sinks", ()) if sink["missing"]]
        return "; ".join(f"{sink['url']} lacks {count(sink['missing'])} records" for sink in behind)
    parts = [
        f"{job['name']} {count(job['in'])} in, {count(job['out'])} out at {rate(job['rate_now'])}"
        for job in picture["jobs"]
        if job["state"] == "open" and (job["in"] or job["tasks"]["running"])
    ]
    return "; ".join(parts) or "nothing runs yet"


def render(name: str, picture: Picture, width: int) -> RenderableType:
    """A picture for a terminal of so many columns."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    head = headline(name, picture)
    # Nobody knows how far it is as long as a job has no pace: the bar only shows that it runs.
    bar = ProgressBar(
        total=None if head.share is None else 1.0,
        completed=head.share or 0.0,
        pulse=head.share is None,
        width=60,
        complete_style="green",
    )
    styles = ["bold", *(_style(job) for job in picture["jobs"])]
    table = table_lines(JOB_HEADINGS, job_rows(picture), width)
    parts: list[RenderableType] = [Text(head.text, style="bold")]
    if picture["state"] == "running":
        parts.append(Padding(bar, 0))  # a bar alone does not end its line
    parts += [Text(line, style=styles[number], no_wrap=True) for number, line in table]
    parts += [Text(note, style="yellow") for note in notes(picture)]
    return Group(*parts)


def _style(job: Picture) -> str:
    return "red" if job["held"] else "dim" if job["state"] != "open" else ""
