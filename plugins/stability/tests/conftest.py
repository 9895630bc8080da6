"""What the tests of this plugin share."""

from pathlib import Path

import pytest
from stargen_stability.calculator import Hull
from stargen_stability.formulas import parse_formula
from stargen_stability.info import HullParams

from stargen.calculators.context import BaseContext
from stargen.crystal import Candidate, Crystal
from stargen.elements import ATOMIC_NUMBERS
from stargen.model import Chemistry


class HullContext(BaseContext):
    """A context for a gather: nothing is asked of it but parameters and input files."""

    folder = Path()
    stop_requested = False

    def progress(self, done, total): ...
    def checkpoint(self, state): ...
    def resume(self): ...


@pytest.fixture
def place(tmp_path):
    """Run `stability.hull` over (formula, properties) and return the candidates."""

    def run(candidates, **params):
        context = HullContext(
            job="hull",
            use="stability.hull",
            params=HullParams(**params) if params else HullParams(),
            seed=0,
            chemistry=Chemistry(),
            input_folder=tmp_path,
        )
        hull = Hull()
        hull.open(context)
        made = [candidate(f"make/{i}", *one) for i, one in enumerate(candidates)]
        try:
            return list(hull.run(made, context))
        finally:
            hull.close()

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
