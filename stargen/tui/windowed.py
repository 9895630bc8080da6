"""Pages with a table that shows a window of many rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from stargen.quantities import count
from stargen.tui.page import Page
from stargen.tui.pages import WINDOW
from stargen.tui.widgets.table import Table

T = TypeVar("T")


class Windowed(Page):
    """`first` is where the window begins; it moves where the cursor leaves it."""

    first = 0

    def part(self, rows: Sequence[T]) -> Sequence[T]:
        """Those of all rows that are in the window, which has some if there are any."""
        self.first = max(0, min(self.first, len(rows) - 1))
        return rows[self.first : self.first + WINDOW]

    def span(self, shown: int, total: int) -> str:
        """Which part of all rows the window is."""
        if shown == total:
            return count(total)
        return f"{count(self.first + 1)} to {count(self.first + shown)} of {count(total)}"

    def on_table_ordered(self) -> None:
        self.first = 0
        self.show()

    def on_table_beyond(self, event: Table.Beyond) -> None:
        if len(event.table.rows) >= WINDOW // 2:
            self.first = max(0, self.first + event.direction * (WINDOW // 2))
            self.show()
