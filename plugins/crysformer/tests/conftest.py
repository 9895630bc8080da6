"""What the tests of this plugin share: random crystals, small networks."""

import numpy as np
import pytest
import torch
from stargen_crysformer.config import Config
from stargen_crysformer.network import Crysformer

from stargen import Crystal

torch.set_num_threads(1)


def random_crystal(rng, n=None, *, elements=(1, 3, 8, 11, 14, 26, 57, 79), skew=0.25):
    """Atoms at random, 15 Å^3 each, none closer than 1 Å."""
    n = int(rng.integers(1, 7)) if n is None else n
    while True:
        lattice = np.eye(3) + skew * rng.normal(size=(3, 3))
        volume = abs(np.linalg.det(lattice))
        if volume < 0.2:
            continue
        lattice *= (15 * n / volume) ** (1 / 3)
        crystal = Crystal.of(lattice, rng.random((n, 3)), rng.choice(elements, n))
        if n == 1 or crystal.to_pymatgen().distance_matrix[np.triu_indices(n, 1)].min() > 1.0:
            return crystal


@pytest.fixture(scope="session")
def crystals():
    """Makes some random crystals."""

    def make(count, seed=0, **how):
        rng = np.random.default_rng(seed)
        return [random_crystal(rng, **how) for _ in range(count)]

    return make


@pytest.fixture(scope="session")
def network():
    """An untrained network whose outputs depend on all of their input."""
    torch.manual_seed(3)
    config = Config(
        irreps="16x0e+8x1e", blocks=2, basis=16, radial=(16,), targets=("energy", "gap")
    )
    net = Crysformer(config)
    with torch.no_grad():
        net.element.weight.normal_()
    return net.eval()
