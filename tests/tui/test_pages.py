"""Every page and key, on a campaign that stands still."""

from support.shown import ToldMaster
from support.viewer import dashboard, press, seen, settled, text
from textual.app import App
from textual.widgets import Input

from stargen.tui.dialogs import Confirm, Words
from stargen.tui.keys import Keys
from stargen.tui.page import TABS, Page, Pulse
from stargen.tui.screens.candidates import CandidatePage
from stargen.tui.screens.failures import FailurePage
from stargen.tui.screens.journal import RecordPage
from stargen.tui.screens.nodes import NodePage
from stargen.tui.screens.task import TaskPage
from stargen.tui.themes import DARK, LIGHT, SAFE, SIXTEEN
from stargen.tui.widgets.heatgrid import HeatGrid
from stargen.tui.widgets.table import Table


async def test_every_page_is_drawn_at_every_size_with_the_pulse_above(shown):
    app = dashboard(shown)
    async with seen(app) as pilot:
        for width, height in ((80, 24), (160, 50), (40, 12), (20, 5), (300, 90)):
            await pilot.resize_terminal(width, height)
            for number, name in enumerate(TABS, 1):
                await press(pilot, str(number))
                assert app.current_mode == name
                lines = text(app).split("\n")
                assert len(lines) == height
                assert max(map(len, lines)) <= width
                assert "li-oxides" in lines[0]


async def test_a_terminal_made_tiny_and_large_again_shows_the_same(shown):
    app = dashboard(shown)
    async with seen(app) as pilot:
        before = text(app)
        for name in "1253":
            await press(pilot, name)
            await pilot.resize_terminal(20, 5)
            await settled(pilot)
            await pilot.resize_terminal(80, 24)
            await settled(pilot)
        await press(pilot, "1")
        assert text(app) == before


async def test_only_a_page_that_is_new_is_kept_out_of_sight_for_a_while(shown, monkeypatch):
    app = dashboard(shown)
    async with seen(app) as pilot:
        hidden_s = []
        monkeypatch.setattr(App, "delay_update", lambda app, delay: hidden_s.append(delay))
        await press(pilot, "2", "1", "2")
        assert app.current_mode == "nodes"
        assert hidden_s == [0.05, 0.002, 0.002]


async def test_the_pulse_says_what_matters(shown):
    app = dashboard(shown)
    async with seen(app, (160, 50)):
        head = "\n".join(text(app).splitlines()[:2])
        for words in (
            "running",
            "left",
            "left",
            "nodes 21 up",
            "2 lost",
            "29 failed",
            "allocation 3 h 50 min left",
            "cpu",
            "lag",
        ):
            assert words in head


async def test_the_funnel_names_drops_holds_and_selections(shown):
    app = dashboard(shown)
    async with seen(app, (160, 50)):
        shown_text = text(app)
        assert "charge 1," in shown_text
        assert "not selected 2," in shown_text
        assert "held: 9 of the last 12 tasks failed" in shown_text


async def test_a_job_leads_to_its_tasks_and_back(shown):
    app = dashboard(shown)
    async with seen(app) as pilot:
        await press(pilot, "down", "down", "enter")
        assert app.current_mode == "tasks"
        table = app.screen.query_one(Table)
        assert table.rows
        assert all(row.key.startswith("predict/") for row in table.rows)
        await press(pilot, "escape")
        assert not app.screen.query_one("#filter", Input).value
        await press(pilot, "escape")
        assert app.current_mode == "overview"


async def test_of_tasks_out_of_sight_nobody_asks_whether_they_run(shown):
    app = dashboard(shown)
    async with seen(app) as pilot:
        await press(pilot, "3")
        table = app.screen.query_one(Table)
        nodes = [row.cells[2] for row in table.rows]
        height = table.size.height
        assert len(nodes) > height
        assert app.desk.interest.nodes == tuple({node: 0 for node in nodes[:height] if node != "-"})


async def test_a_filter_narrows_and_escape_widens(shown):
    app = dashboard(shown)
    async with seen(app) as pilot:
        await press(pilot, "3")
        table = app.screen.query_one(Table)
        everything = len(table.rows)
        await press(pilot, "slash", *"job:relax", "space", *"!finished")
        assert 0 < len(table.rows) < everything
        assert all("relax" in row.key for row in table.rows)
        await press(pilot, "enter")
        assert table.has_focus
        await press(pilot, "escape")
        assert len(table.rows) == everything


LEADS = [
    ("2 tab enter", NodePage, "incarnation 1"),
    ("2 right enter", NodePage, "cpu001"),
    ("3 enter", TaskPage, "story, the newest first"),
    ("4 enter", FailurePage, "giving up"),
    ("5 enter", CandidatePage, "provenance"),
    ("6 enter", RecordPage, "position"),
]


async def test_enter_leads_on_with_a_trail_and_escape_back(shown):
    app = dashboard(shown)
    async with seen(app, (160, 50)) as pilot:
        for keys, page, says in LEADS:
            await press(pilot, *keys.split())
            assert isinstance(app.screen, page)
            assert says in text(app)
            assert "›" in text(app).splitlines()[2]
            await press(pilot, "escape")
            assert app.current_mode == TABS[int(keys[0]) - 1]
            assert not isinstance(app.screen, page)


async def test_a_failure_leads_to_its_last_task(shown):
    app = dashboard(shown)
    async with seen(app) as pilot:
        await press(pilot, "4", "enter", "enter")
        assert isinstance(app.screen, TaskPage)
        assert "failed on" in text(app)


async def test_the_table_of_nodes_sorts_reverses_and_keeps_its_cursor(shown):
    app = dashboard(shown)
    async with seen(app) as pilot:
        await press(pilot, "2", "tab", "down", "down")
        table = app.screen.query_one("#nodes", Table)
        here = table.key
        names = [row.key for row in table.rows]
        assert names == sorted(names)
        await press(pilot, "r")
        assert [row.key for row in table.rows] == names[::-1]
        assert table.key == here
        await press(pilot, "s")
        assert table.order.column == "state"
        await press(pilot, "G")
        assert table.key == table.rows[-1].key
        await press(pilot, "home")
        assert table.key == table.rows[0].key
        await press(pilot, "pagedown", "pageup")
        assert table.key == table.rows[0].key


async def test_the_cursor_is_seen_as_soon_as_keys_go_there(shown):
    app = dashboard(shown)
    async with seen(app) as pilot:
        await press(pilot, "2", "tab")
        assert "▶" in app.screen.query_one("#nodes", Table).text
        await press(pilot, "shift+tab")
        assert "▶" not in app.screen.query_one("#nodes", Table).text


async def test_whatever_rows_are_sorted_by_is_marked(shown):
    app = dashboard(shown)
    async with seen(app, (160, 50)) as pilot:
        for page in "2345":
            await press(pilot, page)
            table = app.screen.query(Table).first()
            table.focus()
            for column in [column.title for column in table.columns if column.sort]:
                table._sort_by(column)
                await settled(pilot)
                assert "▲" in table.text or "▼" in table.text, column


async def test_the_last_line_names_keys_that_work_and_takes_clicks(shown):
    app = dashboard(shown)
    async with seen(app) as pilot:
        await press(pilot, "3")
        keys = app.screen.query_one(Keys)
        assert "x Why?" in keys.text
        await pilot.resize_terminal(40, 24)
        await settled(pilot)
        assert "x Why?" not in keys.text
        assert keys.text.endswith("? Help q Quit"), "as long as there is room for anything"
        await pilot.click(keys, offset=(keys.text.index("Help"), 0))
        await settled(pilot)
        assert isinstance(app.screen, Words)


async def test_another_theme_draws_in_other_colours(shown):
    app = dashboard(shown)
    async with seen(app) as pilot:
        made = {}
        for theme in (DARK, LIGHT, SAFE, SIXTEEN, "nord"):
            app.theme = theme
            await settled(pilot)
            made[theme] = app.screen.query_one(Pulse)._inked("good").color
        assert len(set(made.values())) == len(made)
        assert made[SIXTEEN].number == 2, "the terminal's own green"


async def test_the_grid_changes_its_colour_and_the_view_its_parts(shown):
    app = dashboard(shown)
    async with seen(app) as pilot:
        await press(pilot, "2")
        grid, table = app.screen.query_one(HeatGrid), app.screen.query_one("#nodes", Table)
        assert "× " in grid.text
        busy = [node.mark for node in grid.nodes].count("■")
        assert busy > 0
        assert f"■ {busy} busy" in grid.text
        for colour in ("cpu", "memory", "gpu", "io", "temperature", "state"):
            await press(pilot, "c")
            assert f"nodes by {colour}" in grid.text
        await press(pilot, "right", "down", "up", "left", "right")
        assert table.key == grid.name_here == "cpu001"
        await press(pilot, "v")
        assert (grid.display, table.display) == (True, False)
        await press(pilot, "v")
        assert (grid.display, table.display) == (False, True)
        await press(pilot, "v")
        assert (grid.display, table.display) == (True, True)


async def test_candidates_of_another_job_and_in_another_order(shown):
    app = dashboard(shown)
    async with seen(app, (160, 50)) as pilot:
        await press(pilot, "5")
        table = app.screen.query_one(Table)
        assert "of hull" in table.title
        first = [row.cells[2] for row in table.rows]
        assert first == sorted(first, key=float)
        assert "space group" in text(app), "the one under the cursor is shown beside"
        await press(pilot, "j")
        assert "of generate" in table.title
        await press(pilot, "s")
        assert table.order.column == "formula"


async def test_a_story_is_read_on_only_when_its_task_stands_differently(shown, monkeypatch):
    app = dashboard(shown)
    async with seen(app) as pilot:
        await press(pilot, "3", "enter")
        page, view = app.screen, app.desk.view
        begun, read = view.position, []

        def note(after, until):
            read.append((after - begun, until - begun))
            page._got([], page._left, "", True)

        def records(count):
            for _ in range(count):
                view.position += 1
                page.show()

        monkeypatch.setattr(page, "_read", note)
        records(5)
        assert read == [(0, 1)], "once more, since a record may have come late"
        del view.status.jobs[page._index].open[page.ordinal]
        records(5)
        assert read[1:] == [(5, 6), (6, 7)]


async def test_more_than_a_window_is_paged(shown):
    app = dashboard(shown)
    async with seen(app) as pilot:
        await press(pilot, "3")
        table = app.screen.query_one(Table)
        assert len(table.rows) == 200
        assert table.note.startswith("1 to 200 of ")
        await press(pilot, "G", "down")
        assert table.note.startswith("101 to 300 of ")
        await press(pilot, "6")
        records = app.screen.query_one(Table)
        newest = records.rows[0].key
        await press(pilot, "G", "down")
        assert int(records.rows[0].key) == int(newest) - 200
        await press(pilot, "up")
        assert records.rows[0].key == newest


async def test_the_journal_is_searched(shown):
    app = dashboard(shown)
    async with seen(app) as pilot:
        await press(pilot, "6", "slash", *"jobheld")
        table = app.screen.query_one(Table)
        assert [row.cells[2][0] for row in table.rows] == ["JobHeld"]
        await press(pilot, "enter", "enter")
        assert "9 of the last 12 tasks failed" in text(app)


async def test_a_mouse_sorts_chooses_opens_and_turns_pages(shown):
    app = dashboard(shown)
    async with seen(app) as pilot:
        await pilot.click("#tabs", offset=(14, 0))
        await settled(pilot)
        assert app.current_mode == "nodes"
        table = app.screen.query_one("#nodes", Table)
        await pilot.click("#nodes", offset=(20, 1))
        await settled(pilot)
        assert table.order.column == "state"
        await pilot.click("#nodes", offset=(5, 4), times=2)
        await settled(pilot)
        assert isinstance(app.screen, NodePage)


async def test_help_names_the_keys_that_there_are(shown):
    app = dashboard(shown)
    async with seen(app) as pilot:
        await press(pilot, "3", "question_mark")
        assert isinstance(app.screen, Words)
        said = "\n".join(app.screen.sentences)
        for words in ("/ ", "[ ", "End", "Why?", "!state:finished", "The campaign goes on"):
            assert words in said
        await press(pilot, "escape")
        assert isinstance(app.screen, Page)


async def test_the_palette_knows_every_page(shown):
    app = dashboard(shown)
    async with seen(app) as pilot:
        titles = [command.title for command in app.get_system_commands(app.screen)]
        assert {name.capitalize() for name in TABS} <= set(titles)
        await pilot.press("colon")
        await pilot.pause(0.3)
        assert not isinstance(app.screen, Page)
        await pilot.press(*"allocations")
        await pilot.pause(0.5)
        await pilot.press("enter")
        await pilot.pause(0.5)
        assert app.current_mode == "allocations"


async def test_explain_says_why_a_task_waits(shown):
    app = dashboard(shown, master=ToldMaster())
    async with seen(app) as pilot:
        await press(pilot, "3", "x")
        assert isinstance(app.screen, Words)
        assert "no node has 24 free cores" in text(app)


async def test_without_a_master_explain_says_so(shown):
    app = dashboard(shown)
    async with seen(app) as pilot:
        await press(pilot, "3", "x")
        assert "only a running master" in text(app)


FIRST = "relax/"  # of the open tasks, whichever that is
ACTS = [
    ("2 tab D", ("drain", "cpu001")),
    ("2 tab U", ("undrain", "cpu001")),
    ("2 tab enter D", ("drain", "cpu001")),
    ("3 C", ("cancel-task", FIRST)),
    ("3 R", ("retry", "relax")),
    ("3 H", ("hold", "relax")),
    ("3 L", ("release", "relax")),
    ("3 enter L", ("release", "relax")),
    ("3 enter C", ("cancel-task", FIRST)),
    ("3 enter R", ("retry", "relax")),
    ("3 enter H", ("hold", "relax")),
    ("4 R", ("retry", "relax")),
    ("4 H", ("hold", "relax")),
    ("4 tab L", ("release", "hull")),
    ("4 tab down L", ("undrain", "cpu007")),
    ("4 enter L", ("release", "relax")),
]


async def led(app, pilot, keys):
    """Press keys from where a page begins, whatever was pressed before."""
    page, *more = keys.split()
    await press(pilot, "escape", "escape", page)
    app.screen._focus_a_list()
    await press(pilot, *more)


async def test_a_key_that_acts_says_what_it_hits_and_asks_first(shown):
    master = ToldMaster()
    app = dashboard(shown, master=master, control=True)
    async with seen(app) as pilot:
        for keys, asked in ACTS:
            master.asked.clear()
            await led(app, pilot, keys)
            assert isinstance(app.screen, Confirm), keys
            assert asked[1] in text(app)
            await press(pilot, "n")
            assert master.asked == []
            await press(pilot, keys.split()[-1], "y")
            (done,) = master.asked
            assert done[0] == asked[0]
            assert done[1].startswith(asked[1]) if asked[1] == FIRST else done == asked


async def test_without_control_nothing_acts(shown):
    master = ToldMaster()
    app = dashboard(shown, master=master)
    async with seen(app) as pilot:
        for keys, _ in ACTS:
            await led(app, pilot, keys)
            await press(pilot, "y")
            assert master.asked == []
            assert not isinstance(app.screen, Confirm)


async def test_nothing_is_done_to_the_present_from_the_past(shown):
    master = ToldMaster()
    app = dashboard(shown, master=master, control=True)
    async with seen(app) as pilot:
        await press(pilot, "left_square_bracket", "2", "tab", "D", "y")
        assert master.asked == []


async def test_q_ends_the_view_and_asks_nobody_anything(shown):
    master = ToldMaster()
    app = dashboard(shown, master=master, control=True)
    async with seen(app) as pilot:
        await pilot.press("q")
    assert app.return_code == 0
    assert master.asked == []
