import pytest

from stargen.calculators.contract import CalculatorInfo, NoParams
from stargen.crystal import Envelope
from stargen.model import Resources
from stargen.scheduling.demands import NodeOffer, combined, impossible, request_by_envelope


def test_steps_in_one_place_take_the_most_and_the_time_of_all():
    one = (
        Resources(cores=4, memory_gib=1.0, walltime_s=10.0, scratch="ram", custom=(("a", 1.0),)),
    )
    two = (
        Resources(cores=1, gpus=0.5, memory_gib=3.0, walltime_s=5.0, custom=(("a", 2.0),)),
        Resources(cores=8, walltime_s=50.0, scratch="local", io=2),
    )
    assert combined([one, two]) == (
        Resources(4, 0.5, 3.0, walltime_s=15.0, scratch="ram", custom=(("a", 2.0),)),
        Resources(8, memory_gib=1.0, io=2, walltime_s=60.0, scratch="ram", custom=(("a", 1.0),)),
    )


def test_a_step_without_limit_lifts_that_of_all():
    assert combined([(Resources(walltime_s=5.0),), (Resources(),)])[0].walltime_s is None


def test_the_request_follows_the_candidate_only_where_a_step_asks():
    plain = CalculatorInfo("t.a", 1, "m:f")
    sized = CalculatorInfo(
        "t.b",
        1,
        "m:f",
        by_envelope=True,
        resources=lambda p, e: (Resources(cores=1 if e is None or e.n_atoms < 10 else 4),),
    )
    assert request_by_envelope([plain], [NoParams()]) is None
    request_of = request_by_envelope([plain, sized], [NoParams(), NoParams()])
    assert request_of(Envelope("a/1", b"", "X", 3, {})) == (Resources(cores=1),)
    assert request_of(Envelope("a/2", b"", "X", 30, {})) == (Resources(cores=4),)


OFFERS = [
    NodeOffer("small", Resources(cores=2, memory_gib=4.0, io=1)),
    NodeOffer("big", Resources(cores=8, memory_gib=2.0, gpus=1.0, custom=(("licence", 1.0),))),
]


@pytest.mark.parametrize(
    ("request_", "pool", "words"),
    [
        ((Resources(cores=8),), None, None),
        ((Resources(cores=9), Resources(gpus=1)), None, None),
        ((Resources(custom=(("licence", 1.0),)),), "big", None),
        ((Resources(cores=9),), None, "no node of any pool can run it: it asks for 9 cores (the"),
        ((Resources(cores=8),), "small", "8 cores (the most is 2)"),
        ((Resources(memory_gib=5.0),), None, "5 GiB of memory (the most is 4)"),
        ((Resources(custom=(("arm", 1.0),)),), None, "1 arm (the most is 0)"),
        ((Resources(cores=9), Resources(gpus=2)), None, "; or 2 gpus (the most is 1)"),
        ((Resources(cores=1, nodes=3),), None, "3 nodes, and 1 can take part"),
        (
            (Resources(cores=8, memory_gib=4.0),),
            None,
            "8 cores (the most is 8), 4 GiB of memory",
        ),
    ],
)
def test_what_no_node_can_give_is_said(request_, pool, words):
    problem = impossible(request_, pool, OFFERS)
    assert (problem is None) == (words is None)
    assert words is None or words in problem
