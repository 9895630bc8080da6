import gzip

import numpy as np
import pandas as pd
import pytest
from stargen_crysformer.graphs import Graphs
from stargen_crysformer.scaling import Scaling, bounded, errors, fractions_of
from stargen_crysformer.sets import SPLITS, graphs_of, joined, lattices_of, read, split_of

from stargen.errors import UserError

TARGETS = ("formation_energy_per_atom", "band_gap")


def test_a_file_of_arrays_is_read_as_it_was_written(data, file_of, tmp_path):
    found = read([file_of(tmp_path / "data.npz", data)], TARGETS, "mp2020")
    assert found.names == data.names
    assert found.corrections == "mp2020"
    assert np.array_equal(found.splits, data.splits)
    assert np.array_equal(found.labels, data.labels, equal_nan=True)
    ours, theirs = (Graphs.of(each.crystals, 12) for each in (found, data))
    assert np.array_equal(ours.degrees, theirs.degrees)
    assert ours.shortest_ang == pytest.approx(theirs.shortest_ang, abs=1e-5)


def test_a_table_with_cifs_is_read_once(data, tmp_path, monkeypatch):
    few = data.crystals[:6]
    table = pd.DataFrame(
        {
            "cif": [c.to_pymatgen().to(fmt="cif") for c in few],
            "formation_energy_per_atom": [0.5, None, *data.labels[2:6, 0]],
        }
    )
    path = tmp_path / "table.csv.gz"
    with gzip.open(path, "wt") as file:
        table.to_csv(file, index=False)
    found = read([path], TARGETS[:1])
    assert len(found) == 5  # one has no label
    assert [c.formula for c in found.crystals] == [c.formula for i, c in enumerate(few) if i != 1]
    assert found.splits.tolist() == [split_of(c.formula) for c in found.crystals]
    monkeypatch.setattr("pymatgen.core.Structure.from_str", lambda *a, **k: pytest.fail("again"))
    again = read([path], TARGETS[:1])
    assert again.digest() == found.digest()


def test_what_files_lack_is_named(data, file_of, tmp_path):
    path = file_of(tmp_path / "data.npz", data)
    with pytest.raises(UserError, match=r"data\.npz: has no array bulk_modulus"):
        read([path], ("bulk_modulus",))
    with pytest.raises(UserError, match=r"none\.npz: there is no such file"):
        read([tmp_path / "none.npz"], TARGETS)
    (tmp_path / "data.txt").touch()
    with pytest.raises(UserError, match=r"neither \.npz nor \.csv"):
        read([tmp_path / "data.txt"], TARGETS)
    half = tmp_path / "half.npz"
    half.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UserError, match=r"half\.npz: cannot be read"):
        read([half], TARGETS)
    (tmp_path / "bad.csv").write_text("cif,band_gap\nno cif,1.0\n")
    with pytest.raises(UserError, match=r"bad\.csv:2: its cif cannot be read"):
        read([tmp_path / "bad.csv"], ("band_gap",))


def test_a_composition_is_in_one_split():
    found = [split_of(f"A{i}B") for i in range(3000)]
    shares = np.bincount(found) / 3000
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.03)
    assert len(SPLITS) == 3
    assert split_of("A1B") == split_of("A1B")


def test_files_may_be_joined_if_their_energies_may(data):
    both = joined(data, data)
    assert len(both) == 2 * len(data)
    assert both.corrections == "mp2020"
    with pytest.raises(UserError, match="corrections mp2020 and pbe"):
        joined(data, type(data)(data.names, data.crystals, data.labels, data.splits, "pbe"))


def test_graphs_are_kept(data, monkeypatch):
    first = graphs_of(data.crystals, 9, data.digest())
    monkeypatch.setattr(Graphs, "of", lambda *_: pytest.fail("built again"))
    again = graphs_of(data.crystals, 9, data.digest())
    for name in Graphs.__slots__:
        assert np.array_equal(getattr(first, name), getattr(again, name))


def test_cells_become_lattices(crystals):
    some = crystals(20)
    cells = np.array([c.to_pymatgen().lattice.parameters for c in some])
    for crystal, lattice in zip(some, lattices_of(cells), strict=True):
        assert lattice @ lattice.T == pytest.approx(crystal.lattice @ crystal.lattice.T, rel=1e-9)


def test_a_linear_fit_takes_away_what_composition_tells():
    rng = np.random.default_rng(0)
    numbers = rng.choice([3, 8, 26], 3000).astype(np.uint8)
    fractions = fractions_of(numbers, np.full(1000, 3))
    y = fractions @ np.linspace(-2, 1, fractions.shape[1]) + 0.7
    labels = np.stack([y, np.where(rng.random(1000) < 0.5, np.nan, y * y)], axis=1)
    scaling = Scaling.fit(fractions, labels)
    assert scaling.base(fractions)[:, 0] == pytest.approx(y, abs=0.01)
    outputs = scaling.normalized(fractions, labels)
    assert scaling.values(fractions, outputs) == pytest.approx(labels, nan_ok=True)
    back = Scaling.from_plain(scaling.plain())
    assert back.base(fractions) == pytest.approx(scaling.base(fractions))
    assert np.flatnonzero(back.known).tolist() == [3, 8, 26]
    more = fractions_of(np.array([79, 8], np.uint8), np.array([2]))
    assert np.flatnonzero(scaling.knowing(more).known).tolist() == [3, 8, 26, 79]


def test_errors_are_of_what_is_known():
    labels = np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan]])
    energy, gap = errors(np.array([[1.5, 0], [2.0, 0], [9, 0]]), labels)
    assert energy["n"] == 2
    assert energy["mae"] == pytest.approx(0.75)
    assert energy["r2"] == pytest.approx(1 - (0.25 + 1) / 2 / 1.0)
    assert gap["n"] == 0
    assert np.isnan(gap["mae"])
    assert bounded(np.array([[-1.0, -1.0]]), ("energy", "band_gap")).tolist() == [[-1.0, 0.0]]
