import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from pymatgen.analysis.structure_matcher import StructureMatcher
from stargen_diffusion.checks import sample_checks, shortest_distance
from stargen_diffusion.commands import configuration
from stargen_diffusion.config import N_TYPES, PRESETS, NetConfig
from stargen_diffusion.data import Buckets
from stargen_diffusion.learning import DiffusionTask, LossWeights, losses, noise
from stargen_diffusion.making import Order, Workshop
from stargen_diffusion.model import Model, load_model, save_model
from stargen_diffusion.network import Guess
from stargen_diffusion.revealing import Palette
from stargen_diffusion.sampling import Plan, Sampler
from stargen_training.weights import WeightsError

from stargen import Crystal
from stargen.calculators.conformance import sample_crystals
from stargen.errors import UserError

FORMS = [
    {},
    {"types": "known", "lattice": "scaled", "mean_free": False},
    {"types": "onehot", "lattice": "raw", "mean_free": False},
]


@pytest.mark.parametrize("form", FORMS)
def test_a_perfect_guess_has_no_loss_and_silence_has_unit_loss(crystals, model, form):
    config = NetConfig(**form)
    statistics = model(**form).statistics
    batch = Buckets([crystals[4]] * 32, statistics.code).draw(
        np.array([0]), np.random.default_rng()
    )
    torch.manual_seed(0)
    noisy, targets = noise(batch.parts[0], config)
    score, lattice, types, hidden = targets
    if config.types == "masked":
        types = 50 * torch.nn.functional.one_hot(types, N_TYPES).float()
        assert (noisy.types[hidden] == N_TYPES).all()
        assert (noisy.types[~hidden] == batch.parts[0].types[~hidden]).all()
    assert losses(Guess(score, lattice, types), targets, config).max() < 1e-6
    silent = losses(Guess(score * 0, lattice * 0, types), targets, config)
    assert float(silent[0]) == pytest.approx(1.0, abs=0.3)
    assert float(silent[1]) == pytest.approx(0.8 if config.mean_free else 1.0, abs=0.35)


def overfitted(crystal, config, steps):
    task = DiffusionTask(config, [crystal] * 32, [], LossWeights(), samples=0)
    torch.manual_seed(0)
    network, rng = task.model(), np.random.default_rng(0)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        task.loss(network, task.batch(np.array([0]), rng))[0].backward()
        optimizer.step()
        schedule.step()
    return Model(network, task.statistics)


@pytest.mark.parametrize("types", ["masked", "known"])
def test_one_crystal_is_learnt_and_sampled_back(crystals, types):
    salt = crystals[3]
    config = NetConfig(layers=2, hidden=64, frequencies=8, types=types)
    fitted = overfitted(salt, config, 300).for_sampling()
    given = salt.numbers.astype(np.int64) - 1 if types == "known" else None
    palette = Palette(np.ones(N_TYPES, dtype=bool))

    def draw(at, *key):
        return np.random.default_rng([at, *(len(k) if isinstance(k, str) else k for k in key)])

    orders = [Order(2, lambda *key, at=at: draw(at, *key), palette, given) for at in range(16)]
    made = Workshop(Sampler(fitted, Plan(steps=50))).make(orders)
    matcher = StructureMatcher()
    truth = salt.to_pymatgen()
    found = [crystal.to_pymatgen() for crystal in made if isinstance(crystal, Crystal)]
    assert sum(matcher.fit(truth, crystal) for crystal in found) >= 12


def test_large_cells_are_learnt_some_rows_at_a_time(monkeypatch):
    """Ninety atoms, with a memory bound that a whole cell exceeds."""
    from stargen_diffusion import network

    rng = np.random.default_rng(0)
    cell = sample_crystals()["caesium chloride"]
    images = np.stack(np.meshgrid(range(5), range(3), range(3), indexing="ij"), -1).reshape(-1, 3)
    coords = (cell.frac_coords[:, None] + images).reshape(-1, 3) / [5, 3, 3]
    big = type(cell).of(
        cell.lattice * np.array([[5], [3], [3]]),
        coords + rng.normal(scale=0.002, size=coords.shape),
        np.repeat(cell.numbers, 45),
    )
    assert big.n_atoms == 90
    monkeypatch.setattr(network, "PAIR_FLOATS", 100_000)
    config = NetConfig(layers=1, hidden=16, frequencies=4)
    task = DiffusionTask(config, [big, cell], [], LossWeights(), samples=0)
    net = task.model()
    loss, _ = task.loss(net, task.batch(np.arange(task.size), np.random.default_rng(0)))
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


LARGEST = """
import resource
import numpy as np
from stargen import Crystal
from stargen_diffusion.config import NetConfig
from stargen_diffusion.learning import DiffusionTask, LossWeights

def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

rng = np.random.default_rng(0)
n = 600
cell = Crystal.of(np.eye(3) * (15 * n) ** (1 / 3), rng.random((n, 3)), rng.integers(1, 90, n))
task = DiffusionTask(NetConfig(), [cell], [], LossWeights(), samples=0)
network = task.model()
before = peak_mib()
loss, _ = task.loss(network, task.batch(np.array([0]), rng))
loss.backward()
print(peak_mib() - before)
"""


@pytest.mark.slow
def test_a_step_on_six_hundred_atoms_keeps_to_the_memory_bound():
    """360,000 pairs: each array of a layer alone would take 184 MB, and there are dozens."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", LARGEST], capture_output=True, text=True, env=env, check=True
    )
    assert float(done.stdout) < 1024


def test_early_samples_are_looked_at(model, crystals):
    found = sample_checks(model(), 8, [crystals[0].numbers])
    assert 0 <= found["samples/valid"] <= 1
    assert found["samples/elements"] >= 1
    salt = sample_crystals()["rock salt"]
    assert shortest_distance(salt) == pytest.approx(2.82)
    assert shortest_distance(sample_crystals()["copper"]) == pytest.approx(3.61 / 2**0.5)


def test_weights_survive_being_written(model, tmp_path):
    before = model()
    save_model(tmp_path / "w.npz", before)
    after = load_model(tmp_path / "w.npz")
    assert after.config == before.config
    for name, value in before.network.state_dict().items():
        assert torch.allclose(after.network.state_dict()[name], value, atol=1e-3)
    whole = (tmp_path / "w.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match="truncated"):
        load_model(tmp_path / "cut.npz")


def test_starting_from_other_weights(model, crystals):
    earlier = model(types="masked")
    config = replace(earlier.config, types="known")
    task = DiffusionTask(config, crystals, [], LossWeights(), earlier=earlier)
    mine = task.model().state_dict()
    assert torch.equal(mine["mix.weight"], earlier.network.state_dict()["mix.weight"])
    wider = replace(config, hidden=48)
    with pytest.raises(UserError, match="another network"):
        DiffusionTask(wider, crystals, [], LossWeights(), earlier=earlier).model()


def test_configuration_files(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text("[network]\nhidden = 64\n[training]\nbatch = 2\n[data]\nmax_atoms = 200\n")
    found = configuration("small-csp", file)
    assert found.network == replace(PRESETS["small-csp"], hidden=64)
    assert found.training.batch == 2
    assert found.data.max_atoms == 200
    assert configuration("paper", None).loss.types == 20
    file.write_text("[network]\nhiden = 64\n")
    with pytest.raises(UserError, match="hidden"):
        configuration("small", file)
    with pytest.raises(UserError, match="small-csp"):
        configuration("smal", None)


def rows(folder, name="train/loss"):
    lines = (folder / "metrics.csv").read_text().splitlines()
    cells = [line.split(",") for line in lines[1:]]
    return {cell[0]: cell[3] for cell in cells if cell[2] == name}


def test_a_killed_training_goes_on_to_the_same_losses(tmp_path):
    crystals = [*sample_crystals().values()]
    sizes = [c.n_atoms for c in crystals]
    from stargen_diffusion.lattices import lengths_and_angles

    np.savez(
        tmp_path / "data.npz",
        offset=np.cumsum([0, *sizes]),
        atomic_numbers=np.concatenate([c.numbers for c in crystals]),
        frac_coords=np.concatenate([c.frac_coords for c in crystals]),
        cell=[np.concatenate(lengths_and_angles(c.lattice)) for c in crystals],
        split=np.array([0, 0, 0, 0, 0, 1]),
    )
    (tmp_path / "c.toml").write_text(
        "[network]\nlayers = 1\nhidden = 16\nfrequencies = 4\n"
        "[training]\nsteps = 300\nbatch = 2\ncheckpoint_every_s = 0.2\nvalidate_every = 150\n"
    )
    command = [sys.executable, "-m", "stargen.cli", "train", "diffusion", "data.npz", "--quiet"]
    command += ["--config", "c.toml", "--out"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    first = subprocess.Popen([*command, "killed"], cwd=tmp_path, env=env)
    deadline = time.monotonic() + 60
    checkpoint = tmp_path / "killed" / "checkpoint.pt"
    while not checkpoint.exists() and first.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    for folder in ("killed", "whole"):
        subprocess.run([*command, folder], cwd=tmp_path, env=env, check=True)
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")
    assert len(rows(tmp_path / "whole")) == 7, "the first step and every fiftieth"
    ends = [load_model(tmp_path / folder / "weights.npz") for folder in ("killed", "whole")]
    for one, other in zip(*(end.network.state_dict().values() for end in ends), strict=True):
        assert torch.equal(one, other)


@pytest.mark.slow
def test_two_processes_train_one_network(tmp_path):
    crystals = [*sample_crystals().values()]
    text = "".join('"{}",train\n'.format(c.to_pymatgen().to(fmt="cif")) for c in crystals)
    (tmp_path / "data.csv").write_text("cif,split\n" + text)
    (tmp_path / "c.toml").write_text(
        "[network]\nlayers = 1\nhidden = 16\nfrequencies = 4\n"
        "[training]\nsteps = 30\nbatch = 2\nvalidate_every = 15\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["-m", "stargen.cli", "train", "diffusion", "data.csv", "--config", "c.toml"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--out", "two"], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("weights of step") == 1
    assert load_model(tmp_path / "two" / "weights.npz").notes["steps"] == 30
