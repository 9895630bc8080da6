"""What is drawn: lines of pieces of text, each in a named style that the theme colours.

Whatever the dashboard shows is first a list of such lines, made by plain functions; only `Drawn`
knows of the terminal. It sends those lines again that differ from what is on the screen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.color import Color as RichColor
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.color import Color
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

Piece = tuple[str, str]
"""Text and the names of its styles, apart by a space; a later one goes over an earlier one."""

Line = list[Piece]


class Ink(NamedTuple):
    """What a style adds: variables of the theme, if it has them, and whether it is bold."""

    color: str = ""
    background: str = ""
    bold: bool = False

    def made(self, colours: Mapping[str, str]) -> Style:
        """As Rich has it."""
        return Style(
            color=_colour(colours.get(self.color)),
            bgcolor=_colour(colours.get(self.background)),
            bold=self.bold or None,
        )


def _colour(value: str | None) -> RichColor | None:
    return None if value is None else Color.parse(value).rich_color


INKS = {
    "dim": Ink("ink-dim"),
    "bold": Ink(bold=True),
    "title": Ink("ink-title", bold=True),
    "rule": Ink("ink-rule"),
    "good": Ink("ink-good"),
    "warn": Ink("ink-warn"),
    "bad": Ink("ink-bad", bold=True),
    "accent": Ink("ink-accent"),
    "key": Ink("ink-accent", bold=True),
    "cursor": Ink("ink-on-cursor", "ink-cursor", bold=True),
    "tab": Ink("ink-on-accent", "ink-accent", bold=True),
    "past": Ink("ink-on-accent", "ink-warn", bold=True),
    **{f"heat{level}": Ink(f"ink-heat{level}") for level in range(5)},
}


def width_of(line: Line) -> int:
    return sum(cell_len(text) for text, _ in line)


def fitted(line: Line, width: int) -> Line:
    """Filled to so many columns, or cut with an ellipsis."""
    made: Line = []
    room = width
    for text, style in line:
        size = cell_len(text)
        if size > room:
            return _cut(line, width)
        made.append((text, style))
        room -= size
    if room:
        made.append((" " * room, ""))
    return made


def _cut(line: Line, width: int) -> Line:
    text = "".join(text for text, _ in line)
    end = "…" if width and cell_len(text.rstrip()) > width else ""
    made: Line = []
    room = width - len(end)
    for text, style in line:
        size = min(cell_len(text), room)
        made.append((set_cell_size(text, size), style))
        room -= size
        if not room:
            break
    return [*made, (end, made[-1][1])] if end else made


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

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: list[Line] = []
        self._made: dict[str, Style] = {}

    @property
    def has_cursor(self) -> bool:
        """Whether keys go here, also while it is told so: `has_focus` is behind then."""
        return self.is_attached and self.screen.focused is self

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
            return Strip.blank(width, self._inked(""))
        line = fitted(self._lines[y], width)
        return Strip([Segment(text, self._inked(styles)) for text, styles in line], width)

    def _inked(self, names: str) -> Style:
        """Made once: what Textual has to find out for it costs more than all the drawing."""
        found = self._made.get(names)
        if found is None:
            inks = (INKS[name].made(self.app.theme_variables) for name in names.split())
            found = self._made[names] = Style.combine((self.rich_style, *inks))
        return found

    def notify_style_update(self) -> None:
        self._made.clear()
        super().notify_style_update()


def _at(lines: list[Line], y: int) -> Line | None:
    return lines[y] if y < len(lines) else None
