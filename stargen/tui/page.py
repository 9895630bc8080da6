"""What all pages have in common: the pulse, where one is, a filter, the keys."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, ClassVar, cast

from textual import events, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input

from stargen.errors import StargenError
from stargen.tui.desk import Desk
from stargen.tui.dialogs import Confirm, Words
from stargen.tui.ink import Drawn, Line, spread, width_of
from stargen.tui.keys import Keys
from stargen.tui.link import Interest
from stargen.tui.pulse import moment, pulse
from stargen.tui.words import Filter

if TYPE_CHECKING:
    from stargen.tui.app import Dashboard

TABS = ("overview", "nodes", "tasks", "failures", "candidates", "journal", "allocations")


class Pulse(Drawn):
    """Two lines about the campaign."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(id="pulse")
        self._desk = desk

    def draw(self, width: int, height: int) -> list[Line]:
        return pulse(self._desk, width)


class Tabs(Drawn):
    """The pages by their numbers, where one is, and when."""

    def __init__(self, page: Page) -> None:
        super().__init__(id="tabs")
        self._page = page
        self._places: list[tuple[int, int, str]] = []

    def draw(self, width: int, height: int) -> list[Line]:
        page = self._page
        feed = page.desk.feed
        clock = moment(page.desk)
        must = clock if feed.is_past or feed.problem or not feed.read_all else []
        trail: Line = [(f" › {step}", "title") for step in page.trail]
        line: Line = []
        # full names, then the names without their gaps, then without the hour, then numbers
        for compact, right in ((0, clock), (1, clock), (1, must), (2, clock), (2, must)):
            line = [*self._tabs(compact), *trail]
            if width_of(line) + width_of(right) <= width:
                return [spread(line, right, width)]
        return [spread(line, must, width)]

    def _tabs(self, compact: int) -> Line:
        line: Line = []
        self._places = []
        for number, name in enumerate(TABS, 1):
            here = name == self._page.tab
            begin = width_of(line)
            if compact == 2 and not here:
                line.append((f" {number}", "dim"))
            else:
                gap = "" if compact else " "
                line.append(
                    (f" {number}{gap or ' '}{name.capitalize()}{gap}", "tab" if here else "")
                )
            self._places.append((begin, width_of(line), name))
        return line

    def on_click(self, event: events.Click) -> None:
        for begin, end, name in self._places:
            if begin <= event.x < end:
                self._page.dashboard.action_page(name)


class Page(Screen[None]):
    """One page of the dashboard.

    `tab` is which of the numbered pages it belongs to; pages behind these name what they show in
    `trail`. `show` brings everything up to date; it is called a few times a second.
    """

    tab: ClassVar[str]
    filtered: ClassVar[str] = ""
    """What a filter looks at here; empty where there is none."""

    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 - as Textual has it
        (0, "-narrow"),
        (120, "-wide"),
    ]
    VERTICAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-low"),
        (16, "-high"),
    ]

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter"),
        Binding("escape", "back", "Back", show=False),
    ]

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.filter = Filter()
        self.trail: list[str] = []

    def body(self) -> Iterator[Widget]:
        """The widgets between the tabs and the keys."""
        raise NotImplementedError

    def show(self) -> None:
        """Bring what is shown up to date."""
        raise NotImplementedError

    @property
    def interest(self) -> Interest:
        """What it wants of the master beyond the samples of all nodes."""
        return Interest()

    @property
    def dashboard(self) -> Dashboard:
        return cast("Dashboard", self.app)

    def compose(self) -> ComposeResult:
        yield Pulse(self.desk)
        yield Tabs(self)
        with Vertical(id="body"):
            yield from self.body()
        if self.filtered:
            yield Input(placeholder=f"filter: {self.filtered}", id="filter", compact=True)
        yield Keys()

    def refresh_all(self) -> None:
        """The pulse, the tabs and the page."""
        if not self.is_mounted or not self.is_current:
            return
        self.query_one(Pulse).redraw()
        self.query_one(Tabs).redraw()
        self.show()
        self.desk.interest = self.interest

    def on_screen_resume(self) -> None:
        """Up to date before it is painted; a page that has no size yet, once it has one."""
        if self.query_one(Pulse).size:
            self.refresh_all()
        else:
            self.call_after_refresh(self.refresh_all)

    # --- the filter -------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return bool(self.filtered) if action == "filter" else True

    def action_filter(self) -> None:
        line = self.query_one("#filter", Input)
        line.add_class("open")
        line.focus()

    def set_filter(self, typed: str) -> None:
        """Show what a filter leaves, as if it had been typed."""
        line = self.query_one("#filter", Input)
        line.value = typed
        line.add_class("open")
        self._focus_a_list()

    def on_input_changed(self, event: Input.Changed) -> None:
        self.filter = Filter.of(event.value)
        self.show()

    def on_input_submitted(self) -> None:
        self._leave_filter()

    def action_back(self) -> None:
        """Out of the filter, then the filter away, then the page before."""
        if self.filtered:
            line = self.query_one("#filter", Input)
            if line.value or line.has_focus:
                line.value = ""
                self._leave_filter()
                return
        self.dashboard.go_back()

    def _leave_filter(self) -> None:
        line = self.query_one("#filter", Input)
        line.set_class(bool(line.value), "open")
        self._focus_a_list()

    def _focus_a_list(self) -> None:
        for widget in self.query("Table, HeatGrid"):
            if widget.focusable:
                widget.focus()
                return

    # --- acting -----------------------------------------------------------------------------------

    def act(self, action: str, target: str, hits: str) -> None:
        """Ask a person, then the master; `hits` says what it will do to what."""
        if not self.desk.control:
            self.notify("This view only looks; `stargen top --control` acts.", severity="warning")
        elif self.desk.feed.is_past:
            self.notify("This is the past; go back to now (End) to act.", severity="warning")
        else:
            self.app.push_screen(Confirm(hits), partial(self._answered, action, target))

    def _answered(self, action: str, target: str, yes: bool | None) -> None:
        if yes:
            self._carry_out(action, target)

    @work(thread=True)
    def _carry_out(self, action: str, target: str) -> None:
        try:
            self.desk.ask(action, target)
        except StargenError as error:
            self.app.call_from_thread(self.notify, str(error), severity="error")
        else:
            done = f"asked to {action.replace('-task', '')} {target or 'all jobs'}"
            self.app.call_from_thread(self.notify, done)

    @work(thread=True)
    def explain(self, target: str) -> None:
        """Have the master say why something waits."""
        try:
            sentences = self.desk.explain(target)
        except StargenError as error:
            sentences = [str(error)]
        self.app.call_from_thread(self.app.push_screen, Words(f"Why {target} waits", sentences))
