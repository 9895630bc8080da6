"""Whole campaigns through the production scheduler, on agents in memory."""

import pytest

from stargen.codec import unpack
from stargen.model import Resources, Retries, SelectSpec, Shape, StopSpec
from stargen.scheduling.events import Asked, Ticked
from tests.simulation.cluster import Cluster, digest, job, plan

same = lambda names, kept: names  # noqa: E731


def none_of(names, kept):
    return []


def test_a_chain_brings_every_candidate_through():
    p = plan(
        job("make", shape=Shape.SOURCE, total=50),
        job("a", "make", grain=4),
        job("b", "a", grain=None),
    )
    c = Cluster(p, {"make": same, "a": same, "b": same}, [("n1", 2), ("n2", 3)])
    assert c.run().state == "done"
    expected = {f"make/{i}" for i in range(50)}
    assert set(c.out("b")) == expected
    assert len(c.out("b")) == 50
    assert max(c.executions.values()) == 1


def test_an_edge_never_holds_more_than_its_buffer():
    p = plan(
        job("make", shape=Shape.SOURCE, total=200, grain=3),
        job("slow", "make", buffer=10),
    )
    seen = []

    def slow(names, kept):
        state = c.scheduler.state
        seen.append(state.jobs[1].backlog())
        return names

    c = Cluster(p, {"make": same, "slow": slow}, [("n1", 2)])
    c.run()
    assert len(c.out("slow")) == 200
    assert max(seen) <= 10


def test_a_buffer_smaller_than_the_cluster_leaves_no_core_idle():
    """What is at work does not wait: 2,000 nodes run more tasks than an edge should hold."""
    p = plan(job("make", shape=Shape.SOURCE, total=200), job("slow", "make", buffer=3))
    c = Cluster(p, {"make": same, "slow": same}, [(f"n{i}", 4) for i in range(4)])
    c.random.choice = lambda refs: min(refs, key=lambda ref: ref.job)
    for agent in [*c.agents.values()] * 4:
        while any(ref.job == 0 for ref in agent.running):
            c.finish_one(agent)
    assert sum(len(agent.running) for agent in c.agents.values()) == 16
    assert c.scheduler.state.jobs[1].backlog() <= 3


def test_a_keyed_job_keeps_the_first_of_each_key_and_sees_what_was_kept():
    def unique(names, kept):
        have = {k.split("/")[1][-1] for k in kept}
        out = []
        for name in names:
            last = name[-1]
            if last not in have:
                have.add(last)
                out.append(name)
        return out

    p = plan(
        job("make", shape=Shape.SOURCE, total=60),
        job("unique", "make", shape=Shape.KEYED, grain=5, key=lambda e: e.candidate_id[-1]),
    )
    c = Cluster(p, {"make": same, "unique": unique}, [("n1", 4)], seed=3)
    c.run()
    kept = c.out("unique")
    assert sorted(name[-1] for name in kept) == list("0123456789")
    order = c.out("make")
    for name in kept:
        first = next(each for each in order if each[-1] == name[-1])
        assert name == first, "the first in journal order is the representative"


def test_selects_stream_rank_and_sample():
    def number(envelope):
        return int(envelope.candidate_id.split("/")[1])

    p = plan(
        job("make", shape=Shape.SOURCE, total=40),
        job("even", "make", select=SelectSpec(where="x"), predicate=lambda e: number(e) % 2 == 0),
        job("best", "even", select=SelectSpec(order_by="x", limit=5), rank=lambda e: -number(e)),
        job("sampled", "make", select=SelectSpec(sample=3), rank=lambda e: (number(e) * 7) % 40),
        job("dft", "best", "sampled"),
    )
    c = Cluster(p, {"make": same, "dft": same}, [("n1", 3)], seed=5)
    assert c.run().state == "done"
    assert c.out("best") == [f"make/{i}" for i in (38, 36, 34, 32, 30)]
    assert set(c.out("sampled")) == {"make/0", "make/23", "make/6"}
    merged = set(c.out("best")) | set(c.out("sampled"))
    assert sorted(c.out("dft")) == sorted(merged)


def test_a_select_keeps_the_best_of_each_group():
    def number(envelope):
        return int(envelope.candidate_id.split("/")[1])

    def group(envelope):
        return None if number(envelope) == 39 else str(number(envelope) % 3)

    spec = SelectSpec(order_by="x", limit=2, per="y")
    rolling = SelectSpec(order_by="x", limit=1, per="y", rolling=True)
    p = plan(
        job("make", shape=Shape.SOURCE, total=40),
        job("best", "make", select=spec, rank=lambda e: -number(e), group=group),
        job("first", "make", select=rolling, rank=lambda e: -number(e), group=group),
        job("dft", "best"),
    )
    c = Cluster(p, {"make": same, "dft": same}, [("n1", 3)], seed=5)
    assert c.run().state == "done"
    assert c.out("best") == [f"make/{i}" for i in (38, 37, 36, 35, 34, 33)]
    assert {"make/38", "make/37", "make/36"} <= set(c.out("first"))
    assert len(set(c.out("first"))) == len(c.out("first"))


def test_a_rolling_select_emits_once_and_never_takes_back():
    def number(envelope):
        return int(envelope.candidate_id.split("/")[1])

    spec = SelectSpec(order_by="x", limit=3, rolling=True)
    p = plan(
        job("make", shape=Shape.SOURCE, total=30),
        job("best", "make", select=spec, rank=lambda e: -number(e)),
        job("next", "best"),
    )
    c = Cluster(p, {"make": same, "next": same}, [("n1", 1)])
    c.run()
    out = c.out("best")
    assert len(out) == len(set(out))
    assert {"make/29", "make/28", "make/27"} <= set(out)
    assert sorted(c.out("next")) == sorted(out)


def test_a_gather_runs_once_with_everything():
    calls = []

    def hull(names, kept):
        calls.append(sorted(names))
        return names

    p = plan(
        job("make", shape=Shape.SOURCE, total=25),
        job("hull", "make", shape=Shape.GATHER),
    )
    c = Cluster(p, {"make": same, "hull": hull}, [("n1", 2)])
    c.run()
    assert calls == [sorted(f"make/{i}" for i in range(25))]


def test_nothing_comes_out_of_nothing():
    p = plan(
        job("make", shape=Shape.SOURCE, total=10),
        job("drop", "make"),
        job("hull", "drop", shape=Shape.GATHER),
        job("best", "hull", select=SelectSpec(order_by="x", limit=2), rank=lambda e: 0.0),
        job("end", "best"),
    )
    c = Cluster(p, {"make": same, "drop": none_of, "hull": same, "end": same}, [("n1", 2)])
    assert c.run().state == "done"
    assert c.out("end") == []


def test_one_poisonous_candidate_is_found_and_the_others_come_through():
    def poison(names, kept):
        return None if "make/17" in names else names

    p = plan(
        job("make", shape=Shape.SOURCE, total=64, grain=64),
        job("a", "make", grain=32),
    )
    c = Cluster(p, {"make": same, "a": poison}, [("n1", 2)])
    assert c.run().state == "done"
    assert sorted(c.out("a")) == sorted(f"make/{i}" for i in range(64) if i != 17)
    (quarantined,) = c.scheduler.state.jobs[1].quarantined
    assert "it broke" in quarantined.reason


def test_a_job_whose_candidates_all_fail_is_held_and_goes_on_when_released():
    broken = [True]

    def fails(names, kept):
        return None if broken[0] else names

    p = plan(job("make", shape=Shape.SOURCE, total=100), job("a", "make", grain=1))
    c = Cluster(p, {"make": same, "a": fails}, [("n1", 2)])
    ended = c.run()
    assert ended.state == "held"
    failed = len(c.scheduler.state.jobs[1].quarantined)
    assert 5 <= failed < 30, "it does not burn through the campaign"
    broken[0] = False
    c.restart_master()
    for agent in c.agents.values():
        c.attach(agent)
    c.ended = None
    c.event(Asked(c.now, "release", "a", "test"))
    c.event(Asked(c.now, "retry", "a", "test"))
    assert c.run().state == "done"
    assert sorted(c.out("a")) == sorted(f"make/{i}" for i in range(100))


def test_quarantined_candidates_can_be_tried_again_after_the_end():
    broken = [True]

    def sometimes(names, kept):
        return None if broken[0] and any(n.endswith("7") for n in names) else names

    p = plan(
        job("make", shape=Shape.SOURCE, total=30, retries=Retries(calculation=0)),
        job("a", "make", grain=1, retries=Retries(calculation=0)),
        job("b", "a"),
    )
    c = Cluster(p, {"make": same, "a": sometimes, "b": same}, [("n1", 2)])
    assert c.run().state == "done"
    assert len(c.out("b")) == 27
    broken[0] = False
    c.restart_master()
    for agent in c.agents.values():
        c.attach(agent)
    c.event(Asked(c.now, "retry", "", "test"))
    c.ended = None
    assert c.run().state == "done"
    assert sorted(c.out("b")) == sorted(f"make/{i}" for i in range(30))


def test_to_hold_all_jobs_is_to_hold_those_that_are_not_done():
    p = plan(
        job("make", shape=Shape.SOURCE, total=30),
        job("a", "make", resources=Resources(cores=4)),
    )
    c = Cluster(p, {"make": same, "a": same}, [("n1", 2)])
    while c.scheduler.state.jobs[0].closed is None:
        c.finish_one(c.agents["n1"])
    c.event(Asked(c.now, "hold", "", "ada"))
    assert [each.held for each in c.scheduler.state.jobs] == [None, "by ada"]


def test_it_stops_when_enough_are_kept_and_says_when_that_cannot_be():
    stop = StopSpec("a", 20, max_candidates=1000)
    p = plan(job("make", shape=Shape.SOURCE, total=None), job("a", "make"), stop=stop)
    c = Cluster(p, {"make": same, "a": same}, [("n1", 2)])
    assert c.run().state == "done"
    window = 2 * (2 + 50)  # two jobs, each with two running and 0.25 s of 10 ms tasks sent ahead
    assert 20 <= len(c.out("a")) <= 20 + window
    stop = StopSpec("a", 20, max_candidates=50)
    p = plan(job("make", shape=Shape.SOURCE, total=None), job("a", "make"), stop=stop)
    c = Cluster(p, {"make": same, "a": none_of}, [("n1", 2)])
    ended = c.run()
    assert ended.state == "held"
    assert "target unreachable" in ended.reason
    assert len(c.out("make")) == 50


def test_candidates_get_the_resources_that_their_envelope_asks_for():
    def request_of(envelope):
        big = envelope.candidate_id.endswith("5")
        return (Resources(cores=4 if big else 1),)

    p = plan(
        job("make", shape=Shape.SOURCE, total=30),
        job("a", "make", request_of=request_of),
    )
    c = Cluster(p, {"make": same, "a": same}, [("n1", 4)])
    assert c.run().state == "done"
    assert len(c.out("a")) == 30
    assert {request[0].cores for request in c.scheduler.state.jobs[1].requests} == {1, 4}


@pytest.mark.parametrize("seed", range(8))
def test_cuts_kills_and_restarts_lose_nothing_and_count_nothing_twice(seed):
    def unique(names, kept):
        have = {k[-1] for k in kept}
        out = []
        for name in names:
            if name[-1] not in have:
                have.add(name[-1])
                out.append(name)
        return out

    p = plan(
        job("make", shape=Shape.SOURCE, total=120, grain=2),
        job("a", "make", grain=3, buffer=30),
        job("unique", "a", shape=Shape.KEYED, key=lambda e: e.candidate_id[-1], grain=4),
        job("best", "a", select=SelectSpec(sample=10), rank=lambda e: hash(e.n_atoms)),
        job("b", "a", grain=None),
    )
    work = {"make": same, "a": same, "unique": unique, "b": same}
    c = Cluster(p, work, [("n1", 2), ("n2", 2), ("n3", 1)], seed=seed)
    for _ in range(4000):
        if c.ended:
            break
        agent = c.random.choice(list(c.agents.values()))
        roll = c.random.random()
        if roll < 0.01:
            c.restart_master()
        elif roll < 0.03:
            c.cut(agent)
        elif roll < 0.04:
            c.kill(agent)
        elif roll < 0.05:
            c.take_snapshot()
        elif roll < 0.06:
            assert digest(c.replayed()) == digest(c.scheduler), "replay differs from live"
        elif not agent.linked and roll < 0.4:
            c.attach(agent)
        else:
            c.now += c.random.random() * 5
            c.finish_one(agent)
    assert c.run().state == "done"
    names = sorted(f"make/{i}" for i in range(120))
    assert sorted(c.out("make")) == names
    assert sorted(c.out("a")) == names
    assert sorted(c.out("b")) == names
    assert sorted(n[-1] for n in c.out("unique")) == list("0123456789")
    assert len(c.out("best")) == 10


@pytest.mark.parametrize("retry", ["arrives", "gets lost", "waits"])
def test_a_failure_that_two_masters_are_told_counts_once(retry):
    failures = []

    def breaks_once(names, kept):
        if not failures:
            failures.append(names)
            return None
        return names

    p = plan(
        job("make", shape=Shape.SOURCE, total=1),
        job("use", "make", retries=Retries(calculation=1)),
    )
    c = Cluster(p, {"make": same, "use": breaks_once}, [("n1", 1)])
    agent = c.agents["n1"]
    c.finish_one(agent)
    agent.linked = False
    c.finish_one(agent)
    spool = dict(agent.spool)
    if retry == "waits":
        c.cut(agent)
    agent.linked = retry == "arrives"
    c.deliver(agent)
    agent.spool = spool  # the master dies before it can acknowledge the failure
    c.restart_master()
    assert c.run().state == "done"
    assert c.out("use") == ["make/0"]
    assert not c.scheduler.state.jobs[1].quarantined


def test_a_source_is_steered_by_what_its_candidates_come_to_and_retries_keep_their_parameters():
    def steer(stats):
        return {"way": "random"} if stats.kept["a"] >= 10 else None

    p = plan(
        job("make", shape=Shape.SOURCE, total=200, steer=steer),
        job("a", "make"),
    )
    c = Cluster(p, {"make": same, "a": same}, [("n1", 2)])
    while c.scheduler.state.jobs[1].out.length < 15:
        c.finish_one(c.agents["n1"])
    c.now += 1
    c.event(Ticked(c.now))
    ((boundary, params),) = c.scheduler.state.jobs[0].steered
    assert params == {"way": "random"}
    make = c.scheduler.state.jobs[0]
    assert make.params_at(boundary - 1) == b""
    assert unpack(make.params_at(boundary)) == params
    c.take_snapshot()
    c.restart_master()
    assert c.scheduler.state.jobs[0].steered == [(boundary, params)]
    assert c.run().state == "done"
    assert len(c.out("a")) == 200
    assert len(c.scheduler.state.jobs[0].steered) == 1, "the same wish is no change"
