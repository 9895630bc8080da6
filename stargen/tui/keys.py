"""The last line: the keys that do something here, from the bindings themselves.

Textual's own footer makes a widget of every key, anew whenever the focus moves; this is one line.
"""

from __future__ import annotations

from textual import events
from textual.binding import Binding
from textual.screen import Screen

from stargen.tui.ink import Drawn, Line, joined, width_of

_KEPT = 2
"""Of the last ones, help and quit, which are there in any terminal."""


class Keys(Drawn):
    """Each key with a word; a click is as good as the key."""

    def __init__(self) -> None:
        super().__init__(id="keys")
        self._places: list[tuple[int, int, str]] = []

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def _changed(self, screen: Screen[object]) -> None:
        if screen is self.screen:
            self.redraw()

    def draw(self, width: int, height: int) -> list[Line]:
        pieces = {binding.key: self._named(binding) for binding in self._shown()}
        while len(pieces) > _KEPT and width_of(joined(pieces.values(), " ")) > width:
            del pieces[list(pieces)[-_KEPT - 1]]
        self._places, begin = [], 0
        for key, line in pieces.items():
            self._places.append((begin, begin + width_of(line), key))
            begin += width_of(line) + 1
        return [joined(pieces.values(), " ")]

    def _shown(self) -> list[Binding]:
        """One for each action that is to be shown, those nearest to the cursor first."""
        found: dict[str, Binding] = {}
        for active in self.screen.active_bindings.values():
            if active.binding.show:
                found.setdefault(active.binding.action, active.binding)
        return list(found.values())

    def _named(self, binding: Binding) -> Line:
        return [(self.app.get_key_display(binding), "key"), (f" {binding.description}", "dim")]

    def on_click(self, event: events.Click) -> None:
        for begin, end, key in self._places:
            if begin <= event.x < end:
                self.app.simulate_key(key)
