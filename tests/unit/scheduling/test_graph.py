from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stargen.scheduling.graph import breadth_first, cycle, outputs_of, upstream

DIAMOND = {"d": ["b", "c"], "b": ["a"], "c": ["a"], "a": [], "e": []}


def test_order_outputs_and_upstream():
    assert breadth_first(DIAMOND) == ["a", "e", "b", "c", "d"]
    assert outputs_of(DIAMOND)["a"] == ["b", "c"]
    assert set(upstream(DIAMOND, "d")) == {"a", "b", "c", "d"}
    assert set(upstream(DIAMOND, "d", lambda job: job != "b")) == {"a", "b", "c", "d"}
    assert set(upstream(DIAMOND, "b", lambda job: job != "b")) == {"b"}


def test_numbered_jobs_stay_in_front():
    assert breadth_first(DIAMOND, ["a", "c"]) == ["a", "c", "b", "e", "d"]
    with pytest.raises(ValueError, match="b comes before"):
        breadth_first(DIAMOND, ["b", "a"])


@st.composite
def graphs(draw):
    names = [str(i) for i in range(draw(st.integers(1, 8)))]
    return {name: draw(st.lists(st.sampled_from(names), max_size=3)) for name in names}


@given(graphs())
def test_a_graph_has_an_order_or_a_cycle(inputs):
    trail = cycle(inputs)
    if trail is None:
        order = breadth_first(inputs)
        assert sorted(order) == sorted(inputs)
        for job, needs in inputs.items():
            assert all(order.index(need) < order.index(job) for need in needs)
    else:
        assert trail[0] == trail[-1]
        assert len(trail) > 1
        assert all(one in inputs[other] for one, other in pairwise(trail))
        with pytest.raises(ValueError, match="cycle"):
            breadth_first(inputs)
