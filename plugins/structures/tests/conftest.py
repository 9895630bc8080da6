"""What the tests of this plugin share."""

import pytest

from stargen.calculators import conformance
from stargen.calculators.registry import make as make_calculator


@pytest.fixture
def context(tmp_path):
    """An info and parameters -> the context of a step."""

    def context(info, chemistry=None, seed=1, **params):
        return conformance.LocalContext(
            info.params(**params),
            use=info.name,
            seed=seed,
            chemistry=chemistry,
            input_folder=tmp_path,
        )

    return context


@pytest.fixture
def make(context):
    """A source's info, ordinals and parameters -> births, stillbirths, end of the source."""

    def make(info, ordinals, chemistry=None, **params):
        batch = conformance.run(info, context=context(info, chemistry, **params), ordinals=ordinals)
        return batch.candidates, batch.drops, batch.end_of_source

    return make


@pytest.fixture
def opened(context):
    """An info and parameters -> the calculator, opened, and its context."""

    def opened(info, **params):
        known = context(info, **params)
        calculator = make_calculator(info)
        calculator.open(known)
        return calculator, known

    return opened
