"""The keys of a page, from the bindings themselves."""

from __future__ import annotations

from collections.abc import Iterator

from textual.binding import Binding
from textual.dom import DOMNode

from stargen.tui.dialogs import Words
from stargen.tui.page import Page

_KEYS = {
    "slash": "/",
    "question_mark": "?",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "minus": "-",
    "plus": "+",
    "colon": ":",
    "escape": "Esc",
    "enter": "Enter",
    "pagedown": "PgDn",
    "pageup": "PgUp",
    "home": "Home",
    "end": "End",
    "down": "↓",
    "up": "↑",
    "left": "←",
    "right": "→",
}

_FILTER = (
    "",
    "A filter is words that must all be found; !word must not be, name:word looks in one",
    "column alone (job:relax !state:finished). Esc takes it away.",
)


class Help(Words):
    """What every key does here, how to filter, and that nothing here stops a campaign."""

    def __init__(self, page: Page) -> None:
        seen: dict[str, str] = {}
        for binding in _bindings(page):
            if binding.description:
                seen.setdefault(binding.key, binding.description)
        lines = [f"  {_KEYS.get(key, key):<7} {what}" for key, what in seen.items()]
        half = (len(lines) + 1) // 2
        left, right = lines[:half], lines[half:] + [""] * (half - len(lines) // 2)
        rows = [f"{a:<34}{b}".rstrip() for a, b in zip(left, right, strict=False)]
        notes = ["q ends this view. The campaign goes on whatever you do here."]
        if not page.desk.control:
            notes.append("Keys that act want `stargen top --control`.")
        if page.filtered:
            rows += [*_FILTER, f"Columns here: {page.filtered}"]
        rows = [*notes, "", *rows]
        super().__init__("Keys", rows)


def _bindings(page: Page) -> Iterator[Binding]:
    """Ours alone, those nearest to the cursor first."""
    holders: list[DOMNode | None] = [page.focused, page, page.dashboard]
    for holder in filter(None, holders):
        for kind in type(holder).__mro__:
            if kind.__module__.startswith("stargen"):
                yield from Binding.make_bindings(kind.__dict__.get("BINDINGS", ()))
