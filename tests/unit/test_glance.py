"""What somebody who looks now and then is told: the newest ends, and some of the open tasks."""

from stargen.folding import fold
from stargen.glance import MOST_ENDS, OF_TASKS, Ends, Glance, counted, listed, recounted
from stargen.records import (
    AssignedRow,
    CandidateQuarantined,
    EpochStarted,
    FinishedRow,
    GraphRow,
    LateResults,
    NodeJoined,
    PlanAdopted,
    ReturnedRow,
    Routed,
    TaskFailed,
    TasksAssigned,
    TasksFinished,
    TasksReturned,
    decode,
    encode,
)
from stargen.status import Status
from stargen.status_forms import freeze, thaw


def finished(at, job, *ordinals):
    rows = [FinishedRow(ordinal, 1, 1, 1000, 1, 0, [10]) for ordinal in ordinals]
    return TasksFinished(at, job, "n1", rows)


def failed(at, job, ordinal):
    return TaskFailed(at, job, ordinal, 1, 1, "n1", "calculation", "x", "no", "retry")


def assigned(at, job, node, *ordinals):
    return TasksAssigned(at, job, node, [AssignedRow(o, 1, 0, o, o + 1, 1) for o in ordinals])


class Journal:
    """Hands records on with their positions, as the kernel does."""

    def __init__(self, ends):
        self.ends = ends
        self.position = 0

    def add(self, *records):
        for record in records:
            self.position += 1
            self.ends.take(self.position, record, encode(record))


def told(ends, after=0):
    return [(position, decode(form).rows[0].ordinal) for position, form in ends.after(after)]


def test_nothing_is_kept_until_somebody_asks_nor_after_they_have_left():
    ends = Ends()
    journal = Journal(ends)
    journal.add(finished(100.0, 0, 1))
    ends.ask(100.0)
    journal.add(finished(101.0, 0, 2), finished(102.0, 0, 3))
    assert told(ends) == [(3, 3)]
    journal.add(finished(500.0, 0, 4))
    assert (ends.since, told(ends), list(ends.seconds)) == (None, [], [])


def test_it_begins_with_a_whole_second_so_that_its_counts_are_all():
    ends = Ends()
    ends.ask(100.0)
    journal = Journal(ends)
    journal.add(finished(100.2, 0, 1), finished(100.9, 0, 2))
    assert ends.since is None
    journal.add(finished(101.1, 0, 3, 4), failed(101.5, 0, 9), finished(102.0, 1, 5))
    assert ends.since == 2
    assert list(ends.seconds) == [[101, 2], [102, 1]]
    assert [position for position, _ in ends.after(3)] == [4, 5]


def test_many_ends_of_one_job_leave_those_of_the_others():
    ends = Ends()
    ends.ask(100.0)
    journal = Journal(ends)
    journal.add(finished(100.0, 0, 0), finished(101.0, 1, 7))
    journal.add(*(finished(101.0, 0, n) for n in range(2 * MOST_ENDS)))
    kept = told(ends)
    assert len(kept) == MOST_ENDS + 1
    assert kept[0] == (2, 7)
    assert kept[-1] == (journal.position, 2 * MOST_ENDS - 1)


def picture():
    """Of two jobs; the second has a task that waits, and then more open ones than are listed."""
    graph = [GraphRow("source", [], 9), GraphRow("map", [0])]
    status = Status()
    for record in (
        EpochStarted(100.0, 1, "here", 7, "0.1"),
        PlanAdopted(100.0, "d", "t", ["make", "screen"], graph),
        assigned(101.0, 0, "n1", 0, 1),
        assigned(102.0, 1, "n1", 0),
        failed(103.0, 1, 0),
        assigned(104.0, 1, "n1", *range(1, 301)),
        assigned(105.0, 1, "n2", 301, 302),
    ):
        fold(status, record)
    return status


def test_a_lean_glance_lists_who_was_sent_first_and_counts_the_rest():
    status = picture()
    lean = thaw(freeze(status, listed(status, "", None)))
    assert list(lean.jobs[0].open) == [0, 1]
    assert list(lean.jobs[1].open) == list(range(1, 201))
    assert lean.jobs[1].open[1] == ("n1", 1, 104.0, 1, 1)
    assert [job.unfinished for job in lean.jobs] == [2, 303]
    assert freeze(lean) == freeze(status, listed(status, "", None))


def test_a_lean_glance_lists_all_of_a_node_and_one_task_if_they_are_looked_at():
    status = picture()
    assert list(thaw(freeze(status, listed(status, "n2", None))).jobs[1].open)[200:] == [301, 302]
    assert list(thaw(freeze(status, listed(status, "n1", None))).jobs[1].open)[-1] == 300
    waiting = thaw(freeze(status, listed(status, "", [1, 0])))
    assert waiting.jobs[1].open[0] == ("", 1, 0.0, 0, 0)
    assert list(waiting.jobs[0].open) == [0, 1]


def test_a_glance_comes_through_its_form():
    glance = Glance(7, None, False, b"status", [[5, b"record"]], [[101, 3]], [[1, 2, 0]])
    assert Glance.from_form(glance.form()) == glance


def test_counts_of_nodes_bring_known_ones_up_to_date():
    status = Status()
    plan = PlanAdopted(100.0, "d", "t", ["make"], [GraphRow("source", [], 9)])
    for record in (plan, *(NodeJoined(100.0, name, "p", "a", 1, []) for name in ("n1", "n2"))):
        fold(status, record)
    known = thaw(freeze(status)).nodes
    story = (
        assigned(101.0, 0, "n1", 0, 1, 2, 3),
        assigned(101.0, 0, "n2", 4),
        failed(102.0, 0, 3),
        finished(103.0, 0, 0, 1),
        TasksReturned(104.0, 0, "taken back", [ReturnedRow(4, 1, 1)]),
        CandidateQuarantined(105.0, 0, 0, 3, 3, [], "no attempt brought it"),
        Routed(106.0, 0, 0, 0, [], [], [], []),
        LateResults(107.0, "n2", 1),
    )
    for record in story:
        fold(status, record)
    assert {*map(type, story)} == {*OF_TASKS}, "others may change more of a node"
    assert counted(status) == [(1, 2, 1), (0, 0, 0)]
    assert recounted(known, counted(status)) == status.nodes
    assert known["n1"].finished == 0, "somebody else may still look at them"
    assert thaw(freeze(status, None, ())).nodes == {}
