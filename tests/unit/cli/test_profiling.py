import json
import re

from support.campaigns import RECORDS, lay

from stargen.records import AssignedRow, FinishedRow, TasksAssigned, TasksFinished

COSTS = [[0, 30.0, 6.0, 21.0, 1.0, 2.0, 4096.0]]
MORE = [
    TasksAssigned(1006.5, 1, "local", [AssignedRow(0, 4, 0, 0, 17, 1)]),
    TasksFinished(
        1037.0, 1, "local", [FinishedRow(0, 1, 4, 30_000_000, 1, 0, [10] * 17, costs=COSTS)]
    ),
]


def test_where_the_time_went(stargen, here):
    lay(here / "campaigns" / "salts", [*RECORDS, *MORE])
    told = stargen("profile").out
    assert re.search(r"pass +1 +30 s +1.5 s +0.50 s +1.0 s", told)
    assert re.search(r"echo.map +30 s +100% +20% +70% +3% +7% +2\.0 MiB +4\.0 GiB", told)
    assert "echo.map takes most, 70% of it reading and writing" in told


def test_for_programs(stargen, here):
    lay(here / "campaigns" / "salts", [*RECORDS, *MORE])
    make, job, _ = json.loads(stargen("profile", "--json").out)
    assert make["steps"] == []
    assert (job["job"], job["tasks"], job["busy_s"]) == ("pass", 1, 30.0)
    (step,) = job["steps"]
    assert (step["use"], step["io_s"], step["waiting_s"]) == ("echo.map", 21.0, 2.0)


def test_of_a_campaign_that_has_done_nothing_yet(stargen, here):
    lay(here / "campaigns" / "salts", RECORDS[:1])
    assert stargen("profile", "--json").out == "[]\n"
