"""A whole master over real sockets and a real journal, with agents that only pretend to work."""

from __future__ import annotations

import asyncio
import base64
import os
from pathlib import Path

import numpy as np
import pytest
from support.fake_agent import FakeAgent, FakeLauncher

from stargen.codec import pack, unpack
from stargen.config import Pool, Settings
from stargen.crystal import Candidate, Crystal, encode_entry, envelope_of
from stargen.errors import CampaignBusy, InvariantBroken, NodeError, UserError
from stargen.folding import fold
from stargen.glance import Glance
from stargen.journal import read_entry, read_records
from stargen.master.control import ControlClient
from stargen.master.launch import Wiring
from stargen.messages import Settle, TaskFault, TasksDone, encode
from stargen.model import Location
from stargen.records import TasksFinished, decode
from stargen.scheduling.events import Asked, ResultsArrived
from stargen.scheduling.scheduler import Scheduler
from stargen.status import Status
from stargen.status_forms import freeze, thaw

CAMPAIGN = """
[campaign]
name = "small"

[[job]]
name = "make"
use = "echo.source"
grain = 1
params = {{ count = {count} }}

[[job]]
name = "pass"
input = "make"
use = "echo.map"
grain = 1
"""


def candidate(ordinal: int) -> bytes:
    crystal = Crystal.of(np.eye(3) * 4, [[0, 0, 0]], [3 + ordinal % 5])
    return encode_entry(Candidate(f"make/{ordinal}", crystal))


def work(job, order):
    if job.shape == "source":
        return [candidate(o) for o in range(order.lo, order.hi)]
    return list(order.entries)


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for knows no events
            await asyncio.sleep(0.005)


class Bench:
    """A campaign folder, its file, and agents."""

    def __init__(self, tmp_path: Path, *agents: FakeAgent, text: str | None = None, count=200):
        self.file = tmp_path / "campaign.toml"
        self.file.write_text(text or CAMPAIGN.format(count=count))
        self.folder = tmp_path / "out"
        self.agents = agents
        self.launcher = FakeLauncher(*agents)
        self.settings = Settings(pool={agent.name: Pool() for agent in agents})
        self.pictures: list[dict] = []

    def wiring(self, **options) -> Wiring:
        return Wiring(
            self.file,
            settings=self.settings,
            folder=self.folder,
            launcher=lambda name: self.launcher,
            **options,
        )

    def run(self, **options):
        async def bounded():
            async with asyncio.timeout(20):
                return await self.wiring().run(show=self.pictures.append, **options)

        return asyncio.run(bounded())

    def outputs(self, job: int) -> list[str]:
        """Candidate ids of a job's stream, read from the journal's files alone."""
        names = []
        for _, body in read_records(self.folder / "journal"):
            record = decode(body)
            if isinstance(record, TasksFinished) and record.job == job:
                for row in record.rows:
                    offset = row.offset
                    for size in row.sizes:
                        where = Location(row.segment, offset, size)
                        entry = read_entry(self.folder / "journal", where)
                        names.append(envelope_of(entry).candidate_id)
                        offset += size
        return names


def test_a_campaign_runs_to_its_end_and_every_result_is_in_the_journal(tmp_path):
    bench = Bench(tmp_path, FakeAgent("one", work), FakeAgent("two", work))
    outcome = bench.run()
    assert (outcome.state, outcome.exit_code, outcome.left) == ("done", 0, [])
    wanted = sorted(f"make/{n}" for n in range(200))
    assert sorted(bench.outputs(0)) == wanted
    assert sorted(bench.outputs(1)) == wanted
    jobs = outcome.picture["jobs"]
    assert [(job["in"], job["out"], job["state"]) for job in jobs] == [(200, 200, "done")] * 2
    assert bench.pictures[-1]["state"] == "done"
    assert not any(agent.spool for agent in bench.agents)  # everything was acknowledged


def test_a_stopped_campaign_goes_on_where_it_was(tmp_path):
    agent = FakeAgent("one", work)
    bench = Bench(tmp_path, agent, count=2000)

    async def stop_early():
        wiring = bench.wiring()

        def working(job, order):
            if len(agent.executions) == 20:
                wiring._master.inbox.put(lambda at: Asked(at, "stop", "", "test"))
            return work(job, order)

        agent.work = working
        return await wiring.run()

    first = asyncio.run(stop_early())
    assert (first.state, first.exit_code) == ("stopped", 1)
    done = len(bench.outputs(0))
    agent.work = work
    second = bench.run()
    assert second.state == "done"
    assert 0 < done < 2000
    assert sorted(bench.outputs(1)) == sorted(f"make/{n}" for n in range(2000))
    assert max(agent.executions.values()) == 1  # what was done was not done again
    assert second.picture["epoch"] == 2


def test_a_master_that_dies_finds_agent_tasks_and_spooled_results_again(tmp_path):
    def long(job, order):
        return None if job.shape == "source" and order.lo == 3 else work(job, order)

    agent = FakeAgent("one", long)
    bench = Bench(tmp_path, agent, count=10)

    async def crash():
        running = asyncio.create_task(bench.wiring().run())
        await until(lambda: len(agent.executions) == 19)
        agent.mute = True
        await asyncio.sleep(0.05)
        running.cancel()  # no goodbye to the agent; the journal is cut off as by a crash
        await asyncio.wait((running,))
        (left,) = agent.running
        assert agent.alive
        agent.mute = False
        agent.finish(left, [candidate(left.ordinal)])
        assert left in agent.spool
        return left

    async def both():
        left = await crash()
        outcome = await bench.wiring().run()
        return left, outcome

    left, outcome = asyncio.run(both())
    assert outcome.state == "done"
    assert sorted(bench.outputs(1)) == sorted(f"make/{n}" for n in range(10))
    assert agent.executions[0, left.ordinal] == 1
    assert agent.incarnation == 1
    settled = [m for m in agent.heard if isinstance(m, Settle)]
    assert left in settled[-1].deliver


def test_a_glance_is_what_its_journal_adds_up_to(tmp_path):
    def some_last(job, order):
        return None if order.ordinal % 7 == 3 else work(job, order)

    agent = FakeAgent("one", some_last, cores=8)
    bench = Bench(tmp_path, agent, count=30)

    def glance(kind, after):
        with ControlClient.of(bench.folder) as master:
            answer = master.look(glance=kind, after=after)
            assert "glance" not in master.look()
        assert answer["cost_s"] > 0
        return Glance.from_form(base64.b64decode(answer["glance"]))

    async def main():
        running = asyncio.create_task(bench.wiring().run())
        await until(lambda: len(agent.running) == 8)  # of both jobs, and for ever
        first = await asyncio.to_thread(glance, "whole", 0)
        lean = await asyncio.to_thread(glance, "lean", first.position)
        new = await asyncio.to_thread(glance, "lean", 0)
        running.cancel()
        await asyncio.wait((running,))
        return first, lean, new

    whole, lean, new = asyncio.run(main())
    assert (whole.since, whole.ends) == (None, []), "until somebody looks nothing is collected"
    status = Status()
    for _, body in read_records(bench.folder / "journal", 0, whole.position):
        fold(status, decode(body))
    assert whole.status == pack(freeze(status))
    assert sum(job.unfinished for job in thaw(unpack(lean.status)).jobs) >= 8
    assert (thaw(unpack(lean.status)).nodes, thaw(unpack(new.status)).nodes) == ({}, status.nodes)
    (node,) = status.nodes.values()
    assert lean.counts == [[node.running, node.finished, node.failed]]
    assert new.counts is None, "who knows nothing yet needs more than counts"


def test_a_cut_link_is_made_again_and_the_agent_kept(tmp_path):
    agent = FakeAgent("one", work)
    bench = Bench(tmp_path, agent, count=3000)
    cuts = []

    async def main():
        async def cut():
            for _ in range(3):
                await asyncio.sleep(0.03)
                cuts.append(await agent.cut())

        cutting = asyncio.create_task(cut())
        outcome = await bench.wiring().run()
        cutting.cancel()
        return outcome

    outcome = asyncio.run(main())
    assert outcome.state == "done"
    assert cuts
    assert agent.incarnation == 1
    assert sorted(bench.outputs(1)) == sorted(f"make/{n}" for n in range(3000))


def test_a_dead_agent_is_replaced_and_its_spool_delivered(tmp_path):
    agent = FakeAgent("one", lambda job, order: None if fresh() else work(job, order))

    def fresh():
        return agent.incarnation == 1 and len(agent.executions) > 5

    bench = Bench(tmp_path, agent, count=20)

    async def main():
        running = asyncio.create_task(bench.wiring().run())
        await until(lambda: agent.running)
        await agent.die()
        async with asyncio.timeout(10):
            return await running

    outcome = asyncio.run(main())
    assert outcome.state == "done"
    assert agent.incarnation == 2
    assert sorted(bench.outputs(1)) == sorted(f"make/{n}" for n in range(20))
    assert any("lost" in alert["text"] for alert in outcome.picture["alerts"])


def test_what_always_fails_is_set_aside_and_told(tmp_path):
    fault = TaskFault(0, 0, 0, 0, "calculation", "ValueError: odd", "13 is odd", "Traceback")

    def picky(job, order):
        if job.shape != "source" and any(b"make/13" in entry for entry in order.entries):
            return fault
        return work(job, order)

    bench = Bench(tmp_path, FakeAgent("one", picky), count=40)
    outcome = bench.run()
    assert (outcome.state, outcome.exit_code) == ("done", 1)
    assert outcome.picture["jobs"][1]["quarantined"] == 1
    assert outcome.picture["failures"][0]["signature"] == "ValueError: odd"
    again = bench.run(requests=[("retry", "pass")])
    assert again.picture["jobs"][1]["quarantined"] == 1
    bench.agents[0].work = work
    mended = bench.run(requests=[("retry", "pass")])
    assert (mended.state, mended.exit_code) == ("done", 0)
    assert sorted(bench.outputs(1)) == sorted(f"make/{n}" for n in range(40))


def test_a_second_master_is_refused_by_name(tmp_path):
    bench = Bench(tmp_path, FakeAgent("one", lambda job, order: None))

    async def main():
        running = asyncio.create_task(bench.wiring().run())
        await asyncio.sleep(0.2)
        try:
            with pytest.raises(CampaignBusy, match=f"process {os.getpid()}"):
                await bench.wiring().run()
        finally:
            running.cancel()
            await asyncio.wait((running,))

    asyncio.run(main())


def test_a_changed_campaign_file_is_taken_over_or_refused(tmp_path):
    bench = Bench(tmp_path, FakeAgent("one", work), count=10)
    bench.run()
    text = bench.file.read_text()
    bench.file.write_text(text + '\n[[job]]\nname = "more"\ninput = "pass"\nuse = "echo.map"\n')
    outcome = bench.run()
    assert [job["out"] for job in outcome.picture["jobs"]] == [10, 10, 10]
    bench.file.write_text(text.replace("count = 10", "count = 11"))
    with pytest.raises(UserError, match="make"):
        bench.run()


def test_no_node_at_all_is_an_error_with_its_reason(tmp_path, monkeypatch):
    monkeypatch.setattr("stargen.master.keeper._FIRST_PAUSE_S", 0.01)
    bench = Bench(tmp_path, FakeAgent("one", work))

    async def refuse(node):
        raise NodeError("no python there", node=node.name)

    bench.launcher.start = refuse
    with pytest.raises(UserError, match="no python there"):
        bench.run()


def test_an_agent_that_breaks_the_protocol_is_dropped_and_told(tmp_path):
    class Rude(FakeAgent):
        def _deliver(self, link, refs):
            if self.incarnation == 1 and len(self.heard) < 4:
                link.send(encode(TasksDone(77, [])))
            else:
                super()._deliver(link, refs)

    agent = Rude("one", work)
    bench = Bench(tmp_path, agent, count=10)
    outcome = bench.run()
    assert outcome.state == "done"
    assert any("there is no job 77" in alert["text"] for alert in outcome.picture["alerts"])


def test_a_bug_stops_the_master_leaves_the_agent_and_writes_its_story(tmp_path, monkeypatch):
    agent = FakeAgent("one", work)
    bench = Bench(tmp_path, agent, count=100)
    real = Scheduler.handle

    def broken(self, *events):
        if any(isinstance(event, ResultsArrived) for event in events):
            raise InvariantBroken("two and two are five")
        return real(self, *events)

    monkeypatch.setattr(Scheduler, "handle", broken)

    async def main():
        with pytest.raises(InvariantBroken, match="five") as caught:
            await bench.wiring().run()
        assert agent.alive
        (note,) = caught.value.__notes__
        assert "the journal is whole" in note
        (story,) = (bench.folder / "run").glob("story-*.txt")
        assert "two and two are five" in story.read_text()
        monkeypatch.undo()
        return await bench.wiring().run()

    outcome = asyncio.run(main())
    assert outcome.state == "done"
    assert sorted(bench.outputs(1)) == sorted(f"make/{n}" for n in range(100))


def test_snapshots_bound_what_is_replayed(tmp_path, monkeypatch):
    monkeypatch.setattr("stargen.master.kernel._SNAPSHOT_ROWS", 50)
    bench = Bench(tmp_path, FakeAgent("one", work), count=500)
    first = bench.run()
    assert list((bench.folder / "journal").glob("snapshot-*"))
    monkeypatch.setattr(
        "stargen.master.restoring.fold", lambda status, record: pytest.fail("replayed")
    )
    again = bench.run()
    assert again.state == "done"
    assert [job["out"] for job in again.picture["jobs"]] == [500, 500]
    assert again.picture["epoch"] == first.picture["epoch"] + 1
