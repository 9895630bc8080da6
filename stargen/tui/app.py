"""The application: pages, keys, time, themes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import ClassVar

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.driver import Driver
from textual.screen import Screen
from textual.widget import AwaitMount
from textual.widgets import Input

from stargen.quantities import duration
from stargen.tui.ascii import AsciiOnly, speaks_utf8
from stargen.tui.desk import Desk
from stargen.tui.feed import SPEEDS
from stargen.tui.help import Help
from stargen.tui.link import Live, MasterLink
from stargen.tui.page import TABS, Page
from stargen.tui.screens import PAGES
from stargen.tui.themes import DARK, INKS, SIXTEEN, THEMES

_EVERY_S = 0.5
_REST = 80.0
"""Parts of rest for one of drawing: however much a page shows, it takes a small part of a core."""

_NEW_S, _KNOWN_S = 0.05, 0.002
"""How long nothing is painted when another page comes: one that is known is ready at once."""


class Dashboard(App[None]):
    """Looks at one campaign; ends without touching it."""

    CSS_PATH = "stargen.tcss"
    TITLE = "stargen"
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "colon"
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(str(number), f"page('{name}')", name.capitalize(), show=False)
            for number, name in enumerate(TABS, 1)
        ),
        Binding("left_square_bracket", "step(-1)", "Earlier", show=False),
        Binding("right_square_bracket", "step(1)", "Later", show=False),
        Binding("minus", "speed(-1)", "Smaller steps", show=False),
        Binding("plus", "speed(1)", "Larger steps", show=False),
        Binding("p", "play", "Play", show=False),
        Binding("end", "live", "Now", show=False, priority=True),
        Binding("question_mark", "help", "Help"),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(self, desk: Desk, *, theme: str | None = None, ascii_only: bool = False) -> None:
        super().__init__()
        self.desk = desk
        for each in THEMES:
            self.register_theme(each)
        few = self.console.color_system == "standard"
        self.theme = theme or (SIXTEEN if few else DARK)
        if ascii_only or not speaks_utf8():
            self._filters.append(AsciiOnly())
        for name, page in PAGES.items():
            self.add_mode(name, partial(self._new, page))
        self._link: MasterLink | None = None
        if desk.connect is not None:
            self._link = MasterLink(desk.connect, self._heard, desk.question)
        self._known: set[str] = set()
        self._hidden_s = _NEW_S
        self._drawn: tuple[object, ...] = ()
        self._rests_until = 0.0

    def _new(self, page: Callable[[Desk], Page]) -> Page:
        """A page whose colours are of today: reading all rules anew takes longer than the rest."""
        made = page(self.desk)
        made._css_update_count = self._css_update_count  # pyright: ignore[reportPrivateUsage] - Textual has no other word for it
        return made

    def get_driver_class(self) -> type[Driver]:
        given = super().get_driver_class()
        try:
            from stargen.tui.driver import TerminalDriver
        except ImportError:  # of a system, or a Textual, that has no such insides
            return given
        return TerminalDriver if given in TerminalDriver.__bases__ else given

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Inks for the themes that are not ours."""
        colours = self.current_theme.to_color_system().generate()
        return {f"ink-{ink}": colours[name] for ink, name in INKS.items()}

    # --- following --------------------------------------------------------------------------------

    async def on_mount(self) -> None:
        await self.switch_mode(TABS[0])
        self.run_worker(self.desk.feed.run(), exit_on_error=False)
        if self._link is not None:
            self._link.start()
        self.set_interval(_EVERY_S, self._tick)

    def on_unmount(self) -> None:
        if self._link is not None:
            self._link.stop()

    def _heard(self, live: Live | None) -> None:
        """From the link's thread."""
        if self._running:
            self._loop_call(live)

    def _loop_call(self, live: Live | None) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self.desk.heard, live)

    async def _tick(self) -> None:
        feed = self.desk.feed
        if feed.playing:
            await feed.play(_EVERY_S)
        drawn = (
            feed.view.position,
            int(feed.now),
            feed.master,
            feed.state,
            feed.problem,
            feed.read_all,
        )
        began = time.perf_counter()
        if began >= self._rests_until and (drawn != self._drawn or not feed.read_all):
            self._drawn = drawn
            self._refresh_page()
            self._rests_until = began + _REST * (time.perf_counter() - began)

    def _refresh_page(self) -> None:
        if self.screen_stack and isinstance(self.screen, Page):  # there is none at the very end
            self.screen.refresh_all()

    # --- keys -------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return not (action == "live" and isinstance(self.focused, Input))

    def action_page(self, name: str) -> None:
        if not isinstance(self.screen, Page):
            return  # a question is open
        if self.current_mode == name:
            while len(self.screen_stack) > 1:
                self.pop_screen()
        self.switch_mode(name)

    def switch_mode(self, mode: str) -> AwaitMount:
        self._hidden_s = _KNOWN_S if mode in self._known else _NEW_S
        self._known.add(mode)
        return super().switch_mode(mode)

    def delay_update(self, delay: float = 0.0) -> None:
        """Paint nothing for a while; Textual's own does so for as long as a new page needs."""
        super().delay_update(delay or self._hidden_s)

    def go_back(self) -> None:
        """To the page before; to the overview from any other first page."""
        if len(self.screen_stack) > 1:
            self.pop_screen()
        elif self.current_mode != TABS[0]:
            self.switch_mode(TABS[0])

    def open(self, page: Page) -> None:
        """A page behind the present one."""
        self.push_screen(page)

    def show_filtered(self, name: str, typed: str) -> None:
        """A page, with what a filter leaves."""
        self.switch_mode(name)
        self.call_after_refresh(self._filter, typed)

    def _filter(self, typed: str) -> None:
        if isinstance(self.screen, Page):
            self.screen.set_filter(typed)

    def action_help(self) -> None:
        if isinstance(self.screen, Page):
            self.push_screen(Help(self.screen))

    async def action_step(self, direction: int) -> None:
        await self.desk.feed.step(direction)
        self._refresh_page()

    def action_speed(self, direction: int) -> None:
        feed = self.desk.feed
        feed.change_speed(direction)
        self.notify(f"steps of {duration(feed.speed)}", timeout=1.5)
        self._refresh_page()

    async def action_play(self) -> None:
        await self.desk.feed.toggle_playing()
        self._refresh_page()

    def action_live(self) -> None:
        self.desk.feed.go_live()
        self._refresh_page()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        for name in TABS:
            yield SystemCommand(
                name.capitalize(), f"The page {name}", partial(self.action_page, name)
            )
        yield SystemCommand("Now", "Back from the past", self.action_live)
        yield SystemCommand("Start", "The campaign's first moment", self._to_start)
        for speed in SPEEDS:
            text = f"Steps of {duration(speed)}"
            yield SystemCommand(
                text, "For [ and ], and while playing", partial(self._set_speed, speed)
            )
        yield SystemCommand("Theme", "Choose the colours", self.action_change_theme)
        yield SystemCommand("Screenshot", "Save what is seen as SVG", self._picture)
        yield SystemCommand("Keys", "All keys of this page", self.action_help)
        yield SystemCommand("Quit", "End this view; the campaign goes on", self.exit)

    def _picture(self) -> None:
        self.notify(f"written to {self.save_screenshot()}")

    async def _to_start(self) -> None:
        await self.desk.feed.go_to_start()
        self._refresh_page()

    def _set_speed(self, speed: int) -> None:
        self.desk.feed.speed = speed
        self._refresh_page()
