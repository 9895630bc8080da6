"""The calculators in real campaigns: killed while they sample, steered, and learnt from again."""

import subprocess
import sys

import numpy as np
import pytest
from stargen_diffusion.model import load_model
from stargen_diffusion.sources import read_database
from support.checker import Books, same_contents
from support.killing import Kill
from support.real_campaigns import RealCampaign

from stargen.crystal import envelope_of


@pytest.fixture
def campaign(weights, tmp_path):
    """A campaign that uses `toy.npz`; whatever it started is gone at the end."""
    started = []

    def campaign(text, name="campaign"):
        base = tmp_path / name
        started.append(RealCampaign(base, text))
        (base / "toy.npz").write_bytes((tmp_path / weights()).read_bytes())
        return started[-1]

    yield campaign
    assert not any(each.sweep() for each in started), "processes were left over"


SAMPLING = """
[campaign]
name = "sampling"
seed = 3
[[job]]
name = "make"
use = "diffusion.sample"
params = { weights = "toy.npz", count = 64, steps = 60, checkpoint_every = 10 }
grain = 32
"""


def test_a_worker_killed_while_it_samples_costs_no_crystal_and_changes_none(campaign, tmp_path):
    whole, killed = campaign(SAMPLING, "whole"), campaign(SAMPLING, "killed")
    assert whole.run() == 0, whole.said()
    notes = [tmp_path / f"{hit}.note" for hit in (1, 3)]
    kills = [Kill("worker", "after-checkpoint", int(note.stem), note) for note in notes]
    assert killed.run(kills) == 0, killed.said()
    assert all(note.exists() for note in notes), "nobody was killed"
    books = Books(killed.journal)
    books.check_complete()
    assert len(books.contents("make")) == 64
    same_contents(Books(whole.journal), books, "make")


STEERED = """
[campaign]
name = "steered"
seed = 3
[[job]]
name = "make"
use = "diffusion.sample"
params.weights = "toy.npz"
params.count = 6000
params.steps = 2
params.correctors = 0
params.size = "data-then-random"
params.switch_below = 1.0
params.valid_job = "screen"
params.max_atoms = 3
grain = 16
[[job]]
name = "screen"
input = "make"
use = "filters.charge"
grain = 32
"""


class Steered(Books):
    """As it is, and what steering said from which ordinal on."""

    def __init__(self, journal):
        self.steered = []
        super().__init__(journal)

    def _on_SourceSteered(self, record):
        self.steered.append((record.ordinal, record.params["random_share"]))


def test_sizes_turn_to_chance_when_little_is_valid_and_the_journal_says_from_where(campaign):
    """The data have no crystal of three atoms, and no filter lets all of these pass."""
    run = campaign(STEERED)
    assert run.run() == 0, run.said()
    books = Steered(run.journal)
    books.check_complete()
    assert books.steered
    since, share = books.steered[0]
    assert 500 <= since < 6000
    assert share > 0.5
    envelopes = [envelope_of(books.entry(where)) for where in books.by_name["make"].stream]
    threes = [int(e.candidate_id.split("/")[1]) for e in envelopes if e.n_atoms == 3]
    assert min(threes) >= since
    assert max(threes) > since + 100


LOOP = """
[campaign]
name = "loop"
database = "sqlite:///loop.db"
[[job]]
name = "make"
use = "echo.source"
params = { count = 30 }
[[job]]
name = "relax"
input = "make"
use = "filters.geometry"
"""


def test_a_network_goes_on_learning_from_a_campaigns_own_results(campaign, tmp_path):
    run = campaign(LOOP)
    assert run.run() == 0, run.said()
    url = f"sqlite:///{run.base}/loop.db"
    own = read_database(url, "stage = 'relax'")
    kept = Books(run.journal).contents("relax")
    assert {row.name for row in own.rows} == kept.keys()
    assert len(kept) > 20
    cif = own.rows[0].crystal.to_pymatgen().to(fmt="cif")
    (run.base / "more.csv").write_text(f'cif,split\n"{cif}",train\n"{cif}",val\n')
    (run.base / "c.toml").write_text(
        "[network]\nlayers = 2\nhidden = 32\nfrequencies = 8\n[training]\nbatch = 2\n"
    )
    command = [sys.executable, "-m", "stargen.cli", "train", "diffusion", "more.csv"]
    command += ["--config", "c.toml", "--from", "toy.npz", "--database", url, "--steps", "5"]
    done = subprocess.run(
        [*command, "--out", "again"], cwd=run.base, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert f"{len(kept)} materials of sqlite" in done.stderr
    before, after = load_model(run.base / "toy.npz"), load_model(run.base / "again/weights.npz")
    assert after.notes["crystals"] > before.notes.get("crystals", 0)
    assert np.array_equal(after.statistics.code.mean, before.statistics.code.mean)
    moved = (after.network.mix.weight - before.network.mix.weight).detach().abs().max()
    assert 0 < float(moved) < 0.1
