"""Lines of text as many as there are; the container scrolls."""

from __future__ import annotations

from collections.abc import Callable

from stargen.tui.ink import Drawn, Line


class Sheet(Drawn):
    """Says what it is given, again for every width that it gets."""

    def __init__(self) -> None:
        super().__init__(id="sheet")
        self._say: Callable[[int], list[Line]] = lambda width: []

    def give(self, say: Callable[[int], list[Line]]) -> None:
        """What to show in so many columns."""
        self._say = say
        self.redraw()

    def draw(self, width: int, height: int) -> list[Line]:
        lines = self._say(width)
        needed = max(1, len(lines))  # what has no height at all is never drawn again
        if self.styles.height is None or self.styles.height.value != needed:
            self.styles.height = needed
        return lines
