"""A small campaign that has run for a while, on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.journals import journal_in

from stargen.model import Resources
from stargen.records import (
    Alerted,
    AssignedRow,
    EpochStarted,
    FinishedRow,
    GraphRow,
    NodeJoined,
    PlanAdopted,
    TaskFailed,
    TasksAssigned,
    TasksFinished,
    encode,
)
from stargen.scheduling.nodelist import resources_form
from stargen.store import CampaignFolder

TEXT = """
[campaign]
name = "salts"
[[job]]
name = "make"
use = "echo.source"
params = { count = 30 }
[[job]]
name = "pass"
input = "make"
use = "echo.map"
[[job]]
name = "few"
input = "pass"
select = { sample = 3 }
"""

RECORDS = [
    EpochStarted(1000.0, 1, "host", 42, "0.1"),
    PlanAdopted(
        1000.0,
        "digest",
        TEXT,
        ["make", "pass", "few"],
        [GraphRow("source", [], 30), GraphRow("map", [0], None), GraphRow("select", [1], None)],
    ),
    NodeJoined(1001.0, "local", "local", "agent", 1, resources_form(Resources(cores=2))),
    TasksAssigned(
        1002.0, 0, "local", [AssignedRow(0, 1, 0, 0, 20, 1), AssignedRow(1, 2, 0, 20, 30, 1)]
    ),
    TasksFinished(
        1004.0, 0, "local", [FinishedRow(0, 1, 1, 1, 1, 0, [10] * 17, 0, {"odd": 2, "dull": 1})]
    ),
    TasksAssigned(1005.0, 1, "local", [AssignedRow(0, 3, 0, 0, 17, 1)]),
    TaskFailed(
        1006.0, 1, 0, 1, 3, "local", "calculation", "sig", "boom", "retry", detail="line one"
    ),
    Alerted(1007.0, "the disk is slow"),
]


def lay(folder: Path, records: Sequence[Any] = RECORDS) -> CampaignFolder:
    """A campaign's folder with these records in its journal."""

    async def write():
        async with journal_in(folder / "journal") as journal:
            for record in records:
                journal.append(encode(record))
            await journal.until_durable()

    (folder / "journal").mkdir(parents=True)
    (folder / "campaign.toml").write_text(TEXT)
    asyncio.run(write())
    return CampaignFolder(folder)
