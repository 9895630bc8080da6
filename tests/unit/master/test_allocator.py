"""What batch systems say becomes events, and a hiccup of a queue ends nothing."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from stargen.config import Batch, Limits, Pool
from stargen.errors import NodeError
from stargen.launchers.batch import QueueRow
from stargen.master.allocator import Allocator, BatchDesk
from stargen.records import AllocationPlanned, AllocationStands
from stargen.scheduling.allocations import Allocations
from stargen.scheduling.events import SubmitAllocation


class Queue:
    """A batch system as its launcher shows it."""

    def __init__(self):
        self.rows: dict[str, QueueRow] = {}
        self.refuses = ""
        self.cancelled: list[str] = []
        self.looks = 0
        self.hiccups: list[str] = []

    async def share(self, *_): ...

    async def close(self): ...

    async def submit(self, spec):
        if self.refuses:
            raise NodeError(self.refuses, node=spec.name)
        self.rows[spec.name] = QueueRow(f"job-{spec.name}", "queued", "")
        return f"job-{spec.name}"

    async def look(self, settings, campaign_id, known, *, all_=False):
        self.looks += 1
        once = self.hiccups.pop(0) if self.hiccups else "fine"
        if once == "down":
            raise NodeError("no answer", node="the queue")
        return {} if once == "empty" else dict(self.rows)

    async def cancel(self, settings, job_ids):
        self.cancelled += job_ids
        self.rows = {n: row for n, row in self.rows.items() if row.job_id not in job_ids}

    async def last_words(self, spec, job_id, *, output):
        return "gone" if output else "gone quietly"


class Master:
    """Takes the place of kernel, inbox and server."""

    def __init__(self, folder: Path):
        self.queue = Queue()
        self.allocations = Allocations()
        self.told: list[tuple[str, str, str]] = []
        self.alerts: list[str] = []
        self.concluded: list[AllocationStands] = []
        settings = Pool(
            launcher="slurm", batch=Batch(look_s=0.01), limits=Limits(cores=1, memory_gib=1)
        )
        self.allocator = Allocator(
            [BatchDesk("p", settings, self.queue)],  # type: ignore[list-item]
            campaign_id="c",
            folder=folder,
            lease_s=60.0,
            allocations=lambda: self.allocations,
            keeper=lambda spec, dialed: None,  # type: ignore[arg-type,return-value]
            nodes=SimpleNamespace(keepers={}, perform=lambda c: None),  # type: ignore[arg-type]
            inbox=SimpleNamespace(put=self.put),  # type: ignore[arg-type]
            host=lambda: self,
            server=lambda allocator: SimpleNamespace(open=self.nothing, close=self.nothing),  # type: ignore[arg-type,return-value]
        )

    async def nothing(self): ...

    def put(self, happening):
        event = happening(1.0)
        self.told.append((event.name, event.state, event.reason))
        record = AllocationStands(1.0, event.name, event.state, event.reason, event.job_id)
        self.allocations.stand(record)

    def alert(self, text):
        self.alerts.append(text)

    def fail(self, error):
        raise error

    def conclude(self, record):
        self.concluded.append(record)
        self.allocations.stand(record)

    def ask(self, name):
        self.allocations.plan(AllocationPlanned(1.0, name, "p", 1, 600.0))
        self.allocator.perform(SubmitAllocation(name, "p", 1, 600.0))

    async def until(self, *told):
        async with asyncio.timeout(10):
            while told not in self.told:  # noqa: ASYNC110 - it is a list
                await asyncio.sleep(0.005)

    async def looks(self, count):
        before = self.queue.looks
        async with asyncio.timeout(10):
            while self.queue.looks < before + count:  # noqa: ASYNC110 - it is a number
                await asyncio.sleep(0.005)


@pytest.fixture
def master(tmp_path, monkeypatch) -> Master:
    monkeypatch.setattr("stargen.master.allocator._SOON_S", 0.01)
    monkeypatch.setattr("stargen.master.allocator._LOOK_AGAIN_S", 0.01)
    return Master(tmp_path)


@asynccontextmanager
async def kept(master: Master):
    task = asyncio.create_task(master.allocator.keep())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_what_becomes_of_an_allocation_is_told(master):
    async with kept(master):
        master.ask("p-1")
        await master.until("p-1", "queued", "")
        master.queue.rows["p-1"] = QueueRow("job-p-1", "queued", "Priority")
        await master.until("p-1", "queued", "Priority")
        master.queue.rows["p-1"] = QueueRow("job-p-1", "running", "")
        await master.until("p-1", "running", "")
        master.queue.rows.clear()
        await master.until("p-1", "ended", "gone")


async def test_a_refusal_is_told(master):
    master.queue.refuses = "over the limit"
    async with kept(master):
        master.ask("p-1")
        await master.until("p-1", "refused", "over the limit")


async def test_a_queue_that_is_empty_once_ends_nothing(master):
    async with kept(master):
        master.ask("p-1")
        await master.until("p-1", "queued", "")
        master.queue.hiccups += ["empty", "down", "fine", "empty", "fine", "down", "down"]
        await master.looks(9)
        assert not any(state == "ended" for _, state, _ in master.told)
    assert set(master.alerts) == {"pool p: no answer"}


async def test_what_the_last_master_could_not_write_down_is_found(master):
    master.allocations.plan(AllocationPlanned(1.0, "p-1", "p", 1, 600.0))
    master.allocations.plan(AllocationPlanned(1.0, "p-2", "p", 1, 600.0))
    master.queue.rows = {
        "p-1": QueueRow("7", "running", ""),
        "p-9": QueueRow("8", "running", ""),
        "p-long-1": QueueRow("9", "running", ""),
    }
    async with kept(master):
        await master.until("p-1", "running", "")
        await master.until("p-2", "ended", "the master ended while it was being asked for")
        await master.looks(2)
        assert master.queue.cancelled == ["8"], "nobody knows it; p-long is another pool's"


async def test_at_the_end_everything_is_cancelled(master):
    async with kept(master):
        master.ask("p-1")
        await master.until("p-1", "queued", "")
        assert await master.allocator.end() == []
        assert master.queue.cancelled == ["job-p-1"]
        assert [(r.name, r.state) for r in master.concluded] == [("p-1", "ended")]


async def test_what_is_left_at_the_end_is_said(master, monkeypatch):
    monkeypatch.setattr("stargen.master.allocator._END_S", 0.05)
    async with kept(master):
        master.ask("p-1")
        await master.until("p-1", "queued", "")
        monkeypatch.setattr(master.queue, "cancel", master.queue.share)
        assert await master.allocator.end() == [
            "job job-p-1 (allocation p-1) is in the queue still"
        ]


def test_agents_of_others_are_not_wanted(master):
    master.allocations.plan(AllocationPlanned(1.0, "p-1", "p", 2, 600.0))
    master.allocations.plan(AllocationPlanned(1.0, "q-1", "q", 1, 600.0))
    wanted = master.allocator.wanted
    assert wanted("p-1.0")
    assert wanted("p-1.1")
    assert not any(map(wanted, ("p-1", "p-1.2", "q-1", "p-2", "", "../p-1.0")))
    master.allocations.stand(AllocationStands(1.0, "p-1", "ended"))
    assert not wanted("p-1.0")
