"""Runs one calculator as a worker would: its own context, the contract checked by the core."""

from pathlib import Path

import pytest

from stargen.calculators.context import BaseContext
from stargen.calculators.steps import Batch, LoadedStep, run_steps
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
def make(load):
    """A source's info, ordinals and parameters -> births, stillbirths, end of the source."""

    def make(info, ordinals, chemistry=None, **params):
        batch = Batch(ordinals=ordinals)
        run_steps([load(info, chemistry, **params)], batch)
        return batch.candidates, batch.drops, batch.end_of_source

    return make
