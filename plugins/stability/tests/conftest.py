"""What the tests of this plugin share."""

import pytest
from stargen_stability.formulas import parse_formula
from stargen_stability.info import HullParams, PredictedParams, hull, predicted

from stargen.calculators import conformance
from stargen.crystal import Candidate, Crystal
from stargen.elements import ATOMIC_NUMBERS


@pytest.fixture
def place(tmp_path):
    """Run `stability.hull` over (formula, properties) and return the candidates."""

    def run(candidates, **params):
        context = conformance.LocalContext(
            HullParams(**params), use=hull.name, input_folder=tmp_path
        )
        made = [candidate(f"make/{i}", *one) for i, one in enumerate(candidates)]
        return conformance.run(hull, made, context=context).candidates

    return run


@pytest.fixture
def place_predicted(tmp_path):
    """The same with `stability.predicted`."""

    def run(candidates, **params):
        context = conformance.LocalContext(
            PredictedParams(**params), use=predicted.name, input_folder=tmp_path
        )
        made = [candidate(f"make/{i}", *one) for i, one in enumerate(candidates)]
        return conformance.run(predicted, made, context=context).candidates

    return run


def candidate(name, formula, properties) -> Candidate:
    """A candidate of a formula; where its atoms lie does not matter here."""
    numbers = [
        ATOMIC_NUMBERS[symbol]
        for symbol, amount in parse_formula(formula).items()
        for _ in range(int(amount))
    ]
    n = len(numbers)
    coords = [[i / n, 0.0, 0.0] for i in range(n)]
    return Candidate(
        name, Crystal.of([[3.0 * n, 0, 0], [0, 3, 0], [0, 0, 3]], coords, numbers), properties
    )
