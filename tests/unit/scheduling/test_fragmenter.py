import itertools

from stargen.model import Location, Shape
from stargen.scheduling import fragmenter
from stargen.scheduling.jobs import JobState
from tests.simulation.cluster import job, plan


def _state(count: int, size: int = 100, grain: int | None = None) -> JobState:
    p = plan(job("make", shape=Shape.SOURCE, total=0), job("a", "make", grain=grain))
    make = JobState(p.jobs[0], [])
    make.out.extend(1, 0, [size] * count)
    return JobState(p.jobs[1], [make.out])


def test_grain_starts_at_one_and_grows_until_tasks_last_long_enough():
    state = _state(100_000)
    assert fragmenter.grain(state, 4, 100_000) == 1
    sizes = []
    for _ in range(20):
        size = fragmenter.grain(state, 4, 100_000)
        sizes.append(size)
        state.pace.learn(0.01 * size, size, size)
    assert sizes == sorted(sizes)
    assert all(after <= 4 * before + 1 for before, after in itertools.pairwise(sizes))
    assert 400 <= sizes[-1] <= 500  # 5 s of 10 ms


def test_grain_leaves_work_for_every_slot():
    state = _state(100)
    for _ in range(50):
        state.pace.learn(0.02 * 100, 100, 100)
    assert fragmenter.grain(state, 8, 100) == 13


def test_no_task_is_cut_very_short_for_that():
    """48,000 slots and an edge that holds 10,000: a filter of 3 ms is not sent one by one."""
    state = _state(10_000)
    for _ in range(50):
        state.pace.learn(0.003 * 100, 100, 100)
    assert fragmenter.grain(state, 48_000, 10_000) == 16
    assert fragmenter.grain(state, 48_000, 7) == 7


def test_a_fixed_grain_is_obeyed():
    assert fragmenter.grain(_state(10, grain=3), 100, 10) == 3


def test_cut_covers_the_lane_in_order_and_keeps_to_its_allowance():
    state = _state(10)
    assert fragmenter.cut(state, 0, 4, 5, 100) == [(0, 0, 4), (0, 4, 8), (0, 8, 10)]
    assert fragmenter.cut(state, 0, 4, 5, 6) == [(0, 0, 4), (0, 4, 6)]
    assert fragmenter.cut(state, 0, 4, 1, 100) == [(0, 0, 4)]


def test_a_task_is_bounded_by_bytes_but_has_one_candidate_at_least():
    state = _state(10, size=fragmenter.MAX_TASK_BYTES // 3)
    assert fragmenter.cut(state, 0, 8, 1, 100) == [(0, 0, 3)]
    state = _state(10, size=2 * fragmenter.MAX_TASK_BYTES)
    assert fragmenter.cut(state, 0, 8, 2, 100) == [(0, 0, 1), (0, 1, 2)]


def test_a_keyed_lane_gives_one_task_at_a_time():
    p = plan(
        job("make", shape=Shape.SOURCE, total=0),
        job("u", "make", shape=Shape.KEYED, key=lambda e: e.candidate_id, grain=2),
    )
    make = JobState(p.jobs[0], [])
    state = JobState(p.jobs[1], [make.out])
    for i in range(5):
        state.lanes[7].append(Location(1, i, 10), 1)  # pyright: ignore[reportAttributeAccessIssue]
    assert fragmenter.waiting(state, 0) == 5
    assert fragmenter.cut(state, 0, 2, 10, 100) == [(7, 0, 2)]
    state.lanes[7].cursor = 2
    assert fragmenter.waiting(state, 0) == 0
    assert fragmenter.cut(state, 0, 2, 10, 100) == []
    state.lanes[7].done.add(0, 2)
    assert fragmenter.cut(state, 0, 2, 10, 100) == [(7, 2, 4)]
