"""Records and their form in the journal, old forms included."""

from __future__ import annotations

import pytest

from stargen import records as r
from stargen.codec import pack, unpack
from stargen.errors import RemoteProtocolError

SAMPLES = [
    r.EpochStarted(1.0, 2, "host", 3, "0.1"),
    r.PlanAdopted(1.0, "digest", "text", ["a"], [r.GraphRow("source", [], 10, waits=False)], "1d"),
    r.NodeJoined(1.0, "n", "pool", "a", 1, [1, 0.0]),
    r.NodeLost(1.0, "n", "why"),
    r.NodeState(1.0, "n", "ready", "why"),
    r.TasksAssigned(1.0, 0, "n", [r.AssignedRow(1, 2, 0, 3, 4, 1, 1)]),
    r.TasksFinished(
        1.0, 0, "n", [r.FinishedRow(*range(1, 7), [7, 8], 9, {"odd": 1}, 10, [5], [[0]])]
    ),
    r.TasksReturned(1.0, 0, "why", [r.ReturnedRow(1, 2, 3)]),
    r.TaskFailed(1.0, 0, 1, 2, 3, "n", "memory", "sig", "message", "retry", 0, 1.5, "detail"),
    r.CandidateQuarantined(1.0, 0, 1, 2, 3, [1, 2, 3], "why"),
    r.Routed(1.0, 0, 0, 5, [0, -1], [1, 2**63], [0.5], [2**64 - 1]),
    r.Selected(1.0, 0, [r.PassedRow(0, 1)]),
    r.LaneOpened(1.0, 0, 1, [[1, 0.0]]),
    r.JobHeld(1.0, 0, "why", "who"),
    r.JobReleased(1.0, 0, "who"),
    r.JobClosed(1.0, 0, "done"),
    r.SourceEnded(1.0, 0, 5, "why"),
    r.SourceSteered(1.0, 0, 5, {"size": 3}),
    r.QuarantineReopened(1.0, 0, "who"),
    r.LateResults(1.0, "n", 3),
    r.CampaignEnded(1.0, "done", "why"),
    r.Alerted(1.0, "text"),
    r.AllocationPlanned(1.0, "p-1", "p", 2, 3600.0),
    r.AllocationStands(1.0, "p-1", "queued", "Priority", "17"),
]


@pytest.mark.parametrize("record", SAMPLES, ids=lambda each: type(each).__name__)
def test_round_trip(record):
    again = r.decode(r.encode(record))
    assert again == record
    assert type(again) is type(record)


def test_every_record_has_a_sample_and_keeps_its_tag():
    tags = {tag: cls.__name__ for tag, cls in r.records.classes.items()}
    assert tags == {tag: type(each).__name__ for tag, each in enumerate(SAMPLES, start=1)}


def test_every_record_says_when_first():
    for record in SAMPLES:
        assert record.at == unpack(r.encode(record))[1] == 1.0


@pytest.mark.parametrize("record", SAMPLES, ids=lambda each: type(each).__name__)
def test_fields_of_a_later_version_are_ignored(record):
    assert r.decode(pack([*unpack(r.encode(record)), "something new"])) == record


def test_old_forms_1_are_read_with_defaults():
    plan = r.decode(pack([2, 1.0, "digest", "text", ["a"]]))
    assert plan.graph == []
    assert plan.campaign_id == ""
    done = r.decode(pack([7, 1.0, 0, "n", [[1, 2, 3, 4, 5, 6, [7]]]]))
    assert done.rows[0].drops_size == 0
    assert done.rows[0].end_of_source is None
    assert done.rows[0].keys == []


def test_old_forms_2_are_read_with_defaults():
    plan = r.decode(pack([2, 1.0, "digest", "text", ["a"], [["select", [0], None]], "id"]))
    assert plan.graph == [r.GraphRow("select", [0], None, waits=False)]


def test_old_forms_3_are_read_with_defaults():
    assigned = r.decode(pack([6, 1.0, 0, "n", [[1, 2, 0, 3, 4, 1]]]))
    assert assigned.members == []


def test_results_of_3_say_nothing_of_their_costs():
    form = [7, 1.0, 0, "n", [[1, 2, 3, 4, 5, 6, [7], 0, {}, None, []]]]
    assert r.decode(pack(form)).rows[0].costs == []


@pytest.mark.parametrize("data", [b"", b"\xc1", pack([99, 1.0]), pack(7), pack([6, 1.0, 0])])
def test_garbage_is_refused(data):
    with pytest.raises(RemoteProtocolError):
        r.decode(data)
