"""The picture folded from records."""

from __future__ import annotations

import json

import pytest

from stargen.codec import pack, unpack
from stargen.folding import fold
from stargen.records import (
    POLICY,
    Alerted,
    AssignedRow,
    CampaignEnded,
    CandidateQuarantined,
    EpochStarted,
    FinishedRow,
    GraphRow,
    JobClosed,
    JobHeld,
    JobReleased,
    LateResults,
    NodeJoined,
    NodeLost,
    NodeState,
    PassedRow,
    PlanAdopted,
    QuarantineReopened,
    ReturnedRow,
    Routed,
    Selected,
    SourceEnded,
    SourceSteered,
    TaskFailed,
    TasksAssigned,
    TasksFinished,
    TasksReturned,
    decode,
    encode,
)
from stargen.status import Status
from stargen.status_forms import as_json, eta_s, failures_json, freeze, thaw, times_left

RESOURCES = [2, 0.0, 4.0, 0.0, 4, 1, None, "none", []]
START = [
    EpochStarted(100.0, 1, "here", 7, "0.1"),
    PlanAdopted(
        100.0,
        "d",
        "t",
        ["make", "screen", "best"],
        [GraphRow("source", [], 100), GraphRow("map", [0]), GraphRow("select", [1])],
    ),
    NodeJoined(100.0, "n1", "local", "a1", 1, RESOURCES),
]


def assigned(job, *tasks, at=101.0, node="n1"):
    rows = [AssignedRow(o, o, 0, lo, hi, 1) for o, lo, hi in tasks]
    return TasksAssigned(at, job, node, rows)


def finished(job, *tasks, at=102.0, node="n1", drops=None):
    rows = [
        FinishedRow(o, 1, o, 500_000, 1, 0, [10] * out, drop_counts=drops or {}) for o, out in tasks
    ]
    return TasksFinished(at, job, node, rows)


def seen(*records):
    status = Status()
    for record in [*START, *records]:
        fold(status, decode(encode(record)))
    return status


def test_a_task_is_counted_in_when_it_is_finished():
    status = seen(assigned(0, (0, 0, 10), (1, 10, 20)), finished(0, (0, 9), drops={"odd": 1}))
    make = status.jobs[0]
    assert (make.taken, make.out, make.dropped) == (10, 9, {"odd": 1})
    assert (make.finished, make.running, make.busy_s) == (1, 1, 0.5)
    assert (status.nodes["n1"].running, status.nodes["n1"].finished) == (1, 1)
    assert status.waiting(status.jobs[1]) == 9


def test_what_lies_beyond_the_end_of_a_source_is_not_counted():
    last = FinishedRow(0, 1, 0, 1, 1, 0, [10, 10], drop_counts={"odd": 1}, end_of_source=3)
    beyond = FinishedRow(1, 1, 1, 1, 1, 0, [], end_of_source=3)
    silent = FinishedRow(2, 1, 2, 1, 1, 0, [])
    tasks = assigned(0, (0, 0, 10), (1, 10, 20), (2, 20, 30))
    status = seen(tasks, TasksFinished(102.0, 0, "n1", [last, beyond, silent]))
    assert (status.jobs[0].taken, status.jobs[0].out) == (3, 2)


def test_a_returned_task_keeps_its_size_for_a_late_result():
    status = seen(
        assigned(0, (0, 0, 10)),
        TasksReturned(101.5, 0, "node gone", [ReturnedRow(0, 1, 0)]),
    )
    assert status.jobs[0].running == status.nodes["n1"].running == 0
    fold(status, finished(0, (0, 10)))
    assert status.jobs[0].taken == 10
    assert status.jobs[0].running == 0


def test_a_lost_node_runs_nothing_and_raises_an_alert():
    status = seen(assigned(0, (0, 0, 10)), NodeLost(103.0, "n1", "silent for 60 s"))
    assert status.nodes["n1"].running == status.running == 0
    assert status.nodes["n1"].state == "lost"
    assert "silent for 60 s" in status.alerts[-1][1]
    fold(status, NodeJoined(104.0, "n1", "local", "a1", 2, RESOURCES))
    assert status.nodes["n1"].state == "ready"


def failed(ordinal, verdict, at=103.0, signature="ValueError: x"):
    return TaskFailed(
        at, 1, ordinal, 1, ordinal, "n1", "calculation", signature, "x is odd", verdict, 5
    )


def test_failures_are_grouped_by_class_signature_and_node():
    status = seen(
        assigned(1, (0, 0, 10), (1, 10, 20)),
        failed(0, "retry"),
        failed(1, "split"),
        failed(9, "quarantine", signature="other"),
    )
    first, second = failures_json(status)
    assert (first["count"], first["verdicts"]) == (2, {"retry": 1, "split": 1})
    assert first["last_task"] == "screen/1"
    assert second["signature"] == "other"
    assert status.jobs[1].running == 0
    assert list(status.jobs[1].open) == [0]
    assert status.nodes["n1"].failed == 3


def test_signatures_that_never_repeat_end_in_one_group(monkeypatch):
    monkeypatch.setattr("stargen.folding._GROUPS", 3)
    status = seen(*(failed(n, "retry", signature=f"at 0x{n}") for n in range(10)))
    assert [(g["signature"], g["count"]) for g in failures_json(status)] == [
        ("others", 7),
        ("at 0x0", 1),
        ("at 0x1", 1),
        ("at 0x2", 1),
    ]


def test_quarantined_candidates_count_until_they_are_tried_again():
    status = seen(
        assigned(1, (0, 0, 1)),
        CandidateQuarantined(103.0, 1, 0, 0, 0, [1, 2, 3], "burns"),
        JobClosed(103.0, 1, "done"),
        JobClosed(103.0, 2, "done"),
        CampaignEnded(103.0, "done", "all"),
    )
    assert (status.jobs[1].quarantined, status.jobs[1].taken, status.ended) == (1, 1, True)
    fold(status, QuarantineReopened(104.0, 1, "me"))
    assert (status.jobs[1].quarantined, status.jobs[1].taken, status.ended) == (0, 0, False)
    assert status.jobs[2].closed is None
    assert status.state == "running"


def test_a_select_counts_what_it_looked_at_and_let_through():
    status = seen(Routed(103.0, 2, 0, 0, [0, -1, 0], [], [], []))
    assert (status.jobs[2].taken, status.jobs[2].out) == (3, 2)
    fold(status, Selected(104.0, 2, [PassedRow(0, 1)]))
    assert status.jobs[2].out == 3


def test_other_jobs_count_what_routing_turned_away():
    status = seen(Routed(103.0, 1, 0, 0, [0, -1, 3], [], [], []))
    assert (status.jobs[1].taken, status.jobs[1].out) == (1, 0)


def test_holding_closing_and_cancelling():
    status = seen(assigned(1, (0, 0, 10)), JobHeld(103.0, 1, "fails", "policy"))
    assert as_json(status, 104.0)["jobs"][1]["state"] == "held"
    fold(status, JobReleased(104.0, 1, "me"))
    assert status.jobs[1].held is None
    fold(status, JobClosed(105.0, 1, "cancelled"))
    assert status.jobs[1].running == status.nodes["n1"].running == 0
    assert as_json(status, 106.0)["jobs"][1]["state"] == "cancelled"


def test_what_was_gathered_stays_final_when_candidates_are_tried_again():
    rows = [GraphRow("source", [], 3), GraphRow("map", [0]), GraphRow("select", [1], waits=True)]
    status = seen(
        PlanAdopted(100.0, "d", "t", ["make", "screen", "best"], rows),
        *(JobClosed(105.0, job, "done") for job in range(3)),
        QuarantineReopened(110.0, 0, "me"),
    )
    assert [job.closed for job in status.jobs] == [None, None, "done"]


def test_the_time_without_a_master_is_not_counted():
    status = seen(EpochStarted(160.0, 2, "here", 8, "0.1"))
    assert as_json(status, 170.0) | {"started_at": 100.0, "away_s": 60.0} == as_json(status, 170.0)


def test_a_held_job_has_no_end_in_sight():
    status = seen(assigned(0, (0, 0, 50)), finished(0, (0, 50), at=110.0))
    assert times_left(status, 111.0)[0] is not None
    fold(status, JobHeld(111.0, 0, "by ada", "ada"))
    assert times_left(status, 111.0)[0] is None


def test_people_are_alerted_to_what_they_did_not_ask_for():
    status = seen(JobHeld(103.0, 0, "by ada", "ada"), JobHeld(103.0, 1, "6 of 9 failed", POLICY))
    assert [text for _, text in status.alerts] == ["screen is held: 6 of 9 failed"]
    assert any(text == "make is held: by ada" for _, text in status.events)


def test_the_rest_is_told():
    status = seen(
        NodeState(103.0, "n1", "suspended", "fails alone"),
        LateResults(103.0, "n1", 3),
        SourceEnded(103.0, 0, 40, "no more files"),
        SourceSteered(103.0, 0, 20, {"size": 3}),
        Alerted(103.0, "the sink is gone"),
    )
    assert status.late == 3
    assert status.jobs[0].total == 40
    assert [text for _, text in status.alerts] == [
        "node n1 is suspended: fails alone",
        "the sink is gone",
    ]
    assert any("size = 3" in text for _, text in status.events)


def test_eta_follows_rates_and_yields():
    status = seen(
        assigned(0, (0, 0, 50)),
        finished(0, (0, 50), at=110.0),
        assigned(1, (0, 0, 20)),
        finished(1, (0, 10), at=110.0),
    )
    # 50 of 100 made in 1 s; 20 of 50 screened in 1 s: 30 wait and 50 will come.
    assert eta_s(status, 111.0) is None  # nothing was selected yet, so its rate is unknown
    assert as_json(status, 111.0)["eta_at_least_s"] == pytest.approx(80 / 20)
    fold(status, Routed(111.0, 2, 0, 0, [0] * 10, [], [], []))
    assert eta_s(status, 111.0) == pytest.approx(80 / 20)
    assert times_left(status, 111.0) == pytest.approx([50 / 50, 80 / 20, 80 / 20])


def test_nobody_knows_how_many_a_selection_will_let_through():
    graph = [GraphRow("source", [], 100), GraphRow("select", [0]), GraphRow("map", [1])]
    status = seen(
        PlanAdopted(100.0, "d", "t", ["make", "best", "relax"], graph),
        assigned(0, (0, 0, 50)),
        finished(0, (0, 50), at=110.0),
        Routed(110.0, 1, 0, 0, [-1] * 50, [], [], []),
    )
    assert times_left(status, 111.0) == [1.0, 1.0, None]


def test_an_endless_source_has_no_eta():
    status = seen(assigned(0, (0, 0, 50)), finished(0, (0, 50)))
    status.jobs[0].total = None
    assert eta_s(status, 103.0) is None


def test_rates_forget():
    status = seen(assigned(0, (0, 0, 60)), finished(0, (0, 60), at=110.0))
    meter = status.jobs[0].meter
    assert meter.now(112.0) == pytest.approx(30.0)
    assert meter.now(200.0) == 0.0
    fold(status, assigned(0, (1, 60, 120)))
    fold(status, finished(0, (1, 60), at=130.0))
    assert meter.mean() == pytest.approx(120 / 20)


def test_json_is_json_and_a_snapshot_is_the_same_picture():
    status = seen(
        assigned(0, (0, 0, 10), (1, 10, 20)),
        finished(0, (0, 9)),
        assigned(1, (0, 0, 9)),
        failed(0, "retry"),
    )
    again = thaw(unpack(pack(freeze(status))))
    assert as_json(again, 120.0) == json.loads(json.dumps(as_json(status, 120.0)))
    for each in (status, again):
        fold(each, finished(0, (1, 10), at=121.0))
    assert as_json(again, 122.0) == as_json(status, 122.0)


def test_nothing_is_kept_of_finished_tasks():
    status = seen()
    for first in range(0, 6400, 64):
        fold(status, assigned(0, *((first + i, first + i, first + i + 1) for i in range(64))))
        fold(status, finished(0, *((first + i, 1) for i in range(64))))
    assert status.jobs[0].taken == 6400
    assert not status.jobs[0].open
    assert len(pack(freeze(status))) < 1000
