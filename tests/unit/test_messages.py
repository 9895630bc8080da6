"""Messages and their wire form, old forms included."""

from __future__ import annotations

import pytest

from stargen import messages as m
from stargen.codec import pack, unpack
from stargen.errors import RemoteProtocolError

REF = m.AttemptRef(1, 2, 3, 4)
SAMPLES = [
    m.Attach("c", 3, "host:1", 60.0, True),
    m.Inventory("c", "a", 2, "boot", "host", 9, [1, 0.0], [REF], [REF, REF], 60.0),
    m.Settle([REF], [], [REF]),
    m.DefineJob(0, "j", "map", [m.StepDef("echo.map", {"n": 1})], 7, {}, commands={"v": "x"}),
    m.RunTasks(0, [1], 5, [m.TaskOrder(1, 2, 3, 4, [b"e"], [])], epoch=3, slot=1),
    m.CancelTasks([REF], "why", True),
    m.TakeBack(0, 7),
    m.GaveBack([REF], "drained"),
    m.TasksDone(0, [m.TaskDone(1, 2, 3, 0.5, [b"e", b"f"], b"d", {"odd": 2}, 17, [[0, 1.5]])]),
    m.TasksFailed([m.TaskFault(0, 1, 2, 3, "memory", "sig", "message", "detail", 1.5)]),
    m.AckResults([REF]),
    m.Load(1.0, 2.0, 3.0, 4.0, 5, [m.RunningTask(0, 1, 2, 3, 4.0, 5.0, 6.0, 7.0)], [], 0.5),
    m.Drain("why"),
    m.Shutdown("why"),
    m.Goodbye("why"),
    m.Checkpointed(0, 1, b"state"),
    m.Advanced(1, 2.0, 3.0, 4),
    m.Spawned(1, 2, 3),
    m.Ready(0, 1.5),
    m.Granted(0, [1], [0, 1], [], "/tmp/x"),
    m.Look(1.0, 20.0, True, [[0, 1]]),
    m.WantFile(0, "table.npy", "", 1024),
    m.FilePart("table.npy", "", 1024, b"data", True),
    m.KeptPart(0, 1, "state", 0, b"data", False),
]


@pytest.mark.parametrize("message", SAMPLES, ids=lambda each: type(each).__name__)
def test_round_trip(message):
    again = m.decode(m.encode(message))
    assert again == message
    assert type(again) is type(message)


def test_every_message_has_a_sample_and_keeps_its_tag():
    tags = {tag: cls.__name__ for tag, cls in m.messages.classes.items()}
    assert tags == {tag: type(each).__name__ for tag, each in enumerate(SAMPLES, start=1)}


@pytest.mark.parametrize("message", SAMPLES, ids=lambda each: type(each).__name__)
def test_fields_of_a_later_version_are_ignored(message):
    form = [*unpack(m.encode(message)), "something new"]
    assert m.decode(pack(form)) == message


def test_rows_of_a_later_version_lose_what_is_unknown():
    form = unpack(m.encode(SAMPLES[10]))
    form[1][0].append("something new")
    assert m.decode(pack(form)) == SAMPLES[10]


def test_old_forms_1_0_are_read_with_defaults():
    old = {
        m.DefineJob: ([4, 0, "j", "map", [["echo.map", {}]], 7, {}], "corrections", 10),
        m.RunTasks: ([5, 0, [1], 0, [[1, 2, 3, 4, [], []]]], "epoch", 0),
        m.Advanced: ([17, 1, 2.0, 3.0], "epoch", 0),
        m.Spawned: ([18, 1, 2], "epoch", 0),
        m.TasksDone: ([9, 0, [[1, 2, 3, 0.5, [b"e"]]]], "job", 0),
        m.Load: ([12, 1.0, 2.0, 3.0, 4.0, 5, []], "disks", []),
    }
    for cls, (form, name, value) in old.items():
        message = m.decode(pack(form))
        assert type(message) is cls
        assert getattr(message, name) == value


def test_agents_of_1_0_do_not_say_when_they_must_go():
    form = [2, "c", "a", 2, "boot", "host", 9, [1, 0.0], [], []]
    assert m.decode(pack(form)).left_s is None


def test_tasks_of_1_0_have_no_hosts_for_themselves():
    assert m.decode(pack([5, 0, [1], 0, [[1, 2, 3, 4, [], []]], 7, 2])).hosts == []


def test_results_of_1_0_say_nothing_of_their_costs():
    form = [9, 0, [[1, 2, 3, 0.5, [b"e"], b"", {}, None]]]
    assert m.decode(pack(form)).rows[0].costs == []


def test_rows_come_back_as_rows():
    done = m.decode(m.encode(SAMPLES[8]))
    assert done.rows[0].drop_counts == {"odd": 2}
    assert isinstance(done.rows[0], m.TaskDone)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        pack([99, 1]),
        pack("text"),
        pack([]),
        pack([1]),
        pack([11, 5]),
        pack([5, 0, 1]),
    ],
)
def test_garbage_is_refused(data):
    with pytest.raises(RemoteProtocolError):
        m.decode(data)
