"""How many nodes are asked for, which are given back, and what people are told of it."""

import pytest

from stargen.folding import fold
from stargen.messages import AttemptRef
from stargen.model import Resources, Shape
from stargen.records import AllocationPlanned, AllocationStands, decode, encode
from stargen.scheduling.allocations import PAUSES_S, Allocations, BatchPool
from stargen.scheduling.events import (
    AllocationSeen,
    Asked,
    DoneRow,
    NodeAttached,
    NodeDetached,
    NodeLeaving,
    ReleaseAllocation,
    ResultsArrived,
    SendTasks,
    SubmitAllocation,
    TasksGivenBack,
    Ticked,
)
from stargen.scheduling.explain import explain
from stargen.scheduling.invariants import check_invariants
from stargen.scheduling.scheduler import Scheduler
from stargen.scheduling.state import CampaignState
from stargen.status import Status
from tests.simulation.cluster import entry, job, plan

NODE = Resources(cores=4, memory_gib=8.0, scratch_gib=100.0)


def pool(**changed):
    usual = {
        "name": "p", "node": NODE, "nodes": 1, "max_nodes": 3, "max_queued": 2,
        "ladder_s": (600.0, 7200.0), "worth_s": 60.0, "idle_s": 100.0, "margin_s": 60.0,
    }  # fmt: skip
    return BatchPool(**usual | changed)


class Site:
    """A scheduler, and a batch system that does what it is told to."""

    def __init__(self, *jobs, **changed):
        self.plan = plan(*jobs)
        self.pools = [pool(**changed)]
        self.now = 1000.0
        self.scheduler = Scheduler(self.plan, pools=self.pools)
        self.status = Status()
        self.log = []
        self.orders = []
        self.running = {}
        self.take(self.scheduler.start(self.now, "host", 1, "test"))

    def take(self, step):
        for record in step.records:
            assert decode(encode(record)) == record
            self.log.append(record)
        check_invariants(self.scheduler.state)
        for command in step.commands:
            if isinstance(command, SubmitAllocation | ReleaseAllocation):
                self.orders.append(command)
            elif isinstance(command, SendTasks):
                for row in command.rows:
                    self.running.setdefault(command.node, []).append((command.job, row))

    def event(self, *events):
        self.take(self.scheduler.handle(*events))

    def tick(self, seconds=1.0):
        """What was ordered in a tick, that much later."""
        self.now += seconds
        self.orders = []
        self.event(Ticked(self.now))
        return self.orders

    def asked(self, seconds=1.0):
        """Which allocations a tick asks for; the batch system takes them."""
        names = [o.name for o in self.tick(seconds) if isinstance(o, SubmitAllocation)]
        for name in names:
            self.event(AllocationSeen(self.now, name, "queued", "", f"job-{name}"))
        return names

    def attach(self, name, left_s=540.0):
        resources = self.pools[0].node
        self.event(
            NodeAttached(
                self.now, name, "p", f"agent-{name}", 1, resources, [], [],
                self.now + left_s, name.partition(".")[0],
            )
        )  # fmt: skip

    def finish(self, name, each_s, most=None):
        """The node brings what it has, each task having taken so long."""
        for index, row in self.running.pop(name, [])[:most]:
            out = [entry(f"{index}-{n}") for n in range(row.lo, row.hi)]
            done = DoneRow(index, row.ordinal, 1, row.n, each_s, 1, 0, out)
            self.event(ResultsArrived(self.now, name, [done]))

    def said(self, target):
        return " ".join(explain(self.scheduler, target, self.now))

    @property
    def states(self):
        return {each.name: each.state for each in self.scheduler.state.allocations}


def source(total=400, **more):
    return job("make", shape=Shape.SOURCE, total=total, **more)


def test_one_node_finds_out_how_long_tasks_take():
    site = Site(source())
    assert site.asked() == ["p-1"]
    assert site.asked() == [], "nobody knows yet whether a second would find work"
    site.attach("p-1")
    assert site.states == {"p-1": "running"}
    assert site.asked() == []
    site.finish("p-1", 30.0)
    assert site.asked() == ["p-2", "p-3"]
    assert site.asked() == [], "max_nodes"
    assert "max_nodes is 3" in site.said("make")


def test_short_tasks_are_not_worth_another_node():
    site = Site(source())
    site.asked()
    site.attach("p-1")
    site.finish("p-1", 0.1)
    assert site.asked() == []
    assert "there is work for no more nodes" in site.said("p")


def test_tasks_that_take_longer_than_a_node_must_be_worth_count_each():
    site = Site(source())
    site.asked()
    site.attach("p-1")
    assert site.asked(59.0) == []
    assert site.asked(2.0) == ["p-2", "p-3"]


def test_a_declared_time_counts_until_a_better_one_is_known():
    site = Site(source(resources=Resources(walltime_s=3000.0)))
    orders = site.tick()
    assert [order.walltime_s for order in orders] == [7200.0, 7200.0], "the shorter does not do"


def test_the_shortest_walltime_is_taken_in_which_the_work_fits():
    site = Site(source(total=40, resources=Resources(walltime_s=100.0)), max_nodes=8)
    assert {order.walltime_s for order in site.tick()} == {600.0}
    site = Site(source(total=4000, resources=Resources(walltime_s=100.0)), max_nodes=8)
    assert {order.walltime_s for order in site.tick()} == {7200.0}


def test_what_no_new_node_could_run_is_not_asked_for():
    site = Site(source(resources=Resources(cores=5)))
    assert site.asked() == []
    assert "a new node would not help: it is too small" in site.said("make")
    site = Site(source(resources=Resources(walltime_s=7199.0)))
    assert site.asked() == []
    assert "a new node would not help: its time ends" in site.said("make")


def test_nodes_that_are_there_already_do_the_work_first():
    site = Site(source(total=8, resources=Resources(walltime_s=600.0)))
    big = Resources(cores=8, memory_gib=8.0)
    site.event(NodeAttached(site.now, "here", "local", "a", 1, big, [], []))
    assert site.asked() == []


def test_refusals_are_answered_by_pauses_that_grow():
    site = Site(source())
    for pause_s in PAUSES_S[:3]:
        (order,) = site.tick()
        site.event(AllocationSeen(site.now, order.name, "refused", "sbatch: error: no"))
        assert "sbatch: error: no" in site.said("make")
        assert "the next try is in" in site.said("p")
        assert site.tick(pause_s - 1.0) == []
    assert site.asked(2.0) == ["p-1"]


def test_an_allocation_that_ends_before_an_agent_came_is_a_refusal_too():
    site = Site(source())
    site.asked()
    site.event(AllocationSeen(site.now, "p-1", "running", "", "job-p-1"))
    site.event(AllocationSeen(site.now, "p-1", "ended", "python: not found", "job-p-1"))
    assert site.asked() == []
    assert "python: not found" in site.said("p")
    assert site.asked(PAUSES_S[0]) == ["p-1"]
    site.attach("p-1")
    assert not site.scheduler.state.allocations.refusals("p").count, "it works after all"


def test_what_idles_is_given_back_and_what_waits_in_vain():
    site = Site(source(total=12), job("last", "make"))
    site.event(Asked(site.now, "hold", "last", "me"))
    site.asked()
    site.attach("p-1")
    site.finish("p-1", 90.0)
    assert site.asked() == ["p-2"]
    while "p-1" in site.running:
        site.finish("p-1", 90.0)
    for seconds in (1.0, 50.0, 49.0):
        assert site.tick(seconds) == []
    assert [order.name for order in site.tick(1.0)] == ["p-1", "p-2"]
    assert site.states == {"p-1": "released", "p-2": "released"}
    assert site.scheduler.state.nodes["p-1"].state == "draining"
    site.event(NodeDetached(site.now, "p-1", "no work", left=True))
    assert site.scheduler.state.nodes["p-1"].state == "left"


def test_a_node_whose_time_is_over_leaves_and_its_name_is_used_again():
    site = Site(source())
    site.asked()
    site.attach("p-1")
    rows = site.running.pop("p-1")
    site.event(NodeLeaving(site.now, "p-1", "its time is over"))
    back = [AttemptRef(index, row.ordinal, 1, row.n) for index, row in rows]
    site.event(TasksGivenBack(site.now, "p-1", back, "its time is over"))
    site.event(NodeDetached(site.now, "p-1", "its time is over", left=True))
    node = site.scheduler.state.nodes["p-1"]
    assert (node.state, node.reason) == ("left", "its time is over")
    assert all(not task.tries for task in site.scheduler.state.jobs[0].tasks.values())
    site.event(AllocationSeen(site.now, "p-1", "ended", "COMPLETED", "job-p-1"))
    assert site.asked()[0] == "p-1"
    site.attach("p-1")
    assert node.state == "ready"


def test_tasks_of_an_allocation_that_is_gone_go_to_others():
    site = Site(source())
    site.asked()
    site.attach("p-1")
    site.event(AllocationSeen(site.now, "p-1", "running", "", "job-p-1"))
    site.event(NodeDetached(site.now, "p-1", "the stream ended"))
    assert site.scheduler.state.nodes["p-1"].state == "ready", "it may come back"
    site.event(AllocationSeen(site.now, "p-1", "ended", "Slurm says NODE_FAIL", "job-p-1"))
    assert site.scheduler.state.nodes["p-1"].state == "lost"
    assert site.scheduler.state.nodes["p-1"].distributor.idle


def test_an_agent_that_outlives_its_allocation_is_sent_away():
    site = Site(source())
    site.asked()
    site.attach("p-1")
    site.orders = []
    site.event(AllocationSeen(site.now, "p-1", "ended", "Slurm says NODE_FAIL", "job-p-1"))
    assert [type(order) for order in site.orders] == [ReleaseAllocation]
    site.event(NodeDetached(site.now, "p-1", "sent away", left=True))
    assert site.scheduler.state.nodes["p-1"].state == "lost", "it had tasks"


def test_no_task_goes_to_a_node_on_which_it_cannot_end():
    site = Site(source())
    site.asked()
    site.attach("p-1", left_s=540.0)
    site.finish("p-1", 50.0)
    assert len(site.running["p-1"]) == 4
    site.now += 495.0
    site.finish("p-1", 50.0)
    assert "p-1" not in site.running
    assert "p-1: its time ends in 45 s, a task takes 50 s" in site.said("make")


def test_a_fresh_node_takes_tasks_that_only_mostly_end_in_its_time():
    site = Site(source(), max_nodes=1)
    site.asked()
    site.attach("p-1", left_s=540.0)
    for each_s in (100.0, 500.0, 100.0, 500.0):
        site.finish("p-1", each_s, most=1)
    site.running.clear()
    pace = site.scheduler.state.jobs[0].pace
    assert pace.task_s + 3 * pace.spread_s > 540
    site.event(NodeDetached(site.now, "p-1", "bye", left=True))
    site.event(AllocationSeen(site.now, "p-1", "ended", "", "job-p-1"))
    site.asked()
    site.attach("p-1", left_s=540.0)
    assert site.running["p-1"]


def test_allocations_of_several_nodes_serve_tasks_that_need_as_many():
    wide = source(resources=Resources(nodes=2, cores=4, walltime_s=500.0))
    site = Site(wide, nodes=2, max_nodes=4)
    orders = site.tick()
    assert [(order.name, order.nodes) for order in orders] == [("p-1", 2), ("p-2", 2)]
    assert Site(wide, nodes=1).tick() == []


def test_state_and_picture_survive_a_restart():
    site = Site(source())
    site.asked()
    site.attach("p-1")
    site.finish("p-1", 90.0)
    site.asked()
    site.event(AllocationSeen(site.now, "p-2", "ended", "gone", "job-p-2"))
    again = CampaignState.from_snapshot(site.plan, site.scheduler.snapshot())
    assert again.allocations.form() == site.scheduler.state.allocations.form()
    replayed = CampaignState(site.plan)
    for record in site.log:
        replayed.apply(record)
    assert replayed.allocations.form() == again.allocations.form()


def test_the_picture_alerts_of_a_refusal_once():
    status = Status()
    for at in (1.0, 2.0):
        fold(status, AllocationPlanned(at, "p-1", "p", 1, 60.0))
        fold(status, AllocationStands(at, "p-1", "refused", "no account"))
    assert [text for _, text in status.alerts] == ["allocation p-1 is refused: no account"]
    fold(status, AllocationPlanned(3.0, "p-1", "p", 1, 60.0))
    fold(status, AllocationStands(3.0, "p-1", "queued", "", "17"))
    assert status.allocations["p-1"].job_id == "17"
    assert not status.allocations["p-1"].refused


@pytest.mark.parametrize("node", ["p-1", "p-1.0", "p-1.3"])
def test_nodes_belong_to_the_allocation_whose_name_they_bear(node):
    allocations = Allocations()
    allocations.plan(AllocationPlanned(1.0, "p-1", "p", 4, 60.0))
    found = allocations.of_node(node)
    assert found is not None
    assert found.name == "p-1"
    assert allocations.of_node("q-1") is None
