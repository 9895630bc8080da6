"""What the tests of this plugin share: random crystals, small networks, a small ensemble."""

import shutil

import numpy as np
import pytest
import torch
from stargen_crysformer.config import Config
from stargen_crysformer.network import Crysformer
from stargen_crysformer.sets import Labelled
from stargen_crysformer.training import Plan, train_ensemble
from stargen_training.options import Options

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


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


TARGETS = ("formation_energy_per_atom", "band_gap")
TINY = Config(irreps="16x0e+8x1e", blocks=1, basis=16, radial=(16,), targets=TARGETS)


def labelled(count, seed=0):
    """Random crystals; their labels follow from elements and volume, half the gaps are unknown."""
    rng = np.random.default_rng(seed)
    crystals, labels = [], []
    for number in range(count):
        crystal = random_crystal(rng, int(rng.integers(1, 5)), elements=(3, 8, 11, 14, 26))
        stretch = rng.uniform(0.9, 1.1)
        crystal = Crystal.of(crystal.lattice * stretch, crystal.frac_coords, crystal.numbers)
        energy = -0.1 * np.mean(crystal.numbers % 7) + 10 * (stretch - 1) ** 2
        gap = np.nan if number % 2 else max(0.0, 3 - 0.2 * np.mean(crystal.numbers))
        crystals.append(crystal)
        labels.append([energy, gap])
    splits = np.where(np.arange(count) % 10 < 6, 0, np.where(np.arange(count) % 10 < 8, 1, 2))
    names = [f"crystal-{number}" for number in range(count)]
    return Labelled(names, crystals, np.array(labels), splits, "mp2020")


@pytest.fixture(scope="session")
def data():
    return labelled(100)


@pytest.fixture(scope="session")
def file_of():
    """Writes crystals as an npz file like those that are trained on."""

    def write(path, data):
        lengths = [c.to_pymatgen().lattice.parameters for c in data.crystals]
        np.savez(
            path,
            material_id=np.array(data.names),
            offset=np.cumsum([0, *(c.n_atoms for c in data.crystals)]),
            atomic_numbers=np.concatenate([c.numbers for c in data.crystals]),
            frac_coords=np.concatenate([c.frac_coords for c in data.crystals]),
            cell=np.array(lengths),
            split=data.splits,
            **dict(zip(TARGETS, data.labels.T, strict=True)),
        )
        return path

    return write


@pytest.fixture(scope="session")
def trained(data, tmp_path_factory):
    """The folder of an ensemble of two, trained for a moment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        folder = tmp_path_factory.mktemp("trained") / "ensemble"
        options = Options(steps=40, batch=16, learning_rate=0.01, validate_every=20, device="cpu")
        assert train_ensemble(Plan(TINY, options, folder, range(2), 2), data, quiet=True)
    return folder


@pytest.fixture
def a_copy(trained, tmp_path):
    """Of that ensemble, to be damaged."""
    return shutil.copytree(trained, tmp_path / "copy")
