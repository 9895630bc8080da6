"""Every page at two sizes looks as it did: `pytest tests/tui --snapshot-update` after a change."""

import pytest
from support.viewer import dashboard, press, seen, text, told
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

SIZES = {"80x24": (80, 24), "160x50": (160, 50)}
PAGES = {
    "overview": ["1"],
    "nodes": ["2"],
    "nodes-by-cpu": ["2", "c"],
    "node": ["2", "tab", "down", "enter"],
    "tasks": ["3"],
    "running": ["3", "enter"],
    "task": ["3", "slash", *"job:relax", "space", *"finished", "enter", "enter"],
    "failures": ["4"],
    "failure": ["4", "enter"],
    "candidates": ["5"],
    "candidate": ["5", "enter"],
    "journal": ["6"],
    "record": ["6", "enter"],
    "allocations": ["7"],
    "help": ["3", "question_mark"],
}


class Text(SingleFileSnapshotExtension):
    _write_mode = WriteMode.TEXT
    file_extension = "txt"


@pytest.mark.parametrize("size", SIZES)
async def test_every_page_looks_as_it_did(shown, snapshot, size):
    snapshot = snapshot.use_extension(Text)
    app = dashboard(shown)
    async with seen(app, SIZES[size]) as pilot:
        for page, keys in PAGES.items():
            await press(pilot, *keys)
            if page in ("node", "tasks", "running"):
                await told(pilot, app)
            assert text(app) + "\n" == snapshot(name=f"{page}-{size}")
            await press(pilot, "escape", "escape", "escape")
