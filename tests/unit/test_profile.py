"""Where the time of tasks went, folded from records."""

from __future__ import annotations

import pytest

from stargen.model import StepCost
from stargen.profile import Profile
from stargen.records import (
    AssignedRow,
    FinishedRow,
    GraphRow,
    PassedRow,
    PlanAdopted,
    ReturnedRow,
    Routed,
    Selected,
    TaskFailed,
    TasksAssigned,
    TasksFinished,
    TasksReturned,
    decode,
    encode,
)

GRAPH = [GraphRow("source", [], 4), GraphRow("map", [0]), GraphRow("select", [1]),
         GraphRow("keyed", [2])]  # fmt: skip
PLAN = PlanAdopted(100.0, "digest", "text", ["make", "dft", "best", "one"], GRAPH)


def profile(*records):
    return Profile(decode(encode(record)) for record in (PLAN, *records)).jobs


def assigned(job, at, *rows):
    return TasksAssigned(
        at, job, "n", [AssignedRow(o, o, lane, lo, hi, 1) for o, lane, lo, hi in rows]
    )


def finished(job, at, ordinal, took_s, out=1, costs=()):
    row = FinishedRow(ordinal, 1, ordinal, int(took_s * 1e6), 1, 0, [10] * out,
                      costs=[list(cost) for cost in costs])  # fmt: skip
    return TasksFinished(at, job, "n", [row])


def test_waiting_for_a_node_and_on_the_way_are_told_apart():
    _, dft, *_ = profile(
        assigned(0, 101.0, (0, 0, 0, 2)),
        finished(0, 103.0, 0, 1.5, out=2),
        assigned(1, 110.0, (0, 0, 0, 1), (1, 0, 1, 2)),
        finished(1, 121.0, 0, 10.0),
        finished(1, 131.0, 1, 20.0),
    )
    assert dft.tasks == 2
    assert dft.busy_s == pytest.approx(30.0)
    assert dft.queued_s == pytest.approx(2 * 7.0)
    assert dft.transit_s == pytest.approx(2 * 1.0)
    assert dft.lost_s == 0


def test_attempts_without_a_result_are_lost_and_wait_again_from_then_on():
    _, dft, *_ = profile(
        finished(0, 103.0, 0, 1.0, out=1),
        assigned(1, 104.0, (0, 0, 0, 1)),
        TaskFailed(114.0, 1, 0, 1, 0, "n", "calculation", "s", "m", "retry"),
        assigned(1, 116.0, (0, 0, 0, 1)),
        TasksReturned(119.0, 1, "drained", [ReturnedRow(0, 1, 0)]),
        assigned(1, 120.0, (0, 0, 0, 1)),
        finished(1, 125.0, 0, 5.0),
    )
    assert dft.lost_s == pytest.approx(10.0 + 3.0)
    assert dft.queued_s == pytest.approx(1.0 + 2.0 + 1.0)


def test_steps_add_up_and_what_is_not_named_was_waiting():
    costs = [StepCost(0, 10.0, 6.0, 1.0, 0.5, 3.0, 2.0), StepCost(1, 4.0, 0.5, 3.0, 0.5, 0.0, 9.0)]
    _, dft, *_ = profile(
        finished(0, 103.0, 0, 1.0, out=2),
        finished(1, 110.0, 0, 14.0, costs=costs),
        finished(1, 120.0, 1, 14.0, costs=[*costs[:1], (*costs[1], "a later version's")]),
    )
    relax, bands = dft.plain()["steps"]
    assert (relax["step"], relax["tasks"], relax["wall_s"]) == (0, 2, 20.0)
    assert relax["waiting_s"] == pytest.approx(5.0)
    assert bands["io_s"] == pytest.approx(6.0)
    assert bands["written_mib"] == pytest.approx(18.0)
    assert bands["waiting_s"] == 0


def test_candidates_wait_where_they_are_told_their_lanes():
    *_, best, one = profile(
        finished(1, 103.0, 0, 1.0, out=3),
        Routed(103.0, 2, 0, 0, [0, -1, 0], [], [], []),
        Selected(104.0, 2, [PassedRow(0, 0)]),
        Routed(105.0, 3, 0, 0, [7, 9], [1, 2], [], []),
        Routed(108.0, 3, 0, 2, [7], [1], [], []),
        assigned(3, 109.0, (0, 7, 0, 2), (1, 9, 0, 1)),
    )
    assert best.out.length == 3
    assert one.queued_s == pytest.approx(1.0 + 4.0)
