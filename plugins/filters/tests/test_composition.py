import pytest
from stargen_filters.info import composition

from stargen.model import Chemistry


def test_limits_elements(run, candidate):
    kept, drops = run(
        composition, [candidate("a", Li=1, O=1), candidate("b", Li=1, Fe=1, O=1)], max_elements=2
    )
    assert [c.candidate_id for c in kept] == ["a"]
    assert [(d.candidate_id, d.reason, d.step) for d in drops] == [
        ("b", "too many elements", "filters.composition")
    ]


def test_the_stricter_limit_wins(run, candidate):
    three = candidate("a", Li=1, Fe=1, O=1)
    assert run(composition, [three], Chemistry(max_elements=2))[1]
    assert run(composition, [three], Chemistry(max_elements=5), max_elements=2)[1]
    assert run(composition, [three], Chemistry(max_elements=3))[0]


@pytest.mark.parametrize(
    ("chemistry", "reason", "detail"),
    [
        (Chemistry(require=("Li", "P")), "element missing", "P"),
        (Chemistry(require=("Li",), allow=("O",)), "element not allowed", "Fe"),
        (Chemistry(exclude=("Fe", "Cs")), "element not allowed", "Fe"),
        (Chemistry(require=("Li",), allow=("O", "Fe")), None, None),
        (Chemistry(require=("Li",)), None, None),
    ],
)
def test_obeys_the_chemistry(run, candidate, chemistry, reason, detail):
    _, drops = run(composition, [candidate("a", Li=1, Fe=1, O=2)], chemistry)
    assert [(d.reason, d.detail) for d in drops] == ([(reason, detail)] if reason else [])
