import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from stargen_crysformer.commands import evaluate, train
from stargen_crysformer.ensemble import Ensemble
from stargen_crysformer.learning import read_member
from stargen_crysformer.materials import read_materials
from stargen_database.sink import DatabaseSink
from stargen_training.metrics import read_metrics
from stargen_training.weights import read_weights
from typer.testing import CliRunner

from stargen import Candidate
from stargen.calculators.contract import Arrived
from stargen.crystal import encode_entry
from stargen.errors import UserError

SMALL = ("--model", "tiny", "--irreps", "16x0e+8x1e", "--blocks", "1", "--batch", "16")


def called(command, *arguments):
    return CliRunner().invoke(command, [str(each) for each in arguments])


def program(*command):
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *(str(each) for each in command)],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def file(data, file_of, tmp_path):
    return file_of(tmp_path / "data.npz", data)


def test_an_ensemble_from_the_command_line(file, tmp_path):
    folder = tmp_path / "out"
    arguments = (
        file,
        "-o",
        folder,
        *SMALL,
        "--members",
        2,
        "--steps",
        6,
        "--corrections",
        "mp2020",
    )
    done = called(train, *arguments)
    assert done.exit_code == 0, done.output
    assert "an ensemble of 2, calibrated" in done.output
    ensemble = Ensemble.load(folder)
    assert len(ensemble.members) == 3
    assert ensemble.energy_scheme.endswith("/mp2020")
    assert {name for _, _, name, _ in read_metrics(folder / "member-0" / "metrics.csv")} >= {
        "train/loss",
        "val/formation_energy_per_atom",
        "val/band_gap",
    }
    before = (folder / "member-0.npz").read_bytes()
    (folder / "calibration.json").unlink()
    again = called(train, *arguments)
    assert again.exit_code == 0, again.output
    assert (folder / "member-0.npz").read_bytes() == before
    assert Ensemble.load(folder).energy_scheme == ensemble.energy_scheme

    (tmp_path / "about.md").write_text("Learnt from crystals at random.\n")
    card = ("--card", tmp_path / "card.md", "--about", tmp_path / "about.md", "--beyond", file)
    told = called(evaluate, file, "-w", folder, "--json", *card)
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["n"] == 20
    assert json.loads(told.stdout)["beyond"]["n"] == 100
    text = (tmp_path / "card.md").read_text()
    assert "Learnt from crystals at random." in text
    assert "steps 6, batch 16" in text
    assert "## Crystals of another kind" in text
    table = called(evaluate, file, "-w", folder, "--split", "all")
    assert "ensemble on all" in table.stdout


def test_members_may_be_trained_apart(file, tmp_path):
    folder = tmp_path / "out"
    whole = (file, "-o", folder, *SMALL, "--steps", 4, "--members", 2)
    for number, said in ((1, "not all 2 members are trained"), (0, "an ensemble of 2, calibrated")):
        done = called(train, *whole, "--member", number)
        assert done.exit_code == 0, done.output
        assert said in done.output


def test_a_learning_curve_is_a_table(file, tmp_path):
    done = called(train, file, "-o", tmp_path / "curve", *SMALL, "--steps", 4, "--sizes", "10,40")
    assert done.exit_code == 0, done.output
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in lines if line and line[0].isdigit()] == ["10", "40"]
    assert "test MAE band_gap" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give files with labelled crystals, or --database"),
        (("--target", ","), "names no property"),
        (("--sizes", "ten"), "not numbers by comma"),
        (("--from", "nowhere"), "holds no member"),
        (("--model", "huge"), "there is no model huge"),
    ],
)
def test_what_is_wrong_is_said(file, tmp_path, arguments, said):
    data = () if not arguments else (file,)
    done = called(train, *data, "-o", tmp_path / "out", "--steps", 2, *arguments)
    assert isinstance(done.exception, UserError)
    assert said in str(done.exception)


def test_killed_it_goes_on_to_the_same_end(file, tmp_path):
    """Killed in the middle; the weights are those of a training that nobody disturbed."""
    script = Path(__file__).with_name("train_often_kept.py")

    def reached(folder):
        return max((row[0] for row in read_metrics(folder / "member-0" / "metrics.csv")), default=0)

    whole = program(script, file, tmp_path / "whole")
    killed = tmp_path / "killed"
    process = program(script, file, killed)
    while process.poll() is None and reached(killed) < 30:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    assert not (killed / "member-0.npz").exists()
    last = program(script, file, killed)
    for process in (whole, last):
        told, _ = process.communicate(timeout=300)
        assert process.returncode == 0, told
    one, other = (
        read_weights(folder / "member-0.npz", "crysformer").arrays
        for folder in (tmp_path / "whole", killed)
    )
    assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_two_processes_make_one_ensemble(file, tmp_path):
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    stargen = Path(sys.executable).with_name("stargen")
    options = ("-o", tmp_path / "out", "--members", 1, "--steps", 8, *SMALL)
    process = program(*launch, stargen, "train", "crysformer", file, *options)
    told, _ = process.communicate(timeout=300)
    assert process.returncode == 0, told
    assert told.count("an ensemble of 1, calibrated") == 1
    assert Ensemble.load(tmp_path / "out").members[0].notes["steps"] == 8


# --- learning on from a campaign's own database -----------------------------------------------


@pytest.fixture
def database(data, tmp_path):
    """What a campaign computed: formation energies of some crystals, 0.3 eV/atom off the file's."""

    def make(schemes=("chgnet-0.3.0/mp2020",)):
        url = f"sqlite:///{tmp_path}/results.db"
        sink = DatabaseSink(url, "campaign", {"relax": []}, "run")
        items = []
        for i, crystal in enumerate(data.crystals[:80]):
            told = {
                "formation_energy_per_atom": float(data.labels[i, 0]) - 0.3,
                "energy_scheme": schemes[i % len(schemes)],
            }
            items.append(Arrived("relax", encode_entry(Candidate(f"relax/{i}", crystal, told))))
        sink.write(items, 1)
        sink.close()
        return url

    return make


def test_a_database_is_read_as_labelled_crystals(database, data):
    found = read_materials(database(), ("formation_energy_per_atom", "band_gap"))
    assert len(found) == 80
    assert found.corrections == "mp2020"
    assert np.isnan(found.labels[:, 1]).all()
    by_name = dict(zip(found.names, found.labels[:, 0], strict=True))
    assert by_name["campaign:relax/7"] == pytest.approx(data.labels[7, 0] - 0.3)
    where = found.names.index("campaign:relax/7")
    assert found.crystals[where] == data.crystals[7]


def test_what_a_database_lacks_or_mixes_is_said(database, tmp_path):
    url = database(("chgnet-0.3.0/mp2020", "gpaw-pbe/pbe"))
    with pytest.raises(UserError, match="energies of 2 schemes"):
        read_materials(url, ("formation_energy_per_atom",))
    with pytest.raises(UserError, match=r"no material of .* has bulk_modulus"):
        read_materials(url, ("bulk_modulus",))
    with pytest.raises(UserError, match="cannot be read"):
        read_materials(f"sqlite:///{tmp_path}/none.db", ("band_gap",))
    assert not (tmp_path / "none.db").exists()
    engine = sa.create_engine(f"sqlite:///{tmp_path}/other.db")
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE t (x INTEGER)"))
    with pytest.raises(UserError, match="cannot be read"):
        read_materials(f"sqlite:///{tmp_path}/other.db", ("band_gap",))


def test_the_closed_loop(database, trained, file, tmp_path):
    """Weights learn on from a database: they come closer to what it says."""
    url, folder = database(), tmp_path / "on"
    done = called(
        train, "--database", url, "--from", trained, "-o", folder, "--members", 2,
        "--steps", 60, "--batch", 16, "--learning-rate", 0.005,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    before, after = Ensemble.load(trained), Ensemble.load(folder)
    found = read_materials(url, after.targets)
    rows = found.of_split("test")
    assert len(rows) > 3
    graphs = after.graphs([found.crystals[i] for i in rows])

    def error(ensemble):
        values = ensemble.predict(graphs, 0.9).values[:, 0]
        return np.abs(values - found.labels[rows, 0]).mean()

    assert error(after) < 0.6 * error(before)
    assert after.energy_scheme != before.energy_scheme
    assert after.energy_scheme.endswith("/mp2020")
    for name, member in (("member-0", before.members[0]), ("composition", before.members[-1])):
        assert read_member(folder / f"{name}.npz").notes["start"] == member.digest
    # gaps are not in the database: their calibration stays
    assert after.calibration[1].plain() == before.calibration[1].plain()

    assert after.parts[1] == before.parts[1]

    folder, one = tmp_path / "alone", trained / "member-0.npz"
    alone = called(train, file, "--from", one, "-o", folder, "--members", 1, "--steps", 2)
    assert alone.exit_code == 0, alone.output
    assert not list(folder.glob("composition*")), "there was none to begin with"

    both = called(
        train, file, "--database", url, "--from", trained, "-o", tmp_path / "both",
        "--members", 1, "--steps", 2, "--batch", 16,
    )  # fmt: skip
    assert both.exit_code == 0, both.output
    assert "180 crystals" in both.output
