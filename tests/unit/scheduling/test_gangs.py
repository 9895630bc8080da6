"""Tasks that have several nodes for themselves."""

from stargen.model import Resources, Shape
from stargen.scheduling.events import CancelAttempts, NodeAttached, NodeDetached, SendTasks, Ticked
from stargen.scheduling.explain import explain
from tests.simulation.cluster import Cluster, digest, job, plan

PAIR = Resources(cores=2, nodes=2)


class Watched(Cluster):
    """Remembers every command."""

    def _perform(self, command):
        self.commands = [*getattr(self, "commands", []), command]
        super()._perform(command)

    def sent(self, name):
        index = self.plan.job(name).index
        return [c for c in self.commands if isinstance(c, SendTasks) and c.job == index]


def _same(names, kept):
    return names


def _cluster(nodes=4, resources=PAIR, total=6):
    p = plan(
        job("make", shape=Shape.SOURCE, total=total),
        job("wide", "make", resources=resources),
        job("after", "wide"),
    )
    agents = [(f"n{i}", 2) for i in range(nodes)]
    return Watched(p, {name: _same for name in ("make", "wide", "after")}, agents)


def _gangs(cluster):
    return {task: set(names) for task, names in cluster.scheduler.state.gangs.items()}


def _until_a_gang_runs(cluster):
    for _ in range(100):
        if cluster.scheduler.state.gangs:
            return
        for agent in cluster.agents.values():
            cluster.finish_one(agent)
        cluster.now += 1.0
        cluster.event(Ticked(cluster.now))
    raise AssertionError("no gang was formed")


def test_each_task_has_its_nodes_for_itself():
    c = _cluster()
    _until_a_gang_runs(c)
    seen = []
    while c.ended is None:
        gangs = list(_gangs(c).values())
        assert sum(map(len, gangs)) == len(set().union(*gangs)), "no node is in two gangs"
        for names in gangs:
            busy = [name for name in names if c.agents[name].running]
            assert len(busy) == 1, "only the leader is sent anything"
        seen += gangs
        agent = c.random.choice(list(c.agents.values()))
        if not c.finish_one(agent):
            c.now += 1.0
            c.event(Ticked(c.now))
    assert all(len(names) == 2 for names in seen)
    assert sorted(c.out("after")) == sorted(f"make/{i}" for i in range(6))
    assert all(s.gang[0] == s.node and len(s.gang) == 2 for s in c.sent("wide"))
    assert all(s.gang == [] for s in c.sent("make"))


def test_a_lost_member_ends_the_attempt_without_blame():
    c = _cluster(nodes=3, total=1)
    _until_a_gang_runs(c)
    ((task, names),) = c.scheduler.state.gangs.items()
    leader, member = names
    c.kill(c.agents[member])
    c.event(NodeDetached(c.now, member, "dead", final=True))
    cancels = [each for each in c.commands if isinstance(each, CancelAttempts)]
    assert [each.node for each in cancels] == [leader]
    assert f"{member} of its nodes is lost" in cancels[0].reason
    first = c.sent("wide")[0].rows[0].n
    assert [ref.n for ref in cancels[0].attempts] == [first]
    ((_, again),) = c.scheduler.state.gangs.items()
    assert member not in again, "others take its place at once"
    wide = c.scheduler.state.jobs[1]
    assert wide.tasks[task[1]].tried("infrastructure") == 1
    assert wide.failures == 0
    c.run()
    assert c.out("after") == ["make/0"]


def test_a_lost_leader_frees_its_members():
    c = _cluster(nodes=2, total=1)
    _until_a_gang_runs(c)
    ((_, (leader, member)),) = c.scheduler.state.gangs.items()
    c.kill(c.agents[leader])
    c.event(NodeDetached(c.now, leader, "dead", final=True))
    assert not c.scheduler.state.gangs
    assert c.scheduler.state.nodes[member].gang is None
    c.run()
    assert c.out("after") == ["make/0"]


def test_nodes_of_two_allocations_make_no_gang():
    c = _cluster(nodes=2, total=1)
    for name in ("n0", "n1"):
        agent = c.agents[name]
        c.event(
            NodeAttached(
                c.now, name, "local", name, 1, agent.resources, list(agent.running), [],
                allocation=name,
            )
        )  # fmt: skip
    for agent in c.agents.values():
        while c.finish_one(agent):
            pass
    c.event(Ticked(c.now + 1))
    assert not c.scheduler.state.gangs
    said = " ".join(explain(c.scheduler, "wide", c.now))
    assert "2 nodes of one allocation at once, on each 2 cores" in said


def test_a_gang_that_waits_is_not_starved():
    """`make` could keep every node busy for ever; nodes are kept free all the same."""
    c = _cluster(nodes=2, total=500)
    c.finish_one(c.agents["n0"])
    c.event(Ticked(c.now))
    said = " ".join(explain(c.scheduler, "make", c.now))
    assert "it is kept free for job wide" in said
    for _ in range(20):
        for agent in c.agents.values():
            c.finish_one(agent)
        if c.scheduler.state.gangs:
            break
    assert c.scheduler.state.gangs


def test_a_restarted_master_knows_the_gangs():
    c = _cluster(nodes=2, total=2)
    _until_a_gang_runs(c)
    before = _gangs(c)
    c.take_snapshot()
    assert digest(c.replayed()) == digest(c.scheduler)
    c.restart_master()
    assert _gangs(c) == before
    c.run()
    assert sorted(c.out("after")) == ["make/0", "make/1"]
