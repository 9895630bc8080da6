"""Where records come in a flood a master tells what they add up to: the same as what was read."""

import asyncio
import base64
import shutil
from contextlib import asynccontextmanager

import pytest
from support.shown import SECONDS, START, ToldMaster

from stargen.codec import pack
from stargen.glance import OF_TASKS, Ends, Glance, counted, listed
from stargen.journal import read_records
from stargen.records import decode
from stargen.status_forms import freeze
from stargen.tui import feed as following
from stargen.tui.feed import Feed
from stargen.tui.link import Live
from stargen.tui.trail import View

WAIT_S = 60.0


class Master(ToldMaster):
    """Has folded a journal up to a record, and kept the ends from the beginning on."""

    def __init__(self, journal):
        super().__init__()
        self.view, self.ends = View(), Ends()
        self.ends.ask(START + SECONDS)
        self.rows = read_records(journal)
        self.nodes_changed_at = 0
        self.counts_told = 0

    def go_to(self, position):
        for at, body in self.rows:
            record = decode(body)
            self.view.take(at, record)
            self.ends.take(at, record, body)
            if not isinstance(record, OF_TASKS):
                self.nodes_changed_at = at
            if at == position:
                return

    def look(self, since=0.0, at=(), task="", glance="", after=0):
        answer = super().look(since, at, task)
        if glance:
            status = self.view.status
            whole = glance == "whole"
            some = None if whole else listed(status, "", None)
            known = not whole and after >= self.nodes_changed_at
            form = pack(freeze(status, some, () if known else None))
            ends, seconds = self.ends.after(after), list(self.ends.seconds)
            counts = counted(status) if known else None
            self.counts_told += known
            told = Glance(self.view.position, self.ends.since, whole, form, ends, seconds, counts)
            answer["glance"] = base64.b64encode(told.form()).decode()
        return answer


async def until(condition):
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - what is waited for knows no events
            await asyncio.sleep(0.01)


@asynccontextmanager
async def following_a_half(shown, tmp_path):
    """A feed that has read some half of a journal, the master, and how the rest is written."""
    journal = tmp_path / "journal"
    shutil.copytree(shown.journal, journal)
    (segment,) = journal.glob("*.log")
    whole = segment.read_bytes()
    segment.write_bytes(whole[: len(whole) // 2])
    feed = Feed(journal, wall=lambda: START + SECONDS + 1)
    running = asyncio.create_task(feed.run())
    await until(lambda: feed.read_all)
    try:
        yield feed, Master(shown.journal), lambda: segment.write_bytes(whole)
    finally:
        running.cancel()
        await asyncio.wait((running,))


def tell(feed, master, *, whole=False):
    """Ask the master what the feed wants to know, and tell it; the kind of glance."""
    glance, after = feed.glance_wanted(whole)
    feed.heard(Live().then(master.look(glance=glance, after=after)))
    return glance


def read(shown, position):
    """What somebody has who reads all records up to there."""
    view = View()
    for at, body in read_records(shown.journal, 0, position):
        view.take(at, decode(body))
    return view


def same(view, other):
    """Status, ends, results and speed."""
    assert view.position == other.position
    assert pack(freeze(view.status)) == pack(freeze(other.status))
    assert list(view.trail.recent())[:200] == list(other.trail.recent())[:200]
    now = other.status.at
    assert view.trail.pace(now, 40, 2) == other.trail.pace(now, 40, 2)
    for job in range(len(other.status.jobs)):
        found = view.trail.newest_outputs(job, 2_000)
        assert found == other.trail.newest_outputs(job, 2_000)[: len(found)]
        assert found or not other.trail.newest_outputs(job, 1)


@pytest.fixture
def flood(monkeypatch):
    """Any pace is one, and none ends."""
    monkeypatch.setattr(following, "_FLOOD", -1.0)
    monkeypatch.setattr(following, "_CALM", -1.0)


async def test_what_is_told_in_leaps_is_what_is_read_record_by_record(shown, tmp_path, flood):
    async with following_a_half(shown, tmp_path) as (feed, master, write):
        await until(lambda: feed.glance_wanted(False)[0])
        last = max(position for position, _ in read_records(shown.journal))
        begun = feed.live.position
        assert begun < last - 20
        for position in (begun + 5, begun + 6, *range(begun + 150, last, 150), last):
            master.go_to(position)
            assert tell(feed, master, whole=True) == "whole"
            same(feed.live, read(shown, position))
            write()
        await asyncio.sleep(0.6)
        assert feed.live.position == last, "nothing is read twice"


async def test_a_lean_glance_counts_what_it_does_not_list(shown, tmp_path, flood):
    async with following_a_half(shown, tmp_path) as (feed, master, _):
        await until(lambda: feed.glance_wanted(False)[0])
        master.go_to(feed.live.position + 100)
        assert tell(feed, master) == "lean"
        assert feed.live.position == master.view.position
        told, known = feed.live.status, master.view.status
        assert [job.unfinished for job in told.jobs] == [len(job.open) for job in known.jobs]
        assert told.nodes == known.nodes
        assert told.at == known.at


async def test_of_nodes_that_stay_as_they_are_only_counts_are_told(shown, tmp_path, flood):
    async with following_a_half(shown, tmp_path) as (feed, master, _):
        await until(lambda: feed.glance_wanted(False)[0])
        leaps = 0
        while feed.glance_wanted(False)[0] == "lean" and leaps < 40:
            master.go_to(feed.live.position + 5)
            assert tell(feed, master) == "lean"
            assert feed.live.status.nodes == master.view.status.nodes
            leaps += 1
        assert master.counts_told == leaps > 0


async def test_in_a_calm_it_reads_on_from_where_it_was_told(shown, tmp_path, monkeypatch, flood):
    async with following_a_half(shown, tmp_path) as (feed, master, write):
        await until(lambda: feed.glance_wanted(False)[0])
        master.go_to(feed.live.position + 50)
        assert tell(feed, master) == "lean"
        assert tell(feed, master) == "lean", "nothing has come since: the flood is over"
        monkeypatch.setattr(following, "_FLOOD", 1e9)
        assert tell(feed, master) == "whole"
        assert feed.glance_wanted(True) == ("", 0)
        write()
        last = max(position for position, _ in read_records(shown.journal))
        await until(lambda: feed.live.position == last)
        same(feed.live, read(shown, last))


async def test_when_the_master_is_gone_the_journal_is_read(shown, tmp_path, monkeypatch, flood):
    async with following_a_half(shown, tmp_path) as (feed, master, write):
        await until(lambda: feed.glance_wanted(False)[0])
        master.go_to(feed.live.position + 50)
        assert tell(feed, master) == "lean"
        feed.heard(None)
        write()
        last = max(position for position, _ in read_records(shown.journal))
        await until(lambda: feed.live.position == last)
        same(feed.live, read(shown, last))


async def test_of_a_master_that_has_just_begun_to_collect_nothing_is_taken(shown, tmp_path, flood):
    async with following_a_half(shown, tmp_path) as (feed, master, _):
        await until(lambda: feed.glance_wanted(False)[0])
        position = feed.live.position
        master.go_to(position + 50)
        master.ends.since = position + 10
        tell(feed, master)
        assert feed.live.position == position
        master.ends.since = None
        tell(feed, master)
        assert feed.live.position == position


async def test_what_a_master_has_forgotten_meanwhile_is_read(shown, tmp_path, flood):
    async with following_a_half(shown, tmp_path) as (feed, master, write):
        await until(lambda: feed.glance_wanted(False)[0])
        master.go_to(feed.live.position + 50)
        assert tell(feed, master) == "lean"
        master.go_to(feed.live.position + 50)
        master.ends.since = feed.live.position + 10
        write()
        tell(feed, master)
        last = max(position for position, _ in read_records(shown.journal))
        await until(lambda: feed.live.position == last)
        same(feed.live, read(shown, last))


async def test_the_past_is_the_same_from_frames_that_a_master_told(shown, tmp_path, flood):
    async with following_a_half(shown, tmp_path) as (feed, master, write):
        await until(lambda: feed.glance_wanted(False)[0])
        write()
        frames = len(feed._frames)
        for _ in range(12):
            feed._frames.distance = 1
            master.go_to(master.view.position + 400)
            if master.view.position > feed.live.position:
                tell(feed, master, whole=True)
        assert len(feed._frames) > frames
        for second in (580, 420, 333, 100):
            await feed.go_to(START + second)
            view = View()
            for at, body in read_records(shown.journal):
                record = decode(body)
                if record.at > START + second:
                    break
                view.take(at, record)
            assert feed.view.position == view.position
            assert pack(freeze(feed.view.status)) == pack(freeze(view.status))
