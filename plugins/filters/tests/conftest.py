"""Runs one filter as a worker would: its own context, the contract checked by the core."""

from pathlib import Path

import numpy as np
import pytest

from stargen.calculators.context import BaseContext
from stargen.calculators.steps import Batch, LoadedStep, run_steps
from stargen.crystal import Candidate, Crystal
from stargen.elements import ATOMIC_NUMBERS
from stargen.model import Chemistry


class QuietContext(BaseContext):
    """A context whose task never stops and has no scratch folder of its own."""

    def __init__(self, folder, **kwargs):
        super().__init__(input_folder=folder, **kwargs)
        self._folder = folder

    @property
    def folder(self) -> Path:
        return self._folder

    @property
    def stop_requested(self) -> bool:
        return False

    def progress(self, done, total):
        pass

    def checkpoint(self, state):
        pass

    def resume(self):
        return None


@pytest.fixture
def load(tmp_path):
    """An info and parameters -> the step, opened."""

    def load(info, chemistry=None, seed=1, job="job", **params):
        module, attribute = info.factory.split(":")
        calculator = getattr(__import__(module, fromlist=[attribute]), attribute)()
        context = QuietContext(
            tmp_path,
            job=job,
            use=info.name,
            params=info.params(**params),
            seed=seed,
            chemistry=chemistry or Chemistry(),
        )
        calculator.open(context)
        return LoadedStep(info, "0", calculator, context)

    return load


@pytest.fixture
def run(load):
    """An info, candidates and parameters -> what is kept and what is dropped."""

    def run(info, candidates, chemistry=None, kept=(), **params):
        batch = Batch(candidates=list(candidates))
        run_steps([load(info, chemistry, **params)], batch, kept=kept)
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
