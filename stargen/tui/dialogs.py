"""Small windows over a page: a question, a few sentences, the keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static


class Confirm(ModalScreen[bool]):
    """Says what a key would do, and does it on y alone."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "dismiss(True)", "Do it"),
        Binding("n,escape,q,enter", "dismiss(False)", "Leave it"),
    ]

    def __init__(self, hits: str) -> None:
        super().__init__()
        self._hits = hits

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog warning"):
            yield Static(Content(self._hits))
            yield Static(Content("\ny  do it     n  leave it"), classes="keys")


class Words(ModalScreen[None]):
    """Sentences under a heading."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter,x,question_mark", "dismiss", "Close"),
        Binding("down,j", "scroll(1)", show=False),
        Binding("up,k", "scroll(-1)", show=False),
    ]

    def __init__(self, title: str, sentences: Sequence[str]) -> None:
        super().__init__()
        self._title = title
        self.sentences = list(sentences)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content(self._title), classes="heading")
            with VerticalScroll(can_focus=True):
                yield Static(Content("\n".join(self.sentences)))
            yield Static(Content("Esc  close"), classes="keys")

    def action_scroll(self, by: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=by, animate=False)
