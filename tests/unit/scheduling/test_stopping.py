import pytest

from stargen.model import StopSpec
from stargen.scheduling.stopping import Flow, objections

INPUTS = {"make": [], "read": [], "map": ["make"], "rank": ["map"], "late": ["rank"],
          "both": ["late", "read"]}  # fmt: skip
FLOWS = {name: Flow() for name in INPUTS} | {"rank": Flow(waits=True, most=10)}


def keys(job, kept=5, flows=FLOWS, **ceilings):
    return [o.key for o in objections(StopSpec(job, kept, **ceilings), INPUTS, flows)]


@pytest.mark.parametrize("job", ["make", "map", "both"])
def test_a_target_that_candidates_reach_at_once_can_stop(job):
    assert keys(job) == []


@pytest.mark.parametrize("job", ["rank", "late"])
def test_a_target_behind_all_input_cannot(job):
    assert keys(job) == ["job"]


def test_a_target_that_lets_fewer_through_is_out_of_reach():
    assert keys("rank", kept=11) == ["job", "kept"]


def test_what_may_never_end_needs_a_ceiling():
    flows = FLOWS | {"make": Flow(endless=True)}
    assert keys("map", flows=flows) == [""]
    assert keys("map", flows=flows, max_candidates=9) == []
    assert keys("map", flows=flows, max_node_hours=9.0) == []
    assert keys("both", flows=flows) == []
