"""A window of rows under fixed columns, with a cursor that stays with its row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from rich.cells import cell_len
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from stargen.tui.ink import Drawn, Line, fitted, heading

GAP = 2


class Column(NamedTuple):
    """One column.

    Parameters
    ----------
    width : columns of the terminal; 0 takes what the others leave
    rank : the highest go first where there is no room
    sort : whether rows can be sorted by it
    """

    title: str
    width: int
    right: bool = False
    rank: int = 0
    sort: bool = False


Cell = str | tuple[str, str] | Line
"""Text, text in a style, or pieces."""


class Row(NamedTuple):
    """`key` names it as long as it lives; one cell for each column."""

    key: str
    cells: Sequence[Cell]
    style: str = ""


class Order(NamedTuple):
    """What rows are sorted by."""

    column: str
    reverse: bool = False


class Table(Drawn, can_focus=True):
    """Shows the rows it is given; sorting, filtering and paging is up to whoever gives them.

    Parameters
    ----------
    title : of the rule above; no rule if empty
    empty : said where there are no rows
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "move(1)", "Down", show=False),
        Binding("up", "move(-1)", "Up", show=False),
        Binding("pagedown", "leap(1)", "A page down", show=False),
        Binding("pageup", "leap(-1)", "A page up", show=False),
        Binding("home", "move(-1000000)", "First", show=False),
        Binding("G", "move(1000000)", "Last", show=False),
        Binding("enter", "open", "Open"),
        Binding("s", "sort", "Sort"),
        Binding("r", "reverse", "Reverse", show=False),
    ]

    class Opened(Message):
        """Somebody wants to know more about a row."""

        def __init__(self, table: Table, key: str) -> None:
            super().__init__()
            self.table, self.key = table, key

        @property
        def control(self) -> Table:
            return self.table

    class Ordered(Message):
        """Rows are wanted in another order."""

        def __init__(self, table: Table) -> None:
            super().__init__()
            self.table = table

        @property
        def control(self) -> Table:
            return self.table

    class Beyond(Message):
        """The cursor was to leave the window: earlier (-1) or later (1) rows are wanted."""

        def __init__(self, table: Table, direction: int) -> None:
            super().__init__()
            self.table, self.direction = table, direction

        @property
        def control(self) -> Table:
            return self.table

    class Moved(Message):
        """The cursor is at another row."""

        def __init__(self, table: Table, key: str) -> None:
            super().__init__()
            self.table, self.key = table, key

        @property
        def control(self) -> Table:
            return self.table

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        title: str = "",
        empty: str = "nothing here",
        order: Order | None = None,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.columns = list(columns)
        self.title = title
        self.note = ""
        self.empty = empty
        self.order = order
        self.rows: Sequence[Row] = ()
        self._cursor = 0
        self._top = 0
        self._shown: list[tuple[int, int, int]] = []

    # --- what it shows ----------------------------------------------------------------------------

    def give(self, rows: Sequence[Row], note: str = "") -> None:
        """Show these rows; the cursor stays with the row it is at, if that is still there."""
        key = self.key
        self.rows, self.note = rows, note
        if key is not None and (self._cursor >= len(rows) or rows[self._cursor].key != key):
            places = (i for i, row in enumerate(rows) if row.key == key)
            self._cursor = next(places, self._cursor)
        self._cursor = max(0, min(self._cursor, len(rows) - 1))
        self.redraw()

    @property
    def key(self) -> str | None:
        """Key of the row under the cursor."""
        return self.rows[self._cursor].key if self._cursor < len(self.rows) else None

    @property
    def in_sight(self) -> slice:
        """Which of the rows are on the screen; a few more at most."""
        return slice(self._top, self._top + max(1, self.size.height))

    def go_to(self, key: str) -> None:
        """Put the cursor on a row."""
        for place, row in enumerate(self.rows):
            if row.key == key:
                self._cursor = place
        self.redraw()

    def draw(self, width: int, height: int) -> list[Line]:
        places = self._places(width)
        lines = [heading(self.title, width, self.note)] if self.title else []
        lines.append(self._head(places, width))
        room = max(1, height - len(lines))
        self._top = min(self._top, self._cursor, max(0, len(self.rows) - room))
        self._top = max(self._top, self._cursor - room + 1)
        if not self.rows:
            lines.append([(f"  {self.empty}", "dim")])
        for index in range(self._top, min(len(self.rows), self._top + room)):
            lines.append(self._row(index, places, width))
        return lines

    def _places(self, width: int) -> list[tuple[int, int]]:
        """(column, width) of those that there is room for; a flexible one needs some at least."""
        wanted = list(range(len(self.columns)))
        while wanted:
            need = sum((self.columns[i].width or 12) + GAP for i in wanted)
            if need - GAP + 1 <= width:
                break
            wanted.remove(max(wanted, key=lambda i: (self.columns[i].rank, i)))
        fixed = sum(self.columns[i].width + GAP for i in wanted) - GAP + 1
        return [(i, self.columns[i].width or max(0, width - fixed)) for i in wanted]

    def _head(self, places: list[tuple[int, int]], width: int) -> Line:
        line: Line = [(" ", "")]
        self._shown = []
        at = 1
        for index, size in places:
            column = self.columns[index]
            title = column.title
            if self.order is not None and self.order.column == title:
                title = title[: size - 1] + ("▼" if self.order.reverse else "▲")
            title = title.rjust(size) if column.right else title
            line += [*fitted([(title, "dim")], size), (" " * GAP, "")]
            self._shown.append((at, at + size, index))
            at += size + GAP
        return fitted(line, width)

    def _row(self, index: int, places: list[tuple[int, int]], width: int) -> Line:
        row = self.rows[index]
        here = index == self._cursor and self.has_cursor
        line: Line = [("▶" if here else " ", "key")]
        for column, size in places:
            pieces = _pieces(row.cells[column], row.style)
            if self.columns[column].right:
                space = size - sum(cell_len(text) for text, _ in pieces)
                pieces = [(" " * max(0, space), ""), *pieces]
            line += [*fitted(pieces, size), (" " * GAP, "")]
        line = fitted(line, width)
        return [(text, f"{style} cursor") for text, style in line] if here else line

    # --- what it is told --------------------------------------------------------------------------

    def on_focus(self) -> None:
        self.redraw()

    def on_blur(self) -> None:
        self.redraw()

    def action_move(self, by: int) -> None:
        before = self._cursor
        self._cursor = max(0, min(len(self.rows) - 1, before + by))
        if self._cursor == before and self.rows:
            self.post_message(self.Beyond(self, 1 if by > 0 else -1))
        self._moved()

    def action_leap(self, direction: int) -> None:
        self.action_move(direction * max(1, self.size.height - 2))

    def action_open(self) -> None:
        if self.key is not None:
            self.post_message(self.Opened(self, self.key))

    def action_sort(self) -> None:
        """Sort by the next column."""
        names = [column.title for column in self.columns if column.sort]
        if names:
            now = self.order.column if self.order else ""
            following = names[(names.index(now) + 1) % len(names)] if now in names else names[0]
            self._sort_by(following)

    def action_reverse(self) -> None:
        if self.order is not None:
            self.order = self.order._replace(reverse=not self.order.reverse)
            self.post_message(self.Ordered(self))

    def _sort_by(self, name: str) -> None:
        right = next(column.right for column in self.columns if column.title == name)
        self.order = Order(name, reverse=right)  # of numbers the largest are of interest
        self.post_message(self.Ordered(self))

    def _moved(self) -> None:
        self.redraw()
        if self.key is not None:
            self.post_message(self.Moved(self, self.key))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_move(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_move(-3)

    def on_click(self, event: events.Click) -> None:
        """A heading sorts; a row is chosen, and opened by the second click."""
        first = 2 if self.title else 1
        if event.y == first - 1:
            self._click_heading(event.x)
        elif event.y >= first and (place := self._top + event.y - first) < len(self.rows):
            again = place == self._cursor and event.chain > 1
            self._cursor = place
            self._moved()
            if again:
                self.action_open()

    def _click_heading(self, x: int) -> None:
        for begin, end, index in self._shown:
            if begin <= x < end and self.columns[index].sort:
                if self.order is not None and self.order.column == self.columns[index].title:
                    self.action_reverse()
                else:
                    self._sort_by(self.columns[index].title)


def _pieces(cell: Cell, style: str) -> Line:
    if isinstance(cell, str):
        return [(cell, style)]
    if isinstance(cell, tuple):
        return [cell]
    return cell
