"""What is drawn: lines of pieces of text, each in a named style that the theme colours.

Whatever the dashboard shows is first a list of such lines, made by plain functions; only `Drawn`
knows of the terminal. It sends those lines again that differ from what is on the screen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

Piece = tuple[str, str]
"""Text and the names of its styles, apart by a space; a later one goes over an earlier one."""

Line = list[Piece]

STYLES = {
    "dim": "color: $ink-dim;",
    "bold": "text-style: bold;",
    "title": "color: $ink-title; text-style: bold;",
    "rule": "color: $ink-rule;",
    "good": "color: $ink-good;",
    "warn": "color: $ink-warn;",
    "bad": "color: $ink-bad; text-style: bold;",
    "accent": "color: $ink-accent;",
    "key": "color: $ink-accent; text-style: bold;",
    "cursor": "background: $ink-cursor; text-style: bold;",
    "tab": "background: $ink-accent; color: $ink-on-accent; text-style: bold;",
    "past": "background: $ink-warn; color: $ink-on-accent; text-style: bold;",
    "heat0": "color: $ink-heat0;",
    "heat1": "color: $ink-heat1;",
    "heat2": "color: $ink-heat2;",
    "heat3": "color: $ink-heat3;",
    "heat4": "color: $ink-heat4;",
}


def width_of(line: Line) -> int:
    return sum(cell_len(text) for text, _ in line)


def fitted(line: Line, width: int) -> Line:
    """Cut or filled to so many columns."""
    made: Line = []
    room = width
    for text, style in line:
        size = cell_len(text)
        if size > room:
            made.append((set_cell_size(text, room), style))
            return made
        made.append((text, style))
        room -= size
    if room:
        made.append((" " * room, ""))
    return made


def spread(left: Line, right: Line, width: int) -> Line:
    """One line with one part at each end; the left one gives way."""
    room = max(0, width - width_of(right))
    return [*fitted(left, room), *right]


def joined(parts: Iterable[Line], between: str = "  ") -> Line:
    """Parts one after another."""
    made: Line = []
    for part in parts:
        if made:
            made.append((between, ""))
        made.extend(part)
    return made


def heading(title: str, width: int, note: str = "") -> Line:
    """A panel's first line: its title in a rule."""
    left: Line = [("── ", "rule"), (title, "title"), (" ", "")]
    right: Line = [(f" {note} ", "dim"), ("──", "rule")] if note else []
    rest = max(0, width - width_of(left) - width_of(right))
    return fitted([*left, ("─" * rest, "rule"), *right], width)


def text_of(lines: Sequence[Line]) -> str:
    """Without the styles."""
    return "\n".join("".join(text for text, _ in line).rstrip() for line in lines)


class Drawn(Widget):
    """A widget that is drawn line by line; `draw` says what it looks like at present."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"ink--{name}" for name in STYLES}
    DEFAULT_CSS = "\n".join(f"Drawn .ink--{name} {{ {css} }}" for name, css in STYLES.items())

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: list[Line] = []

    def draw(self, width: int, height: int) -> list[Line]:
        """All lines for this size; missing ones are empty."""
        raise NotImplementedError

    @property
    def text(self) -> str:
        """What it shows, without styles."""
        return text_of(self._lines)

    def redraw(self) -> None:
        """Draw again, and send what has changed."""
        width, height = self.size
        if not width or not height:
            return
        lines = self.draw(width, height)[:height]
        changed = [
            Region(0, y, width, 1) for y in range(height) if _at(lines, y) != _at(self._lines, y)
        ]
        self._lines = lines
        if changed:
            self.refresh(*changed)

    def on_resize(self, event: events.Resize) -> None:
        self._lines = []
        self.redraw()
        self.refresh()

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y >= len(self._lines):
            return Strip.blank(width, self.rich_style)
        line = fitted(self._lines[y], width)
        return Strip([Segment(text, self._inked(styles)) for text, styles in line], width)

    def _inked(self, styles: str) -> Style:
        made = self.rich_style
        for name in styles.split():
            made += self.get_component_rich_style(f"ink--{name}", partial=True)
        return made


def _at(lines: list[Line], y: int) -> Line | None:
    return lines[y] if y < len(lines) else None
