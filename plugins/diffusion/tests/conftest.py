"""What the tests of this plugin share."""

import importlib.util
from pathlib import Path

import pytest
import torch
from stargen_diffusion.config import N_TYPES, NetConfig
from stargen_diffusion.data import Statistics, cleaned
from stargen_diffusion.model import Model, save_model
from stargen_diffusion.network import Network, Noisy

from stargen.calculators.conformance import sample_crystals


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def plain():
    """The class `PlainNetwork` of the file beside this one."""
    spec = importlib.util.spec_from_file_location("plain", Path(__file__).parent / "plain.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PlainNetwork


@pytest.fixture
def network():
    """A small network with random weights; keywords change its configuration."""

    def network(seed=0, **changes):
        torch.manual_seed(seed)
        return Network(NetConfig(**{"layers": 2, "hidden": 32, "frequencies": 8, **changes}))

    return network


@pytest.fixture
def noisy():
    """Random crystals in the form that a network takes."""

    def noisy(network, batch=5, n=4, seed=0):
        generator = torch.Generator().manual_seed(seed)
        types = torch.randint(0, N_TYPES, (batch, n), generator=generator)
        if network.config.types == "onehot":
            types = torch.randn(batch, n, N_TYPES, generator=generator)
        return Noisy(
            torch.rand(batch, n, 3, generator=generator),
            torch.randn(batch, network.numbers, generator=generator),
            types,
            torch.randint(1, 1001, (batch,), generator=generator),
        )

    return noisy


@pytest.fixture
def crystals():
    """The kit's crystals in the cells that they are learnt in."""
    return cleaned([*sample_crystals().values()], 20).crystals


@pytest.fixture
def model(network, crystals):
    """A model whose network knows nothing; keywords change its configuration."""

    def model(**changes):
        net = network(**changes)
        return Model(net, Statistics.of(crystals, net.config.lattice))

    return model


@pytest.fixture
def weights(model, tmp_path):
    """The name, relative to `tmp_path`, of a file with such a model."""

    def weights(**changes):
        save_model(tmp_path / "toy.npz", model(**changes))
        return "toy.npz"

    return weights
