"""The kernel's loop against a journal whose disk the test turns by hand."""

from __future__ import annotations

import asyncio

import pytest

from stargen.clock import ManualClock
from stargen.errors import JournalError
from stargen.master.inbox import Inbox
from stargen.master.kernel import Ended, Kernel
from stargen.model import Location
from stargen.records import Alerted, CampaignEnded, decode
from stargen.scheduling.events import (
    CancelAttempts,
    DiskStateChanged,
    EndCampaign,
    EnvelopesRead,
    ReadEnvelopes,
    Step,
    TakeBackTasks,
    Ticked,
)
from stargen.status import Status


class SlowJournal:
    """Nothing is durable until the test says so."""

    def __init__(self):
        self.records = []
        self.durable_position = 0
        self.pending_bytes = 0
        self.error = None
        self.flushed = 0
        self.snapshots = []

    @property
    def position(self):
        return len(self.records)

    def append(self, body):
        self.records.append(decode(body))
        return len(self.records)

    def flush(self):
        self.flushed += 1

    async def until_durable(self):
        self.durable_position = self.position

    def read_all(self, locations):
        return [b"entry at %d" % at.offset for at in locations]

    async def snapshot(self, state, position):
        self.snapshots.append(position)


class Scripted:
    """A scheduler that answers each batch of events with the next step of a script."""

    def __init__(self, *steps):
        self.steps = list(steps)
        self.batches = []
        self.state = self
        self.ended = None
        self.epoch = 1

    def start(self, at, host, pid, version):
        return self.steps.pop(0)

    def handle(self, *events):
        self.batches.append(events)
        return self.steps.pop(0) if self.steps else Step([], [])

    def snapshot(self):
        return b"state"


class Nodes:
    """Notes what it was told to do, and how far the disk was."""

    def __init__(self, journal):
        self.journal = journal
        self.performed = []

    def perform(self, command):
        self.performed.append((command, self.journal.durable_position))

    def flush(self):
        pass


def text(words):
    return Alerted(1.0, words)


def order(count):
    return TakeBackTasks("n", 0, count)


class Bench:
    def __init__(self, *steps):
        self.journal = SlowJournal()
        self.scheduler = Scripted(*steps)
        self.inbox = Inbox()
        self.nodes = Nodes(self.journal)
        self.kernel = Kernel(
            self.scheduler,
            self.journal,
            self.inbox,
            status=Status(),
            clock=ManualClock(),
            performer=self.nodes,
        )

    def synced(self, position):
        self.journal.durable_position = position
        self.kernel.durable(position)

    def counts(self):
        return [command.count for command, _ in self.nodes.performed]


async def turns():
    for _ in range(5):
        await asyncio.sleep(0)


def test_commands_wait_in_order_for_the_records_before_them_while_the_loop_goes_on():
    async def main():
        bench = Bench(
            Step([], []),
            Step([text("a"), text("b")], [order(1), order(2)]),
            Step([], [order(3)]),
            Step([text("c")], [order(4)]),
            Step([text("d")], [EndCampaign("stopped", "enough")]),
        )
        await bench.kernel.begin(text("plan"))
        running = asyncio.create_task(bench.kernel.run())
        for _ in range(4):
            bench.inbox.put(Ticked)
            await turns()
        assert len(bench.scheduler.batches) == 4
        assert [r.text for r in bench.journal.records] == ["plan", "a", "b", "c", "d"]
        assert bench.counts() == []
        bench.synced(2)
        assert bench.counts() == []
        bench.synced(3)
        assert bench.counts() == [1, 2, 3]
        bench.synced(5)
        assert bench.counts() == [1, 2, 3, 4]
        assert await running == Ended("stopped", "enough")
        needed = dict(zip(bench.counts(), (at for _, at in bench.nodes.performed), strict=True))
        assert needed == {1: 3, 2: 3, 3: 3, 4: 5}

    asyncio.run(main())


def test_commands_wait_for_no_turn_if_a_flush_puts_their_records_on_disk():
    async def main():
        bench = Bench(Step([], []), Step([text("a")], [order(1)]))
        await bench.kernel.begin(text("plan"))
        flush = bench.journal.flush

        def flush_at_once():
            flush()
            bench.journal.durable_position = bench.journal.position

        bench.journal.flush = flush_at_once
        running = asyncio.create_task(bench.kernel.run())
        bench.inbox.put(Ticked)
        await turns()
        assert bench.nodes.performed == [(order(1), 2)]
        bench.kernel.end("stopped", "enough")
        await running

    asyncio.run(main())


def test_all_that_waits_is_taken_at_once_with_one_stamp():
    async def main():
        bench = Bench(Step([], []), Step([], [EndCampaign("stopped", "")]))
        await bench.kernel.begin(text("plan"))
        for _ in range(3):
            bench.inbox.put(Ticked)
        bench.inbox.put(lambda at: None)  # turned out to be nothing
        bench.kernel.disk_full(True)
        await bench.kernel.run()
        (batch,) = bench.scheduler.batches
        assert [type(event) for event in batch] == [Ticked] * 3 + [DiskStateChanged]
        assert {event.at for event in batch} == {ManualClock().wall()}

    asyncio.run(main())


def test_envelopes_are_read_and_come_back_as_an_event():
    async def main():
        places = [Location(1, 10, 5), Location(1, 20, 5)]
        bench = Bench(
            Step([], [ReadEnvelopes(2, 0, 7, places)]),
            Step([], [EndCampaign("stopped", "")]),
        )
        await bench.kernel.begin(text("plan"))
        bench.synced(1)
        await bench.kernel.run()
        ((event,),) = bench.scheduler.batches
        assert event == EnvelopesRead(event.at, 2, 0, 7, [b"entry at 10", b"entry at 20"])

    asyncio.run(main())


def test_an_end_that_was_taken_back_is_none():
    async def main():
        bench = Bench(
            Step([CampaignEnded(1.0, "done", "")], [EndCampaign("done", "")]),
            Step([text("reopened")], []),
        )
        await bench.kernel.begin(text("plan"), [Ticked(1.0)])
        bench.synced(3)
        assert not bench.kernel.over

    asyncio.run(main())


def test_a_fault_in_performing_is_raised_by_the_loop():
    async def main():
        bench = Bench(Step([], []), Step([text("a")], [CancelAttempts("n", [], "")]))
        bench.nodes.perform = lambda command: 1 / 0
        await bench.kernel.begin(text("plan"))
        running = asyncio.create_task(bench.kernel.run())
        bench.inbox.put(Ticked)
        await turns()
        bench.synced(2)
        with pytest.raises(ExceptionGroup) as caught:
            await running
        assert isinstance(caught.value.exceptions[0], ZeroDivisionError)

    asyncio.run(main())


def test_a_broken_journal_stops_the_loop():
    async def main():
        bench = Bench(Step([], []))
        await bench.kernel.begin(text("plan"))
        running = asyncio.create_task(bench.kernel.run())
        await turns()
        bench.kernel.fail(JournalError("input/output error"))
        with pytest.raises(ExceptionGroup) as caught:
            await running
        assert isinstance(caught.value.exceptions[0], JournalError)

    asyncio.run(main())


def test_nothing_more_is_taken_in_while_the_disk_is_too_far_behind():
    async def main():
        bench = Bench(Step([], []), Step([], []), Step([], [EndCampaign("stopped", "")]))
        await bench.kernel.begin(text("plan"))
        running = asyncio.create_task(bench.kernel.run())
        bench.journal.pending_bytes = 1 << 40
        bench.inbox.put(Ticked)
        await turns()
        bench.inbox.put(Ticked)
        await turns()
        assert len(bench.scheduler.batches) == 1
        bench.journal.pending_bytes = 0
        bench.synced(1)
        await running
        assert len(bench.scheduler.batches) == 2

    asyncio.run(main())


def test_the_inbox_makes_the_rare_pass_and_the_many_wait():
    async def main():
        inbox = Inbox(room=2)
        for _ in range(2):
            await inbox.put_in_turn(Ticked)
        waiting = asyncio.create_task(inbox.put_in_turn(Ticked))
        await turns()
        assert not waiting.done()
        inbox.put(Ticked)
        assert len(await inbox.take()) == 3
        await waiting
        assert len(await inbox.take()) == 1

    asyncio.run(main())
