from hypothesis import given
from hypothesis import strategies as st

from stargen.scheduling.placement import spread


@given(st.integers(0, 500), st.lists(st.integers(0, 40), max_size=30))
def test_spread_gives_all_it_can_within_the_rooms(tasks, rooms):
    counts = spread(tasks, rooms)
    assert sum(counts) == min(tasks, sum(rooms))
    assert all(0 <= count <= room for count, room in zip(counts, rooms, strict=True))


@given(st.integers(1, 500), st.integers(1, 30))
def test_spread_is_even_where_rooms_allow(tasks, places):
    counts = spread(tasks, [1000] * places)
    assert max(counts) - min(counts) <= 1


def test_nobody_gets_less_than_a_message_is_worth():
    assert spread(100, [64, 64, 64, 64], least=50) == [50, 50, 0, 0]
    assert spread(400, [64, 64, 64, 64], least=50) == [64, 64, 64, 64]
    assert spread(30, [64, 64], least=50) == [30, 0]
    assert spread(100, [10, 64, 64], least=50) == [10, 50, 40]
