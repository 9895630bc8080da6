"""Files that cannot be run: every mistake is named with its place, and nothing is started."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.real_campaigns import Desk

GOOD = """
[campaign]
name = "good"
[[job]]
name = "make"
use = "echo.source"
params = { count = 20 }
[[job]]
name = "pass"
input = "make"
use = "echo.map"
"""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Nothing may be left running when the test ends."""
    desk = Desk(tmp_path)
    yield desk
    assert not desk.sweep(), "processes were left over"


BAD = {
    "broken TOML": (
        GOOD.replace('name = "pass"', 'name = "pass'),
        ["campaign.toml:9"],
    ),
    "an unknown key": (
        GOOD.replace('input = "make"', 'inptu = "make"'),
        ["campaign.toml:10", "inptu", "did you mean", "input"],
    ),
    "an unknown parameter": (
        GOOD.replace("count = 20", "cuont = 20"),
        ["campaign.toml:7", "cuont", "count"],
    ),
    "an unknown calculator": (
        GOOD.replace("echo.map", "echo.mpa"),
        ["campaign.toml:11", "echo.mpa", "echo.map", "installed", "nasty.source"],
    ),
    "a wrong type": (
        GOOD.replace("count = 20", 'count = "twenty"'),
        ["campaign.toml:7", "count", "twenty", "number"],
    ),
    "impossible resources": (
        GOOD + "resources = { cores = 100_000 }\n",
        ["campaign.toml:12", "100000 cores", "the most is"],
    ),
    "more memory than there is": (
        GOOD + "resources = { memory_gib = 90_000 }\n",
        ["campaign.toml:12", "90000 GiB of memory", "the most is"],
    ),
    "a size with another unit": (
        GOOD + 'resources = { memory_gib = "4 GB" }\n',
        ["campaign.toml:12", "4 GB", "write memory_gib = 3.72"],
    ),
    "a time with another unit": (
        GOOD + 'resources = { walltime_s = "2 h" }\n',
        ["campaign.toml:12", "2 h", "write walltime_s = 7200"],
    ),
    "a unit that is left out": (
        GOOD + "resources = { memory = 4 }\n",
        ["campaign.toml:12", "did you mean memory_gib"],
    ),
    "fewer candidates than none": (
        GOOD.replace("count = 20", "count = -3"),
        ["campaign.toml:7", "would make -3 candidates"],
    ),
    "a step with a table of parameters": (
        GOOD.replace(
            'use = "echo.map"', '[[job.step]]\nuse = "echo.map"\nparams = { random = true }'
        ),
        ["campaign.toml:13", "beside `use`"],
    ),
    "a job without input": (
        GOOD.replace('input = "make"\n', ""),
        ["campaign.toml:8", "echo.map works on candidates, but the job has no input"],
    ),
    "two jobs of one name": (
        GOOD + '[[job]]\nname = "pass"\ninput = "make"\nuse = "echo.map"\n',
        ["campaign.toml:13", "the job in line 8 is called"],
    ),
    "what is no text": ("\udcff\udcfe[campaign]", ["campaign.toml", "not UTF-8 text"]),
    "nothing": ("", ["campaign.toml", "the table [campaign] is missing", "there is no job"]),
    "a cycle": (
        GOOD.replace('input = "make"', 'input = "later"')
        + '[[job]]\nname = "later"\ninput = "pass"\nuse = "echo.map"\n',
        ["cycle", "pass", "later"],
    ),
    "an input that is not there": (
        GOOD.replace('input = "make"', 'input = "mkae"'),
        ["campaign.toml:10", "mkae", "make"],
    ),
    "a stop target that nothing leads to": (
        GOOD.replace('name = "good"', 'name = "good"\nstop = { job = "pas", kept = 5 }'),
        ["campaign.toml:4", "pas", "pass"],
    ),
    "a stop target without a ceiling": (
        GOOD.replace('name = "good"', 'name = "good"\nstop = { job = "pass", kept = 5 }').replace(
            'use = "echo.source"\nparams = { count = 20 }', 'use = "nasty.source"'
        ),
        ["campaign.toml:4", "max_candidates"],
    ),
    "a plugin that fails to import": (
        GOOD.replace("echo.map", "nasty.broken"),
        ["campaign.toml:11", "nasty.broken", "stargen-nasty", "built for another planet"],
    ),
    "a property that no candidate has": (
        GOOD + '[[job]]\nname = "some"\ninput = "pass"\nselect = { where = "ehco < 1" }\n',
        ["campaign.toml:15", "ehco", "echo"],
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_campaign_file_is_refused_before_anything_starts(name: str, desk: Desk) -> None:
    text, words = BAD[name]
    desk.write("campaign.toml", text)
    code, said = desk.stargen("up", "campaign.toml")
    assert code == 2, said
    for word in words:
        assert word in said, said
    said_once = [line.removeprefix("error: ") for line in said.splitlines() if "toml" in line]
    assert len(set(said_once)) == len(said_once), said
    assert "Traceback" not in said
    assert not (desk.base / "campaigns").exists(), "something was begun"


def test_every_mistake_is_shown_at_once(desk: Desk) -> None:
    text = GOOD.replace("echo.map", "echo.mpa").replace("count = 20", "cuont = 20")
    desk.write("campaign.toml", text)
    code, said = desk.stargen("check", "campaign.toml")
    assert code == 2
    assert "cuont" in said
    assert "echo.mpa" in said


def test_a_bad_site_file_is_refused(desk: Desk) -> None:
    desk.write("campaign.toml", GOOD)
    desk.write("stargen.toml", "[pool.local.limits]\ncoers = 2\n")
    code, said = desk.stargen("up", "campaign.toml")
    assert code == 2
    assert "stargen.toml:2" in said
    assert "cores" in said


def test_an_address_that_is_no_database_is_refused(desk: Desk) -> None:
    desk.write("campaign.toml", GOOD.replace('"good"', '"good"\ndatabase = "sqlit:///good.db"'))
    code, said = desk.stargen("up", "campaign.toml")
    assert code == 2
    assert "'sqlit:///good.db' is not the URL of a database" in said
    assert "node local joined" not in said


def test_a_target_that_cannot_be_reached_ends_the_campaign_with_the_yield_seen(desk: Desk) -> None:
    stop = 'stop = { job = "few", kept = 50, max_candidates = 40 }'
    text = GOOD.replace('name = "good"', f'name = "good"\n{stop}').replace("count = 20", "count=90")
    few = '[[job]]\nname = "few"\ninput = "pass"\nselect = { where = "nsites > 100" }\n'
    desk.write("campaign.toml", text + few)
    code, said = desk.stargen("up", "campaign.toml")
    assert code == 1
    assert "target unreachable" in said
    assert "kept 0 of 50" in said


def test_an_unreadable_structure_is_skipped_and_counted(desk: Desk) -> None:
    folder = desk.base / "structures"
    folder.mkdir()
    for edge in (4, 5, 6):
        cell = f"{edge} 0 0\n0 {edge} 0\n0 0 {edge}"
        text = f"salt\n1.0\n{cell}\nNa Cl\n1 1\nDirect\n0 0 0\n.5 .5 .5\n"
        (folder / f"{edge}.vasp").write_text(text)
    (folder / "broken.cif").write_text("data_nothing\n_cell_length_a one\n")
    text = GOOD.replace('use = "echo.source"\nparams = { count = 20 }', 'use = "structures.read"\n'
                        'params = { path = "structures" }')  # fmt: skip
    desk.write("campaign.toml", text)
    code, said = desk.stargen("up", "campaign.toml")
    assert code == 0, said
    assert "unreadable structure 1" in said
    _, funnel = desk.stargen("status", "--json")
    assert '"out": 3' in funnel
