import pytest
from hypothesis import given
from hypothesis import strategies as st

from stargen.crystal import Envelope
from stargen.errors import ExpressionError, UserError
from stargen.model import SelectSpec
from stargen.scheduling.selection import group_of, predicate_of, rank_of


def envelope(name="a/1", formula="LiO2", n_atoms=3, **properties):
    return Envelope(name, b"", formula, n_atoms, properties)


def test_without_where_everything_passes():
    assert predicate_of(SelectSpec(sample=1), None) is None
    assert rank_of(SelectSpec(where="x < 1"), 0, None) is None


def test_where_is_checked_against_what_candidates_bear():
    select = SelectSpec(where="energy < 1")
    assert predicate_of(select, {"energy"})(envelope(energy=0.5))
    assert not predicate_of(select, None)(envelope())
    with pytest.raises(ExpressionError, match="enery"):
        predicate_of(SelectSpec(where="enery < 1"), {"energy"})


@pytest.mark.parametrize(
    ("order_by", "rank"),
    [("energy", 0.5), ("-energy", -0.5), ("n_atoms", 3), ("nelements", 2), ("-nsites", -3)],
)
def test_ranks_are_numbers_smallest_first(order_by, rank):
    made = rank_of(SelectSpec(order_by=order_by, limit=1), 0, {"energy"})
    assert made(envelope(energy=0.5)) == rank


@pytest.mark.parametrize("value", [None, "low", True, float("nan"), float("inf")])
def test_what_is_no_number_has_no_rank(value):
    assert rank_of(SelectSpec(order_by="energy", limit=1), 0, None)(envelope(energy=value)) is None


@pytest.mark.parametrize("name", ["formula", "elements", "id"])
def test_texts_and_lists_are_no_order(name):
    with pytest.raises(UserError, match="no number to sort by"):
        rank_of(SelectSpec(order_by=name, limit=1), 0, None)


@pytest.mark.parametrize(
    ("per", "group"),
    [
        ("formula", "text:LiO2"),
        ("chemical_formula_reduced", "text:LiO2"),
        ("elements", "text:Li-O"),
        ("nelements", "number:2"),
        ("nsites", "number:3"),
        ("n_atoms", "number:3"),
        ("id", "text:a/1"),
        ("family", "text:spinel"),
        ("spacegroup", "number:225"),
        ("magnetic", "flag:True"),
        ("lost", None),
        ("broken", None),
    ],
)
def test_a_group_is_a_value_of_any_kind(per, group):
    bears = {"family": "spinel", "spacegroup": 225, "magnetic": True, "broken": float("nan")}
    of = group_of(SelectSpec(order_by="x", limit=1, per=per), None)
    assert of(envelope(**bears)) == group


def test_groups_are_of_what_candidates_bear():
    assert group_of(SelectSpec(sample=2), {"energy"}) is None
    with pytest.raises(UserError, match="no candidate bears `famly`") as caught:
        group_of(SelectSpec(sample=2, per="famly"), {"family"})
    assert "family" in caught.value.hint


@given(st.integers(0, 2**63 - 1), st.text(max_size=20))
def test_chance_depends_on_seed_and_candidate_alone(seed, name):
    rank = rank_of(SelectSpec(sample=5), seed, None)
    assert 0.0 <= rank(envelope(name)) < 1.0
    assert rank(envelope(name)) == rank(envelope(name, "CuO", 9, energy=1.0))


def test_a_sample_is_even():
    rank = rank_of(SelectSpec(sample=5), 3, None)
    drawn = [rank(envelope(f"make/{i}")) for i in range(2000)]
    for tenth in range(10):
        share = sum(tenth / 10 <= r < (tenth + 1) / 10 for r in drawn) / len(drawn)
        assert 0.08 < share < 0.12
    other = rank_of(SelectSpec(sample=5), 4, None)
    assert drawn[:5] != [other(envelope(f"make/{i}")) for i in range(5)]
