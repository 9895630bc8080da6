"""What the tests of the filters share."""

import numpy as np
import pytest

from stargen.calculators import conformance
from stargen.crystal import Candidate, Crystal
from stargen.elements import ATOMIC_NUMBERS


@pytest.fixture
def run(tmp_path):
    """An info, candidates and parameters -> what is kept and what is dropped."""

    def run(info, candidates, chemistry=None, kept=(), **params):
        context = conformance.LocalContext(
            info.params(**params), use=info.name, chemistry=chemistry, input_folder=tmp_path
        )
        batch = conformance.run(info, candidates, context=context, kept=kept)
        return batch.candidates, batch.drops

    return run


@pytest.fixture
def candidate():
    """A name and a crystal, or a formula's amounts in a roomy random cell -> a candidate."""

    def candidate(name, crystal=None, **amounts):
        if crystal is None:
            numbers = [ATOMIC_NUMBERS[s] for s, n in amounts.items() for _ in range(n)]
            grid = np.argwhere(np.ones((4, 4, 4)))[: len(numbers)] / 4
            crystal = Crystal.of(np.eye(3) * 3.0 * len(numbers), grid, numbers)
        return Candidate(name, crystal)

    return candidate


@pytest.fixture(scope="session")
def prototypes():
    """The AFLOW prototypes that pymatgen ships, as crystals of at most 24 atoms."""
    from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY

    structures = (entry["snl"].structure for entry in AFLOW_PROTOTYPE_LIBRARY)
    return [Crystal.from_pymatgen(s) for s in structures if len(s) <= 24]
