"""Who is blamed for failures: the candidate, or the node that fails what others finish."""

from stargen.messages import TaskFault
from stargen.model import Retries, Shape
from stargen.records import JobHeld, records
from stargen.scheduling.events import Asked, FailuresArrived, Ticked
from stargen.scheduling.nodelist import READY, SUSPENDED
from stargen.scheduling.policy import NODE_FAILURES
from tests.simulation.cluster import Cluster, job, plan

TOTAL = 40


def _cluster(nodes, retries=Retries()):  # noqa: B008 - frozen
    p = plan(
        job("make", shape=Shape.SOURCE, total=TOTAL, retries=retries),
        job("map", "make", retries=retries),
    )
    work = {name: lambda names, kept: names for name in ("make", "map")}
    return Cluster(p, work, [(f"n{i}", 2) for i in range(nodes)])


def _fail_all(cluster, agent):
    """Every task that the agent has fails there."""
    for ref in list(agent.running):
        if ref in agent.running:
            del agent.running[ref]
            fault = TaskFault(*ref, "calculation", "no licence", "no licence on this host")
            cluster.event(FailuresArrived(cluster.now, agent.name, [fault]))


def _work_on(cluster, hole, rounds=30):
    for _ in range(rounds):
        for agent in cluster.agents.values():
            if agent is not hole:
                cluster.finish_one(agent)
        _fail_all(cluster, hole)
        cluster.now += 1.0
        cluster.event(Ticked(cluster.now))


def test_a_node_that_fails_what_others_finish_is_set_aside():
    c = _cluster(3)
    hole = c.agents["n1"]
    _work_on(c, hole)
    node = c.scheduler.state.nodes["n1"]
    assert node.state == SUSPENDED
    assert f"{NODE_FAILURES} failures in a row" in node.reason
    assert not hole.running
    for job_ in c.scheduler.state.jobs:
        assert job_.held is None
        assert not job_.quarantined
    c.run()
    assert len(c.out("map")) == TOTAL
    assert c.replayed().state.nodes["n1"].state == SUSPENDED


def test_a_person_can_give_it_another_chance():
    c = _cluster(2)
    _work_on(c, c.agents["n1"])
    c.event(Asked(c.now, "undrain", "n1", "ada"))
    assert c.scheduler.state.nodes["n1"].state == READY
    c.run()
    assert len(c.out("map")) == TOTAL


def test_the_only_node_is_kept():
    c = _cluster(1, Retries(calculation=20))
    hole = c.agents["n0"]
    c.finish_one(hole)
    for _ in range(2 * NODE_FAILURES):
        _fail_all(c, hole)
    assert c.scheduler.state.nodes["n0"].state == READY


def test_what_no_task_can_do_holds_the_job_once():
    c = _cluster(1)
    (agent,) = c.agents.values()
    refs = list(agent.running)
    assert len(refs) > 1
    faults = [TaskFault(*ref, "user", "no weights", "there are no weights") for ref in refs]
    c.event(FailuresArrived(c.now, agent.name, faults))
    assert c.scheduler.state.jobs[0].held == "there are no weights"
    assert sum(isinstance(records.decode(body), JobHeld) for body in c.log) == 1
