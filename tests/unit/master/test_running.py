"""A whole master over real sockets and a real journal, with agents that only pretend to work."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from support.fake_agent import FakeAgent, FakeLauncher

from stargen.config import Pool, Settings
from stargen.crystal import Candidate, Crystal, encode_entry, envelope_of
from stargen.journal import read_entry, read_records
from stargen.master.launch import Wiring
from stargen.messages import TaskFault
from stargen.model import Location
from stargen.records import TasksFinished, decode

CAMPAIGN = """
[campaign]
name = "small"

[[job]]
name = "make"
use = "echo.source"
params = {{ count = {count} }}

[[job]]
name = "pass"
input = "make"
use = "echo.map"
"""


def candidate(ordinal: int) -> bytes:
    crystal = Crystal.of(np.eye(3) * 4, [[0, 0, 0]], [3 + ordinal % 5])
    return encode_entry(Candidate(f"make/{ordinal}", crystal))


def work(job, order):
    if job.shape == "source":
        return [candidate(o) for o in range(order.lo, order.hi)]
    return list(order.entries)


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
