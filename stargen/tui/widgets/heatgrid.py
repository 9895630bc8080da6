"""One cell per node: thousands of them at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from stargen.tui.ink import Drawn, Line, heading


class Node(NamedTuple):
    """One cell: the node's name, a mark and its style."""

    name: str
    mark: str
    style: str


class HeatGrid(Drawn, can_focus=True):
    """Cells from left to right and top to bottom, with a cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "move(-1)", "Left", show=False),
        Binding("right", "move(1)", "Right", show=False),
        Binding("up", "climb(-1)", "Up", show=False),
        Binding("down", "climb(1)", "Down", show=False),
        Binding("enter", "open", "Open"),
    ]

    class Opened(Message):
        """Somebody wants to know more about a node."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    class Moved(Message):
        """The cursor is at another node."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.nodes: Sequence[Node] = ()
        self.title = ""
        self.note = ""
        self._cursor = 0
        self._top = 0

    def give(self, nodes: Sequence[Node], title: str, note: str) -> None:
        self.nodes, self.title, self.note = nodes, title, note
        self._cursor = max(0, min(self._cursor, len(nodes) - 1))
        self.redraw()

    @property
    def name_here(self) -> str | None:
        return self.nodes[self._cursor].name if self.nodes else None

    @property
    def _step(self) -> int:
        """Columns to a cell: few nodes get more room."""
        return 2 if len(self.nodes) * 2 <= max(1, self.size.width - 2) * 8 else 1

    @property
    def _in_a_row(self) -> int:
        return max(1, (self.size.width - 2) // self._step)

    def rows_needed(self) -> int:
        """Lines it takes to show every node, with the heading."""
        return 1 + -(-len(self.nodes) // self._in_a_row)

    def draw(self, width: int, height: int) -> list[Line]:
        lines = [heading(self.title, width, self.note)]
        wide, gap = self._in_a_row, " " * (self._step - 1)
        room = max(1, height - 1)
        here = self._cursor // wide
        self._top = max(min(self._top, here), here - room + 1)
        for row in range(self._top, self._top + room):
            line: Line = [(" ", "")]
            for place in range(row * wide, min(len(self.nodes), (row + 1) * wide)):
                node = self.nodes[place]
                marked = place == self._cursor and self.has_cursor
                line.append((node.mark, f"{node.style} tab" if marked else node.style))
                line.append((gap, ""))
            lines.append(_merged(line))
        return lines

    def on_focus(self) -> None:
        self.redraw()

    def on_blur(self) -> None:
        self.redraw()

    def action_move(self, by: int) -> None:
        self._cursor = max(0, min(len(self.nodes) - 1, self._cursor + by))
        self.redraw()
        if self.name_here is not None:
            self.post_message(self.Moved(self.name_here))

    def action_climb(self, rows: int) -> None:
        if 0 <= self._cursor + rows * self._in_a_row < len(self.nodes):
            self.action_move(rows * self._in_a_row)

    def action_open(self) -> None:
        if self.name_here is not None:
            self.post_message(self.Opened(self.name_here))

    def on_click(self, event: events.Click) -> None:
        place = (self._top + event.y - 1) * self._in_a_row + (event.x - 1) // self._step
        if event.y >= 1 and event.x >= 1 and 0 <= place < len(self.nodes):
            again = place == self._cursor and event.chain > 1
            self.action_move(place - self._cursor)
            if again:
                self.action_open()


def _merged(line: Line) -> Line:
    """Neighbours of one style as one piece: fewer bytes to the terminal."""
    made: Line = []
    for text, style in line:
        if made and made[-1][1] == style:
            made[-1] = (made[-1][0] + text, style)
        else:
            made.append((text, style))
    return made
