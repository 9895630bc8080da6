"""What `stargen explain` says is what the scheduler does."""

import pytest

from stargen.errors import CampaignError
from stargen.model import Resources, Shape
from stargen.scheduling.events import Asked, NodeDetached
from stargen.scheduling.explain import describe, explain
from tests.simulation.cluster import Cluster, job, plan


def _same(names, kept):
    return names


def _cluster(*, cores=2, resources=None, nodes=1, buffer=10_000):
    p = plan(
        job("make", shape=Shape.SOURCE, total=50),
        job("slow", "make", resources=resources or Resources(), buffer=buffer),
        job("all", "slow", shape=Shape.GATHER),
    )
    agents = [(f"n{i}", cores) for i in range(nodes)]
    return Cluster(p, {"make": _same, "slow": _same, "all": _same}, agents)


def _said(cluster, target):
    return " ".join(explain(cluster.scheduler, target, cluster.now))


def test_a_job_that_waits_for_its_input():
    assert "waits for slow to end" in _said(_cluster(), "all")
    assert "waits for candidates from make" in _said(_cluster(), "slow")


def test_a_job_without_nodes():
    assert "No node has joined" in _said(_cluster(nodes=0), "make")


def test_a_job_that_is_too_large_for_every_node():
    c = _cluster(resources=Resources(cores=8, memory_gib=4.0))
    for _ in range(3):
        c.finish_one(c.agents["n0"])
    said = _said(c, "slow")
    assert "8 cores, 4 GiB" in said
    assert "n0: it is too small" in said


def test_a_node_without_a_link_and_a_full_one():
    c = _cluster()
    assert "n0: full" in _said(c, "make")
    c.event(NodeDetached(c.now, "n0", "cut"))
    assert "n0: no link to its agent" in _said(c, "make")


def test_a_job_that_makes_room_for_what_lies_downstream():
    c = _cluster(buffer=1)
    c.finish_one(c.agents["n0"])
    assert "slow has" in _said(c, "make")
    assert "its buffer is 1" in _said(c, "make")


def test_a_held_job_says_who_can_let_it_go_on():
    c = _cluster()
    c.event(Asked(c.now, "hold", "make", "ada"))
    assert "held: by ada" in _said(c, "make")
    assert "stargen release make" in _said(c, "make")


def test_tasks_running_waiting_and_ended():
    c = _cluster()
    assert "is on n0 since" in _said(c, "make/0")
    agent = c.agents["n0"]
    agent.running.clear()
    c.attach(agent)
    c.cut(agent)
    c.run()
    assert "has ended" in _said(c, "make/0")


def test_unknown_targets_are_told_what_there_is():
    c = _cluster()
    with pytest.raises(CampaignError, match="the jobs are: make, slow, all"):
        explain(c.scheduler, "relax", c.now)
    with pytest.raises(CampaignError, match="no task"):
        explain(c.scheduler, "make/999", c.now)


def test_resources_in_words():
    many = Resources(cores=1, gpus=0.5, io=2, custom=(("licence", 1.0),))
    assert describe(many) == "1 core, 0.5 GPU, 2 IO slots, 1 licence"
