import pytest

from stargen.model import Location
from stargen.scheduling.streams import ENDLESS, KeyedLane, Lane, OrdinalLane, Stream


def test_a_stream_finds_its_entries_and_forgets_those_below_a_floor():
    stream = Stream()
    stream.extend(3, 100, [10, 20, 30])
    stream.append(Location(4, 7, 5))
    assert stream.locations(0, 4) == [(3, 100, 10), (3, 110, 20), (3, 130, 30), (4, 7, 5)]
    assert stream.location(2) == (3, 130, 30)
    stream.extend(5, 0, [1] * 10_000)
    stream.forget_below(9_000)
    assert stream.base == 9_000
    assert stream.length == 10_004
    assert stream.location(10_003) == (5, 9_999, 1)
    with pytest.raises(IndexError):
        stream.location(8_999)
    with pytest.raises(IndexError):
        stream.locations(0, 3)
    assert Stream.from_state(stream.state()).locations(9_000, 10_004) == stream.locations(
        9_000, 10_004
    )


def test_locations_hold_large_segments_and_offsets():
    stream = Stream()
    where = Location(2**31, 2**45, 2**32 - 1)
    stream.append(where)
    assert stream.location(0) == where


def test_a_lane_knows_what_waits_and_what_is_done():
    stream = Stream()
    stream.extend(1, 0, [1] * 5)
    lane = Lane(stream)
    assert (lane.waiting, lane.idle, lane.complete) == (5, True, False)
    lane.cursor = 5
    assert not lane.idle
    lane.done.add(0, 5)
    assert lane.idle
    assert lane.complete


def test_a_source_without_end_never_runs_out():
    lane = OrdinalLane(None)
    assert lane.end == ENDLESS
    assert lane.waiting > 1 << 60
    assert lane.locations(0, 10) == []


def test_a_keyed_lane_forgets_keys_with_their_candidates():
    lane = KeyedLane()
    for i in range(10_000):
        lane.append(Location(1, i, 1), i % 7)
    assert lane.keys(0, 3) == [0, 1, 2]
    assert lane.keys(0, 100) == [0, 1, 2, 3, 4, 5, 6]
    lane.cursor = 9_000
    lane.done.add(0, 9_000)
    lane.forget_done()
    assert lane.stream.base == 9_000
    assert lane.keys(9_000, 9_002) == [9_000 % 7, 9_001 % 7]
