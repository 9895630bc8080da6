from math import inf

from hypothesis import given
from hypothesis import strategies as st

from stargen.model import Location
from stargen.scheduling.aggregator import Ranking, text_hash


@given(st.lists(st.floats(allow_nan=False, width=32), max_size=60), st.integers(1, 10))
def test_a_ranking_holds_the_best_in_order(ranks, limit):
    ranking = Ranking(limit)
    for position, rank in enumerate(ranks):
        ranking.offer(rank, 0, position, Location(1, position, 1))
    able = sorted((r, i) for i, r in enumerate(ranks) if r != inf)
    assert ranking.winners() == [(0, i) for _, i in able[:limit]]
    again = Ranking(limit)
    again.load(ranking.state())
    assert again.winners() == ranking.winners()
    assert all(again.location(*at) == Location(1, at[1], 1) for at in again.winners())


def test_hashes_are_the_same_on_every_machine():
    assert text_hash("LiO2") == 0x4F596ADFABAA2D01
    assert text_hash("LiO2") != text_hash("Li2O")
