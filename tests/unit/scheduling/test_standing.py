"""What was sent ahead is shared when nodes idle; nodes that people drain and remove."""

from __future__ import annotations

from typing import Literal

from stargen.messages import AttemptRef
from stargen.model import Resources, Shape
from stargen.records import Alerted
from stargen.scheduling.events import (
    Asked,
    NodeAttached,
    NodeDetached,
    NodeRemoved,
    TakeBackTasks,
    TasksGivenBack,
    Ticked,
)
from stargen.scheduling.plan import Plan
from stargen.scheduling.scheduler import Scheduler
from tests.simulation.cluster import job, plan

SHORT_S = 0.01


def attached(scheduler: Scheduler, name: str, cores: int) -> None:
    resources = Resources(cores=cores)
    scheduler.handle(NodeAttached(1.0, name, "local", name, 1, resources, [], []))


def begun(plan_: Plan) -> Scheduler:
    scheduler = Scheduler(plan_)
    scheduler.start(1.0, "host", 1, "test")
    pace = scheduler.state.jobs[0].pace
    pace.candidate_s = pace.task_s = SHORT_S
    return scheduler


def taken_back(scheduler: Scheduler) -> list[tuple[str, int]]:
    commands = scheduler.handle(Ticked(2.0)).commands
    return [(c.node, c.count) for c in commands if isinstance(c, TakeBackTasks)]


def test_half_of_what_waits_is_taken_back_for_an_idle_node() -> None:
    scheduler = begun(plan(job("make", shape=Shape.SOURCE, total=20)))
    attached(scheduler, "busy", 2)
    assert taken_back(scheduler) == [], "nobody idles"
    attached(scheduler, "idle", 2)
    assert taken_back(scheduler) == [("busy", 9)]


def test_a_single_task_that_waits_is_taken_back_too() -> None:
    scheduler = begun(plan(job("make", shape=Shape.SOURCE, total=3)))
    attached(scheduler, "busy", 2)
    attached(scheduler, "idle", 2)
    assert taken_back(scheduler) == [("busy", 1)]


def test_nothing_is_taken_back_for_a_node_that_could_not_run_it() -> None:
    large = Resources(cores=2)
    scheduler = begun(plan(job("make", shape=Shape.SOURCE, total=20, resources=large)))
    attached(scheduler, "busy", 2)
    attached(scheduler, "small", 1)
    assert taken_back(scheduler) == []


def ask(scheduler: Scheduler, action: Literal["drain", "undrain"], node: str) -> None:
    scheduler.handle(Asked(2.0, action, node, "me"))


def test_a_drained_node_is_rid_of_its_work_when_all_of_it_was_given_back() -> None:
    scheduler = begun(plan(job("make", shape=Shape.SOURCE, total=20)))
    attached(scheduler, "n1", 2)
    assert not scheduler.is_rid_of("n1")
    ask(scheduler, "drain", "n1")
    assert not scheduler.is_rid_of("n1"), "it still has what was sent before"
    tasks = scheduler.state.jobs[0].tasks.values()
    refs = [AttemptRef(0, task.ordinal, task.epoch, task.n) for task in tasks if task.node]
    scheduler.handle(TasksGivenBack(3.0, "n1", refs, "drained"))
    assert scheduler.is_rid_of("n1")
    assert scheduler.is_rid_of("unknown")
    scheduler.handle(NodeRemoved(4.0, "n1", "removed by me"))
    assert scheduler.state.nodes["n1"].state == "left"
    attached(scheduler, "n1", 2)
    assert scheduler.state.nodes["n1"].takes_work, "it was added again"


def test_a_node_that_was_removed_may_come_back_and_gets_work() -> None:
    scheduler = begun(plan(job("make", shape=Shape.SOURCE, total=20)))
    attached(scheduler, "n1", 2)
    ask(scheduler, "drain", "n1")
    scheduler.handle(NodeDetached(3.0, "n1", "removed", left=True))
    scheduler.handle(NodeRemoved(4.0, "n1", "removed by me"))
    node = scheduler.state.nodes["n1"]
    assert node.state == "lost", "it had tasks, and nobody has brought them"
    assert scheduler.state.jobs[0].tasks[0].tried("infrastructure") == 1
    attached(scheduler, "n1", 2)
    assert node.takes_work
    assert not node.distributor.idle


def test_who_has_never_joined_cannot_be_drained_and_does_no_harm() -> None:
    scheduler = begun(plan(job("make", shape=Shape.SOURCE, total=20)))
    step = scheduler.handle(Asked(2.0, "drain", "ghost", "me"))
    assert [record.text for record in step.records if isinstance(record, Alerted)] == [
        "node ghost has never joined: nothing to drain"
    ]
    scheduler.handle(NodeRemoved(3.0, "ghost", "removed by me"))
    assert "ghost" not in scheduler.state.nodes
