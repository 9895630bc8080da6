"""The campaign `far`, which runs elsewhere, and somebody who types `stargen ...` for it."""

from __future__ import annotations

from pathlib import Path

from support.checker import Books
from support.real_campaigns import Desk

HEAD = """\
[campaign]
name = "far"
seed = 5
database = "sqlite:///far.db"
"""


class Far(Desk):
    """A working directory."""

    @property
    def folder(self) -> Path:
        return self.base / "campaigns" / "far"

    def begun(self) -> list[str]:
        """The candidates whose long task was begun, in order of beginning."""
        log = self.base / "executions"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line.split()[1] for line in lines]

    def books(self) -> Books:
        """What came of it, checked: every candidate once, in journal and database."""
        books = Books(self.folder / "journal")
        books.check_complete()
        books.check_database(self.base / "far.db")
        return books
