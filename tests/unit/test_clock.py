from __future__ import annotations

import time

import pytest

from stargen.clock import Clock, ManualClock, SystemClock


def test_a_manual_clock_stands_still_until_moved():
    clock: Clock = ManualClock(start_s=10.0)
    assert (clock.wall(), clock.monotonic()) == (10.0, 10.0)
    assert (clock.wall(), clock.monotonic()) == (10.0, 10.0)


def test_advance_adds_up():
    clock = ManualClock(start_s=0.0)
    clock.advance(1.5)
    clock.advance(0.0)
    clock.advance(2.0)
    assert clock.monotonic() == 3.5


def test_time_does_not_go_back():
    clock = ManualClock()
    before = clock.wall()
    with pytest.raises(ValueError, match="back"):
        clock.advance(-1.0)
    assert clock.wall() == before


def test_the_system_clock_tells_epoch_and_durations():
    clock: Clock = SystemClock()
    assert time.time() - 60 < clock.wall() < time.time() + 60
    first = clock.monotonic()
    assert clock.monotonic() >= first
