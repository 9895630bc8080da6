"""The same on a GPU: skipped where there is none."""

import numpy as np
import pytest
import torch
from stargen_crysformer.config import preset
from stargen_crysformer.ensemble import Ensemble
from stargen_crysformer.info import folder_of
from stargen_crysformer.learning import Learning
from stargen_crysformer.sets import SPLITS, Labelled
from stargen_training.loop import train
from stargen_training.options import Options

from stargen.calculators.conformance import sample_crystals

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")

CRYSTALS = list(sample_crystals().values())


@pytest.fixture(autouse=True)
def exact_products():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    yield
    torch.set_float32_matmul_precision(before)


def test_the_shipped_ensemble_says_the_same(tmp_path):
    found = {}
    for device in ("cpu", "cuda"):
        ensemble = Ensemble.load(folder_of("mp20-ensemble", tmp_path))
        if device == "cuda":
            ensemble.to("cuda")
        graphs = ensemble.graphs(CRYSTALS)
        rows = np.flatnonzero(graphs.usable)
        found[device] = ensemble.predict(graphs.take(rows), 0.9)
    assert np.allclose(found["cpu"].values, found["cuda"].values, atol=1e-3)


def test_it_learns_and_its_checkpoint_is_read(tmp_path):
    crystals = [each for each in CRYSTALS if each.n_atoms <= 20] * 8
    rng = np.random.default_rng(0)
    splits = np.where(np.arange(len(crystals)) % 4 == 0, SPLITS.index("val"), SPLITS.index("train"))
    labels = rng.standard_normal((len(crystals), 1))
    data = Labelled([str(n) for n in range(len(crystals))], crystals, labels, splits)
    learning = Learning(preset("small", targets=("formation_energy_per_atom",)), data)
    options = Options(steps=20, batch=8, validate_every=10, device="cuda")
    outcome = train(learning, options, tmp_path / "a", quiet=True)
    assert outcome.finished
    assert np.isfinite(outcome.metrics["val/loss"])
    again = train(learning, options, tmp_path / "a", quiet=True)
    assert again.metrics == outcome.metrics
