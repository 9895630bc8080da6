"""The same on a GPU: skipped where there is none."""

from functools import partial

import numpy as np
import pytest
import torch
from stargen_diffusion.config import N_TYPES, NetConfig
from stargen_diffusion.learning import DiffusionTask, LossWeights
from stargen_diffusion.making import Order, Workshop
from stargen_diffusion.model import load_model
from stargen_diffusion.network import Noisy
from stargen_diffusion.revealing import Palette
from stargen_diffusion.sampling import Plan, Sampler
from stargen_diffusion.weights import weights_file
from stargen_training.loop import train
from stargen_training.options import Options

from stargen import Crystal
from stargen.calculators.conformance import sample_crystals

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")

SHIPPED = ["mp20-small", "mp20-small-csp", "mp20-medium", "mp20-medium-csp"]


@pytest.fixture(autouse=True)
def exact_products():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    yield
    torch.set_float32_matmul_precision(before)


def shipped(name, device, tmp_path):
    return load_model(weights_file(name, tmp_path)).for_sampling(device)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_network_says_the_same(name, tmp_path):
    rng = np.random.default_rng(0)
    noisy = Noisy(
        torch.from_numpy(rng.random((6, 9, 3), dtype=np.float32)),
        torch.from_numpy(rng.standard_normal((6, 6), dtype=np.float32)),
        torch.from_numpy(rng.integers(0, 80, (6, 9))),
        torch.from_numpy(rng.integers(1, 1001, 6)),
    )
    here = shipped(name, "cpu", tmp_path).network(noisy)
    there = shipped(name, "cuda", tmp_path).network(Noisy(*(each.cuda() for each in noisy)))
    for mine, other in zip(here, there, strict=True):
        assert torch.allclose(mine, other.cpu(), atol=1e-4)


@pytest.mark.parametrize("name", SHIPPED)
def test_samples_are_nearly_the_same(name, tmp_path):
    """Rounding differs, and a choice between two elements can turn on it: most must agree."""
    found = {}
    for device in ("cpu", "cuda"):
        orders = [
            Order(
                6,
                partial(_draw, at),
                Palette(np.ones(N_TYPES, dtype=bool)),
                np.array([10, 10, 16, 16, 7, 7]) if "csp" in name else None,
            )
            for at in range(32)
        ]
        sampler = Sampler(shipped(name, device, tmp_path), Plan(steps=25, correctors=1))
        found[device] = Workshop(sampler).make(orders)
    alike = [
        isinstance(a, Crystal)
        and isinstance(b, Crystal)
        and np.array_equal(a.numbers, b.numbers)
        and np.allclose(a.lattice, b.lattice, atol=0.02)
        for a, b in zip(found["cpu"], found["cuda"], strict=True)
    ]
    assert sum(alike) >= 24


@pytest.mark.parametrize("form", [{}, {"types": "known"}, {"types": "onehot", "lattice": "raw"}])
def test_it_learns_and_its_checkpoint_is_read(form, tmp_path):
    crystals = [each for each in sample_crystals().values() if each.n_atoms <= 20] * 8
    config = NetConfig(layers=2, hidden=32, frequencies=8, **form)
    task = DiffusionTask(config, crystals, crystals[:8], LossWeights(), group_pairs=6400)
    options = Options(steps=30, batch=2, validate_every=10, device="cuda")
    outcome = train(task, options, tmp_path / "a", quiet=True)
    assert outcome.finished
    assert np.isfinite(outcome.metrics["val/loss"])
    again = train(task, options, tmp_path / "a", quiet=True)
    assert again.metrics == outcome.metrics


def _draw(at, *key):
    return np.random.default_rng((at, len(key), *(k for k in key if isinstance(k, int))))
