"""Every page at two sizes looks as it did: `pytest tests/tui --snapshot-update` after a change."""

import pytest
from support.viewer import dashboard, press, seen, text
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

SIZES = {"80x24": (80, 24), "160x50": (160, 50)}
PAGES = {
    "overview": ["1"],
    "nodes": ["2"],
    "nodes-by-cpu": ["2", "c"],
    "node": ["2", "tab", "down", "enter"],
    "tasks": ["3"],
    "task": ["3", "slash", *"finished", "enter", "enter"],
    "failures": ["4"],
    "failure": ["4", "enter"],
    "candidates": ["5"],
    "candidate": ["5", "enter"],
    "journal": ["6"],
    "record": ["6", "enter"],
    "pools": ["7"],
    "help": ["3", "question_mark"],
}


class Text(SingleFileSnapshotExtension):
    _write_mode = WriteMode.TEXT
    file_extension = "txt"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("page", PAGES)
async def test_looks_as_it_did(shown, snapshot, page, size):
    app = dashboard(shown)
    async with seen(app, SIZES[size]) as pilot:
        await press(pilot, *PAGES[page])
        assert text(app) + "\n" == snapshot(extension_class=Text)
