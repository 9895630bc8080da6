import copy
import io

import pytest
from rich.console import Console

from stargen.cli.live import Lines, Screen, render, view_of
from stargen.cli.pictures import remembered


@pytest.fixture
def picture(campaign):
    made = copy.deepcopy(remembered(campaign))
    return made | {"state": "running", "reason": "", "now": 1010.0, "eta_s": 30.0}


@pytest.fixture
def finished(picture):
    for job in picture["jobs"]:
        job["state"] = "done"
    return picture | {"state": "done"}


def drawn(picture, width):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(render("salts", picture, width))
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 140])
def test_a_picture_fits_the_terminal(picture, width):
    text = drawn(picture, width)
    assert "salts: running, 10 s, about 30 s left" in text
    assert "odd 2" in text
    assert text.splitlines()[1].strip("━╸╺ ") == ""
    assert "the disk is slow" in text
    assert max(map(len, text.splitlines())) <= width
    assert len(text.splitlines()) < 24


def test_the_bar_is_there_while_it_runs(picture, finished):
    unknown = drawn(picture | {"eta_s": None}, 80)
    assert unknown.splitlines()[1].strip("━╸╺ ") == ""
    assert drawn(finished, 80).splitlines()[1].startswith("job")


def test_lines_tell_what_happens_once(picture, capsys):
    lines = Lines("salts")
    picture["events"] = [{"at": 1005.0, "text": "node local joined"}]
    with lines:
        lines.show(picture)
        lines.show(picture | {"now": 1011.0})
        event = {"at": 1012.0, "text": "make is done"}
        lines.show(picture | {"now": 1012.5, "events": [*picture["events"], event]})
        lines.show(picture | {"now": 1021.0})
    out = capsys.readouterr().out.splitlines()
    assert [line[9:] for line in out if "salts:" not in line] == [
        "node local joined",
        "make is done",
    ]
    assert sum("salts: running" in line for line in out) == 2
    assert "make 20 in, 17 out at" in out[1]


def test_at_the_end_lines_say_what_is_waited_for(picture, capsys):
    sink = {"url": "sqlite:///salts.db", "missing": 1234, "problem": ""}
    ended = picture | {"state": "done", "reason": "every job is done"}
    with Lines("salts") as lines:
        lines.show(ended | {"sinks": [sink]})
        lines.show(ended | {"now": ended["now"] + 11.0, "sinks": []})
    waiting, over = (line for line in capsys.readouterr().out.splitlines() if "salts:" in line)
    assert waiting.endswith("; sqlite:///salts.db lacks 1,234 records")
    assert "salts: done" in over
    assert ";" not in over


def test_lines_are_for_logs_and_screens_for_terminals(monkeypatch):
    assert isinstance(view_of("salts"), Lines)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert isinstance(view_of("salts"), Screen)


def test_a_screen_is_drawn_twice_a_second_and_left(picture, monkeypatch):
    drawn = []
    monkeypatch.setattr("stargen.cli.live.render", lambda name, p, _: drawn.append(p["now"]) or "")
    with Screen("salts") as screen:
        for quarter in range(5):
            screen.show(picture | {"now": 1000.0 + quarter / 4})
    screen.show(picture)
    assert drawn == [1000.0, 1000.5, 1001.0]
