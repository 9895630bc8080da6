"""What a viewer knows: now, at any moment before, and of a journal that goes on from a snapshot."""

import asyncio
import shutil

from support.shown import SECONDS, START

from stargen.codec import pack, unpack
from stargen.journal import newest_snapshot, read_records
from stargen.records import decode
from stargen.status_forms import freeze
from stargen.tui import feed as following
from stargen.tui.feed import Feed
from stargen.tui.history import KeyFrames
from stargen.tui.trail import View


def folded(journal, until):
    """The campaign up to a moment, record by record."""
    view = View()
    for position, body in read_records(journal):
        record = decode(body)
        if record.at > until:
            break
        view.take(position, record)
    return view


def same(one, other):
    return one.position == other.position and pack(freeze(one.status)) == pack(freeze(other.status))


async def feed_of(journal):
    feed = Feed(journal, follow=False)
    await feed.run()
    return feed


async def test_any_moment_is_what_was_folded_up_to_it(shown):
    feed = await feed_of(shown.journal)
    for second in (300, 100, 101, 599, 5, 300, 0):
        await feed.go_to(START + second)
        assert feed.is_past
        assert same(feed.view, folded(shown.journal, START + second))
    feed.go_live()
    assert same(feed.view, folded(shown.journal, START + SECONDS))


async def test_steps_speeds_and_playing(shown):
    feed = await feed_of(shown.journal)
    end = feed.now
    feed.change_speed(1)
    await feed.step(-1)
    assert feed.now == end - feed.speed == end - 60
    await feed.step(1)
    assert feed.now == end
    await feed.go_to_start()
    await feed.toggle_playing()
    begun = feed.now
    await feed.play(0.5)
    assert feed.now == begun + 30
    for _ in range(30):
        await feed.play(0.5)
    assert not feed.playing, "it ends where the journal does"
    assert feed.now == end


async def test_going_live_while_the_past_is_being_read_wins(shown):
    feed = await feed_of(shown.journal)
    going = asyncio.create_task(feed.go_to(START + 200))
    await asyncio.sleep(0)
    feed.go_live()
    await going
    assert not feed.is_past


async def test_frames_are_bounded_and_as_far_apart_as_they_have_rows(shown, monkeypatch):
    whole = folded(shown.journal, START + SECONDS)
    rows = len(whole.status.nodes) + sum(len(job.open) for job in whole.status.jobs)
    frames = KeyFrames(distance=1)
    whole.position = rows - 1
    assert not frames.wants(whole)
    size = len(pack(freeze(whole.status)))
    monkeypatch.setattr("stargen.tui.history._MOST_BYTES", 5 * size)
    for number in range(1, 40):
        whole.position = number * 100 * rows
        frames.offer(whole)
    assert 2 <= len(frames) <= 6, "however many are offered"


async def test_a_snapshot_does_not_hide_what_happened_just_before_it(shown, tmp_path, monkeypatch):
    journal = tmp_path / "journal"
    shutil.copytree(shown.journal, journal)
    whole = await feed_of(journal)

    def snapshot(folder):
        found, problems = newest_snapshot(folder)
        if found is not None:
            return found, problems
        form = pack([None, freeze(whole.live.status)])
        return _Snapshot(form, whole.live.position), problems

    monkeypatch.setattr(following, "newest_snapshot", snapshot)
    feed = await feed_of(journal)
    assert same(feed.live, whole.live)
    ends = [end[:4] for end in feed.live.trail.recent()]
    assert ends == [end[:4] for end in whole.live.trail.recent()]
    assert ends
    assert feed.live.trail.outputs.keys() == whole.live.trail.outputs.keys()


class _Snapshot:
    def __init__(self, state, position):
        assert unpack(state)[0] is None
        self.state, self.position = state, position
