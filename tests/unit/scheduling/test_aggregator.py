from math import inf

from hypothesis import given
from hypothesis import strategies as st

from stargen.model import Location
from stargen.scheduling.aggregator import Ranking, text_hash


@given(st.lists(st.floats(allow_nan=False, width=32), max_size=60), st.integers(1, 10))
def test_a_ranking_holds_the_best_in_order(ranks, limit):
    ranking = Ranking(limit)
    for position, rank in enumerate(ranks):
        ranking.offer(rank, 0, 0, position, Location(1, position, 1))
    able = sorted((r, i) for i, r in enumerate(ranks) if r != inf)
    assert ranking.winners() == [(0, i) for _, i in able[:limit]]
    again = Ranking(limit)
    again.load(ranking.state())
    assert again.winners() == ranking.winners()
    assert all(again.location(*at) == Location(1, at[1], 1) for at in again.winners())


@given(
    st.lists(st.tuples(st.integers(0, 3), st.floats(allow_nan=False, width=32)), max_size=60),
    st.integers(1, 3),
)
def test_each_group_has_its_own_best(offers, limit):
    ranking = Ranking(limit)
    for position, (group, rank) in enumerate(offers):
        ranking.offer(rank, group, 0, position, Location(1, position, 1))
    wanted = []
    for group in range(4):
        able = sorted((r, i) for i, (g, r) in enumerate(offers) if g == group and r != inf)
        wanted += able[:limit]
    assert ranking.winners() == [(0, i) for _, i in sorted(wanted)]
    again = Ranking(limit)
    again.load(ranking.state())
    assert again.winners() == ranking.winners()
    assert [again.ranks(group) for group in range(4)] == [ranking.ranks(g) for g in range(4)]


def test_a_snapshot_from_before_groups_is_read():
    ranking = Ranking(2)
    ranking.load([[0.5, 0, 7, 1, 20, 3]])
    ranking.offer(0.25, 0, 0, 8, Location(1, 30, 3))
    ranking.offer(0.75, 0, 0, 9, Location(1, 40, 3))
    assert ranking.winners() == [(0, 8), (0, 7)]


def test_hashes_are_the_same_on_every_machine():
    assert text_hash("LiO2") == 0x4F596ADFABAA2D01
    assert text_hash("LiO2") != text_hash("Li2O")
