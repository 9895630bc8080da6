from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stargen.model import Resources
from stargen.scheduling.jobs import Pace
from stargen.scheduling.nodelist import Node
from stargen.scheduling.placement import AHEAD_AT_ONCE, Share, has_room, shares, spread


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


ONE = Resources(cores=1)


@pytest.fixture
def short():
    """A job whose tasks take no time."""
    pace = Pace()
    pace.learn(0.0, 1, 1)
    return SimpleNamespace(pace=pace, plan=SimpleNamespace(affinity=None))


def test_what_runs_now_and_what_is_ahead_go_in_one_message(short):
    node = Node("n1", "p", Resources(cores=4))
    assert shares(short, (ONE,), 100, [node], among=2000) == [Share(node, 0, 4 + 16)]


def test_a_node_is_filled_step_by_step_so_that_it_can_begin(short):
    node = Node("n1", "p", Resources(cores=24))
    assert shares(short, (ONE,), 9999, [node], among=1) == [Share(node, 0, 24 + AHEAD_AT_ONCE)]
    node.distributor.take(0, list(range(24 + AHEAD_AT_ONCE)), ONE)
    assert has_room(short, (ONE,), node, among=1)
    assert shares(short, (ONE,), 9999, [node], among=1) == [Share(node, 0, AHEAD_AT_ONCE)]


def test_a_node_with_enough_in_hand_waits_until_a_message_is_worth_while(short):
    node = Node("n1", "p", Resources(cores=4))
    node.distributor.take(0, list(range(11)), ONE)
    assert not has_room(short, (ONE,), node, among=2000)
    assert not has_room(short, (ONE, Resources(cores=2)), node, among=2000)
    node.distributor.release(0, [0], ONE)
    assert has_room(short, (ONE,), node, among=2000)
