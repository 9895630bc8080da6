"""What is sent to a node, and when."""

from __future__ import annotations

import asyncio
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
from support.fake_agent import FakeAgent, FakeLauncher

from stargen.config import Pool
from stargen.errors import NodeError, RemoteProtocolError
from stargen.launchers.base import NodeSpec
from stargen.master.arrivals import Arrivals
from stargen.master.inbox import Inbox
from stargen.master.keeper import NodeKeeper
from stargen.master.nodes import Nodes
from stargen.messages import (
    Attach,
    AttemptRef,
    DefineJob,
    GaveBack,
    Look,
    Ready,
    Settle,
    TaskDone,
    TaskFault,
    TasksDone,
    TasksFailed,
)
from stargen.model import Location, Resources
from stargen.scheduling.events import (
    AcknowledgeResults,
    NodeAttached,
    NodeDetached,
    ResultsArrived,
    SendRow,
    SendTasks,
    SettleInventory,
    TasksGivenBack,
)
from stargen.transport.greeting import Identity
from stargen.transport.session import USUAL


class Journal:
    """Says where payloads would lie."""

    def __init__(self):
        self.bytes = b""

    def append_payload(self, entries):
        at = len(self.bytes)
        self.bytes += b"".join(entries)
        return Location(1, at, len(self.bytes) - at)


def arrivals(wants=lambda job, ordinal: True):
    return Arrivals(Journal(), wants, 2)


def define(job, pool):
    return DefineJob(job, f"job{job}", "map", [], 0, {})


class Bench:
    """One node with a pretended agent."""

    def __init__(self, tmp_path, agent, **options):
        self.inbox = Inbox()
        self.alerts: list[str] = []
        self.agent = agent
        self.launcher = FakeLauncher(agent)
        spec = NodeSpec("one", "local", Pool(), "c", tmp_path, tmp_path, tmp_path / "s", 60.0)
        self.keeper = NodeKeeper(
            spec,
            self.launcher,
            me=Identity("master", "c", "m"),
            limits=USUAL,
            inbox=self.inbox,
            arrivals=arrivals(),
            alert=self.alerts.append,
        )
        self.nodes = Nodes(
            [self.keeper],
            define=define,
            read=lambda places: [b"entry %d" % at.offset for at in places],
            **options,
        )

    def send(self, job, *ordinals):
        rows = [SendRow(n, n, n, n + 1, [Location(1, n, 7)], []) for n in ordinals]
        self.nodes.perform(SendTasks("one", job, Resources(), 0, rows))
        self.nodes.flush()

    async def events(self, count):
        events = []
        async with asyncio.timeout(10):
            while len(events) < count:
                events += [e for make in await self.inbox.take() if (e := make(1.0))]
        return events

    def settle(self):
        self.nodes.perform(SettleInventory("one", [], [], []))
        self.nodes.flush()


def run(bench, scenario):
    async def main():
        keeping = asyncio.create_task(bench.nodes.keep(Attach("c", 1, "m", 60.0)))
        try:
            await scenario()
        finally:
            keeping.cancel()
            await asyncio.wait((keeping,))
            await bench.agent.die()

    asyncio.run(main())


@pytest.mark.parametrize(("nodes", "told"), [(100, True), (2000, False)])
def test_nodes_that_tell_as_much_by_themselves_are_not_asked_to(nodes, told):
    sent = []
    keeper = SimpleNamespace(send=sent.append, flush=lambda: None)
    watched = Nodes([], define=define, read=list)
    watched.keepers = cast("Any", {f"n{i}": keeper for i in range(nodes)})
    watched.look()
    watched.look()
    assert [look.every_s for look in sent] == [1.0] * nodes * told
    watched.look(["n7"], [0, 1])
    assert sent[-1] == Look(1.0, 20.0, closely=True, tasks=[[0, 1]])


def test_a_job_is_defined_once_a_link_and_before_its_tasks(tmp_path):
    bench = Bench(tmp_path, FakeAgent("one"))

    async def scenario():
        (attached,) = await bench.events(1)
        assert isinstance(attached, NodeAttached)
        assert attached.resources == Resources(cores=2)
        bench.settle()
        bench.send(0, 1, 2)
        bench.send(0, 3)
        bench.send(1, 4)
        done = await bench.events(2)
        rows = [row for event in done for row in event.rows]
        assert sorted(row.ordinal for row in rows) == [1, 2, 3, 4]
        assert rows[0].entries == [b"entry 1"]
        await bench.agent.cut()
        detached, again = await bench.events(2)
        assert isinstance(detached, NodeDetached)
        assert not detached.final
        assert isinstance(again, NodeAttached)
        bench.settle()
        bench.send(0, 5)
        await bench.events(1)
        defined = [m.job for m in bench.agent.heard if isinstance(m, DefineJob)]
        assert defined == [0, 1, 0]

    run(bench, scenario)


def test_nothing_decided_for_a_former_link_is_sent_over_a_new_one(tmp_path):
    bench = Bench(tmp_path, FakeAgent("one"))

    async def scenario():
        bench.send(0, 1)  # there is no link yet
        await bench.events(1)
        bench.send(0, 2)  # there is one, but what it has is not settled yet
        bench.nodes.perform(AcknowledgeResults("one", [AttemptRef(0, 9, 1, 9)]))
        bench.settle()
        bench.send(0, 3)
        (done,) = await bench.events(1)
        assert [row.ordinal for row in done.rows] == [3]
        assert list(bench.agent.executions) == [(0, 3)]
        settled, *_ = [m for m in bench.agent.heard if not isinstance(m, Attach)]
        assert isinstance(settled, Settle)

    run(bench, scenario)


def test_a_dead_agent_is_reported_as_final_and_started_again(tmp_path):
    bench = Bench(tmp_path, FakeAgent("one"))

    async def scenario():
        await bench.events(1)
        await bench.agent.die()
        detached, attached = await bench.events(2)
        assert detached.final
        assert attached.incarnation == 2
        assert bench.launcher.starts == 2

    run(bench, scenario)


def test_kill_points_stand_on_both_sides_of_an_acknowledgement(tmp_path):
    points = []
    bench = Bench(tmp_path, FakeAgent("one"), observer=points.append)

    async def scenario():
        await bench.events(1)
        bench.settle()
        bench.nodes.perform(AcknowledgeResults("one", [AttemptRef(0, 1, 1, 1)]))
        assert points == ["before-ack"]
        bench.nodes.flush()
        assert points == ["before-ack", "after-ack"]
        bench.nodes.flush()
        assert len(points) == 2

    run(bench, scenario)


def test_a_problem_is_told_once_and_hope_is_lost_after_some_tries(tmp_path, monkeypatch):
    monkeypatch.setattr("stargen.master.keeper._FIRST_PAUSE_S", 0.001)
    bench = Bench(tmp_path, FakeAgent("one"))

    async def refuse(spec):
        raise NodeError("no python there", node=spec.name)

    bench.launcher.start = refuse

    async def scenario():
        assert bench.nodes.hopeless is None
        async with asyncio.timeout(10):
            while bench.nodes.hopeless is None:  # noqa: ASYNC110 - a property tells nobody
                await asyncio.sleep(0.01)
        assert bench.nodes.hopeless == "one: no python there"
        assert bench.alerts == ["node one: no python there"]

    run(bench, scenario)


def test_of_a_thousand_hopeless_nodes_a_few_are_told():
    keepers = [cast("Any", SimpleNamespace(name=f"cn{i}", tries=9, problem="no")) for i in range(9)]
    nodes = Nodes(keepers, define=cast("Any", None), read=cast("Any", None))
    assert nodes.hopeless == "cn0: no; cn1: no; cn2: no; cn3: no; cn4: no; and 4 more"


DONE = TaskDone(1, 1, 5, 0.25, [b"one", b"three"], b"drops", {"odd": 1}, 7)


def test_results_are_laid_in_the_journal_in_one_piece():
    made = arrivals(lambda job, ordinal: ordinal != 2)
    rows = [DONE, DONE._replace(ordinal=2), DONE._replace(ordinal=3, drops=b"")]
    event = made.event(9.0, "n", TasksDone(1, rows))
    assert isinstance(event, ResultsArrived)
    first, unwanted, last = event.rows
    assert (first.offset, first.drops_size, first.end_of_source) == (0, 5, 7)
    assert (last.offset, last.drops_size) == (13, 0)
    assert (unwanted.ordinal, unwanted.entries) == (2, [])
    assert made._journal.bytes == b"onethreedropsonethree"


def test_what_is_given_back_becomes_an_event():
    ref = AttemptRef(1, 2, 3, 4)
    event = arrivals().event(9.0, "n", GaveBack([ref], "drained"))
    assert event == TasksGivenBack(9.0, "n", [ref], "drained")


FAULT = TaskFault(0, 1, 1, 1, "calculation", "s", "m")


@pytest.mark.parametrize(
    "message",
    [
        TasksDone(2, [DONE]),
        TasksDone(-1, [DONE]),
        TasksFailed([FAULT._replace(job=5)]),
        TasksFailed([FAULT._replace(failure="boredom")]),
        GaveBack([AttemptRef(7, 0, 0, 0)]),
        Ready(0, 1.0),
    ],
)
def test_what_an_agent_must_not_say_is_refused(message):
    with pytest.raises(RemoteProtocolError):
        arrivals().check(message)


def test_a_fault_passes():
    made = arrivals()
    made.check(TasksFailed([FAULT]))
    assert partial(made.event, node="n", message=TasksFailed([FAULT]))(2.0).rows == [FAULT]
