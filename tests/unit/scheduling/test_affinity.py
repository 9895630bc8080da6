"""Tasks go where their data are, unless that would cost more than to load them again."""

from stargen.model import Resources, Shape
from stargen.scheduling.events import Asked, SendTasks, Ticked
from stargen.scheduling.placement import WARM_WAIT_S
from tests.simulation.cluster import Agent, Cluster, job, plan


class Watched(Cluster):
    """Remembers to which nodes the job `predict` was sent."""

    def _perform(self, command):
        self.used = getattr(self, "used", [])
        if isinstance(command, SendTasks) and command.job == 1:
            self.used.append(command.node)
        super()._perform(command)


def _same(names, kept):
    return names


def _cluster(total, nodes=4, affinity="weights"):
    p = plan(
        job("make", shape=Shape.SOURCE, total=total),
        job("predict", "make", resources=Resources(cores=1)) | {"affinity": affinity},
    )
    return Watched(p, {"make": _same, "predict": _same}, [(f"n{i}", 2) for i in range(nodes)])


def _trickle(cluster):
    """Candidates come one at a time, and are dealt with before the next comes."""
    while cluster.ended is None:
        agent = next((a for a in cluster.agents.values() if a.running), None)
        if agent is None:
            cluster.event(Ticked(cluster.now))
            continue
        cluster.now += 0.1
        cluster.finish_one(agent)


def test_a_trickle_of_tasks_stays_where_the_data_are():
    c = _cluster(30)
    _trickle(c)
    assert len(c.out("predict")) == 30
    assert len(set(c.used)) == 1
    c = _cluster(30, affinity=None)
    _trickle(c)
    assert len(set(c.used)) > 1


def test_much_work_is_worth_loading_everywhere():
    c = _cluster(400, nodes=1)
    make, predict = c.scheduler.state.jobs
    c.event(Asked(c.now, "hold", "predict", "ada"))
    while make.closed is None:
        c.finish_one(c.agents["n0"])
    predict.pace.learn(1.0, 1, 1)
    c.event(Asked(c.now, "release", "predict", "ada"))
    c.finish_one(c.agents["n0"])
    predict.pace.task_s = 1.0
    for name in ("n1", "n2", "n3"):
        c.agents[name] = Agent(name, 2)
        c.attach(c.agents[name])
    assert set(c.used) == {"n0", "n1", "n2", "n3"}


def test_the_wait_for_a_warm_node_is_short():
    c = _cluster(12)
    predict = c.scheduler.state.jobs[1]
    while not c.used:
        c.finish_one(next(a for a in c.agents.values() if a.running))
    warm = c.agents[c.used[0]]
    predict.pace.learn(0.5, 1, 1)
    for _ in range(40):  # the warm node hangs; the others make candidates and idle
        for agent in c.agents.values():
            if agent is not warm:
                c.finish_one(agent)
    assert set(c.used) == {warm.name}
    c.now += 2 * WARM_WAIT_S
    c.event(Ticked(c.now))
    assert len(set(c.used)) > 1


def test_jobs_with_different_data_divide_the_nodes_while_nobody_knows_what_tasks_cost():
    look = {"resources": Resources(cores=1)}
    p = plan(
        job("make", shape=Shape.SOURCE, total=40),
        job("predict", "make", **look) | {"affinity": "weights"},
        job("relax", "make", **look) | {"affinity": "other weights"},
    )
    work = {"make": _same, "predict": _same, "relax": _same}
    for released, most in ((["predict"], 4), (["predict", "relax"], 2)):
        c = Cluster(p, work, [(f"n{i}", 2) for i in range(4)])
        c.event(*(Asked(c.now, "hold", name, "ada") for name in ("predict", "relax")))
        while c.scheduler.state.jobs[0].closed is None:
            c.finish_one(next(a for a in c.agents.values() if a.running))
        c.event(*(Asked(c.now, "release", name, "ada") for name in released))
        for number in range(1, 1 + len(released)):
            at = [a for a in c.agents.values() if any(ref.job == number for ref in a.running)]
            assert len(at) == most


def test_a_new_agent_has_no_data():
    c = _cluster(30)
    _trickle(c)
    (name,) = set(c.used)
    node = c.scheduler.state.nodes[name]
    assert node.loaded == {"weights"}
    c.kill(c.agents[name])
    c.attach(c.agents[name])
    assert not node.loaded
