"""The scheduler as a rule-based state machine: whatever happens, in whatever order.

After every rule the state's invariants hold (the cluster checks them on each step), replaying the
log gives the live state, and at the end every candidate is accounted for once.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stargen.model import Resources, Retries, SelectSpec, Shape
from stargen.scheduling.events import Asked, DiskStateChanged, Ticked
from tests.simulation.cluster import Cluster, digest, job, plan

TOTAL = 40


def _number(envelope) -> int:
    return int(envelope.candidate_id.split("/")[1])


def _first_of_key(names, kept):
    have = {name[-1] for name in kept}
    out = []
    for name in names:
        if name[-1] not in have:
            have.add(name[-1])
            out.append(name)
    return out


def _plan():
    few = Retries(calculation=1)
    return plan(
        job("make", shape=Shape.SOURCE, total=TOTAL, grain=3, retries=few),
        job("map", "make", grain=4, buffer=12, retries=few),
        job("even", "map", select=SelectSpec(where="x"), predicate=lambda e: _number(e) % 2 == 0),
        job("unique", "map", shape=Shape.KEYED, grain=3, key=lambda e: e.candidate_id[-1]),
        job("best", "map", select=SelectSpec(order_by="x", limit=4), rank=_number),
        job(
            "best_of_each",
            "map",
            select=SelectSpec(order_by="x", limit=2, per="y"),
            rank=_number,
            group=lambda e: e.candidate_id[-1],
        ),
        job("merge", "even", "best", "best_of_each", grain=None),
        job("wide", "even", resources=Resources(nodes=2), retries=few),
        job("all", "unique", shape=Shape.GATHER),
    )


class SchedulerMachine(RuleBasedStateMachine):
    @initialize(seed=st.integers(0, 10_000))
    def start(self, seed):
        self.fail_next = 0
        work = {name: self._work for name in ("make", "map", "merge", "wide", "all")}
        work["unique"] = lambda names, kept: self._work(_first_of_key(names, kept), kept)
        self.cluster = Cluster(_plan(), work, [("n1", 2), ("n2", 3)], seed=seed)

    def _work(self, names, kept):
        if self.fail_next > 0:
            self.fail_next -= 1
            return None
        return names

    def _agent(self, index):
        agents = list(self.cluster.agents.values())
        return agents[index % len(agents)]

    @rule(index=st.integers(0, 1), times=st.integers(1, 8))
    def work(self, index, times):
        for _ in range(times):
            self.cluster.now += 0.01
            self.cluster.finish_one(self._agent(index))

    @rule(times=st.integers(1, 3))
    def attempts_fail(self, times):
        self.fail_next = times

    @rule(index=st.integers(0, 1))
    def link_is_cut(self, index):
        if self._agent(index).linked:
            self.cluster.cut(self._agent(index))

    @rule(index=st.integers(0, 1))
    def link_comes_back(self, index):
        if not self._agent(index).linked:
            self.cluster.attach(self._agent(index))

    @rule(index=st.integers(0, 1))
    def agent_is_killed(self, index):
        self.cluster.kill(self._agent(index))

    @rule()
    def master_is_killed(self):
        self.cluster.restart_master()

    @rule()
    def snapshot_is_taken(self):
        self.cluster.take_snapshot()

    @rule(seconds=st.floats(0.1, 100.0))
    def time_passes(self, seconds):
        self.cluster.now += seconds
        self.cluster.event(Ticked(self.cluster.now))

    @rule(full=st.booleans())
    def disk_fills_or_empties(self, full):
        self.cluster.event(DiskStateChanged(self.cluster.now, full))

    @rule(
        action=st.sampled_from(["hold", "release", "retry"]),
        name=st.sampled_from(["make", "map", "unique", "merge", "wide", "all", "best"]),
    )
    def person_asks(self, action, name):
        self.cluster.event(Asked(self.cluster.now, action, name, "test"))
        if self.cluster.scheduler.state.ended is None:
            self.cluster.ended = None

    @precondition(lambda self: hasattr(self, "cluster"))
    @invariant()
    def replay_is_the_same(self):
        assert digest(self.cluster.replayed()) == digest(self.cluster.scheduler)

    def teardown(self):
        """Mend everything and run to the end: what was asked for must come out, once."""
        if not hasattr(self, "cluster"):
            return
        cluster = self.cluster
        self.fail_next = 0
        cluster.restart_master()
        cluster.event(DiskStateChanged(cluster.now, False))
        for agent in cluster.agents.values():
            cluster.attach(agent)
        for name in ("make", "map", "even", "unique", "best", "merge", "wide", "all"):
            cluster.event(Asked(cluster.now, "release", name, "test"))
        if cluster.scheduler.state.ended is None:
            cluster.ended = None
        assert cluster.run().state == "done"
        self._account(cluster)

    def _account(self, cluster):
        jobs = {each.plan.name: each for each in cluster.scheduler.state.jobs}
        lost = {name: len(state.quarantined) for name, state in jobs.items()}
        for name in ("make", "map", "merge", "even", "unique"):
            out = cluster.out(name)
            assert len(out) == len(set(out)), f"{name} counted one twice"
        assert len(cluster.out("make")) == TOTAL - lost["make"]
        assert len(cluster.out("map")) == len(cluster.out("make")) - lost["map"]
        order = cluster.out("map")
        best = sorted(order, key=lambda name: int(name.split("/")[1]))
        assert cluster.out("best") == best[:4]
        of_each = [n for n in best if [b for b in best if b[-1] == n[-1]].index(n) < 2]
        assert cluster.out("best_of_each") == of_each
        merged = set(cluster.out("even")) | set(cluster.out("best")) | set(of_each)
        assert len(cluster.out("wide")) == len(cluster.out("even")) - lost["wide"]
        assert len(cluster.out("merge")) == len(merged) - lost["merge"]
        for name in cluster.out("unique"):
            first = [each for each in order if each[-1] == name[-1]]
            assert name == first[0] or lost["unique"]


TestScheduler = SchedulerMachine.TestCase
TestScheduler.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
