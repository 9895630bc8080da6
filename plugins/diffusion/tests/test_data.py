import gzip

import numpy as np
import pytest
from stargen_diffusion import data
from stargen_diffusion.cells import reduced, variants
from stargen_diffusion.lattices import LatticeCode
from stargen_diffusion.sources import read, read_database, split_of

from stargen import Crystal
from stargen.calculators.conformance import sample_crystals
from stargen.errors import UserError

CRYSTALS = sample_crystals()


def distances(crystal):
    images = np.argwhere(np.ones((7, 7, 7))) - 3
    pairs = crystal.frac_coords[:, None] - crystal.frac_coords[None]
    vectors = (pairs[:, :, None] + images) @ crystal.lattice
    found = np.sort(np.linalg.norm(vectors, axis=-1).ravel())
    return found[found < 8.0]


@pytest.mark.parametrize("name", list(CRYSTALS))
def test_the_reduced_cell_is_the_same_crystal(name):
    crystal = CRYSTALS[name]
    skewed = Crystal.of(
        np.array([[1, 0, 0], [1, -1, 0], [0, 2, 1]]) @ crystal.lattice,
        crystal.frac_coords @ np.linalg.inv([[1, 0, 0], [1, -1, 0], [0, 2, 1]]),
        crystal.numbers,
    )
    found = reduced(skewed)
    assert found.lattice[2, :2] == pytest.approx([0, 0])
    assert np.linalg.det(found.lattice) == pytest.approx(crystal.volume)
    mine, theirs = distances(found), distances(reduced(crystal))
    assert len(mine) == len(theirs)
    assert np.allclose(mine, theirs, atol=1e-6)


def test_a_chiral_crystal_keeps_its_hand():
    chiral = CRYSTALS["triclinic"]
    found = reduced(Crystal.of(-chiral.lattice, chiral.frac_coords, chiral.numbers))
    assert np.linalg.det(found.lattice) > 0
    image = reduced(Crystal.of(-chiral.lattice, -chiral.frac_coords, chiral.numbers))
    assert np.allclose(image.frac_coords, reduced(chiral).frac_coords)


def test_variants_are_the_other_standard_cells():
    (conventional,) = variants(CRYSTALS["rock salt"], ("primitive", "conventional"))
    assert conventional.n_atoms == 8
    assert variants(CRYSTALS["caesium chloride"], ("primitive", "conventional")) == []


def test_augmented_data_hold_both_cells_of_a_crystal():
    augmented = data.cleaned([*CRYSTALS.values()], 20, ("primitive", "conventional")).crystals
    sizes = [c.n_atoms for c in augmented if c.formula == CRYSTALS["silicon"].formula]
    assert sorted(sizes) == [2, 8]
    assert len(augmented) > len(CRYSTALS)


def write_csv(path, *cifs):
    rows = "".join('a,"{}",0.0\n'.format(cif.replace('"', '""')) for cif in cifs)
    with gzip.open(path, "wt") as file:
        file.write("material_id,cif,e_above_hull\n" + rows)
    return path


def test_garbage_rows_are_counted_and_the_rest_is_read(tmp_path):
    good = CRYSTALS["silicon"].to_pymatgen().to(fmt="cif")
    found = read(write_csv(tmp_path / "a.csv.gz", good, "nonsense", "", good[:200], good))
    assert len(found.rows) == 2
    assert found.skipped == {"unreadable CIF": 3}
    assert found.rows[0].e_above_hull == 0.0
    assert found.rows[0].split == split_of("Si")


def test_parquet_is_read_as_csv(tmp_path):
    polars = pytest.importorskip("polars")
    cif = CRYSTALS["perovskite"].to_pymatgen().to(fmt="cif")
    polars.DataFrame({"cif": [cif, "x"], "split": ["val", "val"]}).write_parquet(
        tmp_path / "a.parquet"
    )
    found = read(tmp_path / "a.parquet")
    assert [row.split for row in found.rows] == ["val"]
    assert found.skipped == {"unreadable CIF": 1}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("no.csv", b"a,b\n1,2\n"),
        ("no.npz", b"PK\x03\x04 not really"),
        ("no.csv.gz", b"not gzip"),
        ("no.parquet", b"PAR1"),
        ("no.json", b"{}"),
    ],
)
def test_files_that_are_none_are_refused_by_name(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match="no\\."):
        read(tmp_path / name)
    with pytest.raises(UserError):
        read(tmp_path / "missing.npz")


def test_npz_rows(tmp_path):
    np.savez(
        tmp_path / "a.npz",
        offset=[0, 1, 3, 4],
        atomic_numbers=np.array([29, 11, 17, 0], np.uint8),
        frac_coords=np.zeros((4, 3), np.float32),
        cell=np.array([[2.5, 2.5, 2.5, 60, 60, 60], [4, 4, 4, 60, 60, 60], [3, 3, 3, 90, 90, 90]]),
        split=np.array([0, 2, 0]),
        e_above_hull=[0.0, 0.2, 0.0],
    )
    found = read(tmp_path / "a.npz")
    assert found.skipped == {"no crystal": 1}
    assert [c.formula for c in found.of("train", 0.1)] == ["Cu"]
    assert [c.formula for c in found.of("test")] == ["ClNa"]
    assert found.of("test", 0.1) == []


def test_a_database_that_cannot_be_read_says_so(tmp_path):
    with pytest.raises(UserError, match="material"):
        read_database(f"sqlite:///{tmp_path}/none.db", "1 = 1")


def test_what_cannot_be_learnt_is_left_out_with_the_reason():
    flat = Crystal.of([[1, 0, 0], [0, 1, 0], [1, 1, 0]], [[0, 0, 0]], [3])
    heavy = Crystal.of(np.eye(3) * 4, [[0, 0, 0]], [110])
    found = data.cleaned([flat, heavy, *CRYSTALS.values()], max_atoms=4)
    assert found.skipped == {
        "singular cell": 1,
        "an element beyond Z = 100": 1,
        "more than 4 atoms": 1,
    }
    assert len(found.crystals) == 5


def test_groups_are_as_large_as_asked_for():
    assert [data.group_size(n) for n in (1, 4, 10, 20, 100)] == [32, 32, 16, 4, 1]
    assert [data.group_size(n, 32_000) for n in (1, 4, 10, 20, 100)] == [640, 640, 320, 80, 3]
    crystals = [CRYSTALS["silicon"]] * 100
    code = LatticeCode.fitted("raw", np.array([c.lattice for c in crystals]), np.full(100, 2))
    assert [len(data.Buckets(crystals, code, pairs)) for pairs in (1600, 2500, 5000)] == [4, 2, 1]


def test_groups_hold_crystals_of_one_size_and_come_back_in_full():
    crystals = data.cleaned([*CRYSTALS.values()] * 30, 20).crystals
    statistics = data.Statistics.of(crystals, "polar")
    buckets = data.Buckets(crystals, statistics.code)
    assert sum(len(part.coords) for part in buckets.all().parts) == len(crystals)
    drawn = buckets.draw(np.arange(len(buckets)), np.random.default_rng(0))
    assert sum(len(part.coords) for part in drawn.parts) == len(crystals)
    again = buckets.draw(np.arange(len(buckets)), np.random.default_rng(0))
    assert all((a.coords == b.coords).all() for a, b in zip(drawn.parts, again.parts, strict=True))
    assert statistics.n_atoms == [0, 30, 90, 0, 30, 30]
    assert statistics.elements[7] == 60


def test_statistics_survive_being_written_down():
    statistics = data.Statistics.of([*CRYSTALS.values()], "polar")
    again = data.Statistics.from_plain(statistics.plain())
    assert again.n_atoms == statistics.n_atoms
    assert isinstance(again.code, LatticeCode)
    assert np.array_equal(again.code.std, statistics.code.std)


def test_shared_crystals_are_read(shared_data):
    found = read(shared_data / "crystals_le20.npz")
    assert len(found.rows) == 20_294
    assert not found.skipped
    train = found.of("train", 0.1)
    assert 15_000 < len(train) < 16_170
    assert data.cleaned(train[:300], 20).skipped == {}
