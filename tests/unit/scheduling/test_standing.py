"""What was sent ahead is shared when nodes idle."""

from __future__ import annotations

from stargen.model import Resources, Shape
from stargen.scheduling.events import NodeAttached, TakeBackTasks, Ticked
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
