import csv
import gzip
import json

import numpy as np
import pytest
from stargen_structures.info import read
from stargen_structures.read import property_name, scalar

from stargen.crystal import Crystal
from stargen.errors import UserTaskError

SALT = Crystal.of(
    [[0, 2.8, 2.8], [2.8, 0, 2.8], [2.8, 2.8, 0]], [[0, 0, 0], [0.5, 0.5, 0.5]], [11, 17]
)
RUTILE = Crystal.of(
    np.diag([4.6, 4.6, 2.95]),
    [[0, 0, 0], [0.5, 0.5, 0.5], [0.3, 0.3, 0], [0.7, 0.7, 0], [0.8, 0.2, 0.5], [0.2, 0.8, 0.5]],
    [22, 22, 8, 8, 8, 8],
)
DISORDERED = """data_x
_cell_length_a 4
_cell_length_b 4
_cell_length_c 4
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Fe1 Fe 0 0 0 0.5
Ni1 Ni 0 0 0 0.5
"""


def cif(crystal):
    return crystal.to_pymatgen().to(fmt="cif")


def atoms(crystal, **info):
    from ase import Atoms

    return Atoms(
        numbers=crystal.numbers,
        scaled_positions=crystal.frac_coords,
        cell=crystal.lattice,
        pbc=True,
        info=info,
    )


def write_csv(path, rows):
    columns = list(dict.fromkeys(key for row in rows for key in row))
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def same(one, other):
    return one.formula == other.formula and one.to_pymatgen().matches(other.to_pymatgen())


def make_cif(path):
    path.write_text(cif(SALT))


def make_poscar(path):
    path.write_text(SALT.to_pymatgen().to(fmt="poscar"))


def make_extxyz(path):
    from ase.io import write

    write(path, atoms(SALT), format="extxyz")


def make_json(path):
    path.write_text(json.dumps(SALT.to_pymatgen().as_dict()))


def make_csv(path):
    write_csv(path, [{"cif": cif(SALT)}])


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("salt.cif", make_cif),
        ("POSCAR", make_poscar),
        ("CONTCAR_relaxed", make_poscar),
        ("salt.vasp", make_poscar),
        ("salt.extxyz", make_extxyz),
        ("salt.xyz", make_extxyz),
        ("salt.json", make_json),
        ("salt.jsonl", make_json),
        ("salt.csv", make_csv),
        ("salt.csv.gz", make_csv),
    ],
)
def test_reads_each_format(make, tmp_path, name, write):
    write(tmp_path / name)
    born, drops, end = make(read, range(5), path=name)
    assert [c.candidate_id for c in born] == ["job/0"]
    assert same(born[0].crystal, SALT)
    assert not drops
    assert end == 1


def test_any_format_may_be_gzipped(make, tmp_path):
    (tmp_path / "salt.cif.gz").write_bytes(gzip.compress(cif(SALT).encode()))
    assert same(make(read, range(1), path="salt.cif.gz")[0][0].crystal, SALT)


def test_a_file_may_hold_several(make, tmp_path):
    from ase.io import write

    text = "data_global\n_journal_name 'Acta'\n" + cif(SALT) + cif(RUTILE)
    (tmp_path / "a.cif").write_text(text)
    write(tmp_path / "b.extxyz", [atoms(RUTILE), atoms(SALT)], format="extxyz")
    tables = [c.to_pymatgen().as_dict() for c in (SALT, RUTILE)]
    (tmp_path / "c.json").write_text(json.dumps(tables))
    named = {"one": {"structure": tables[0]}, "two": {"structure": tables[1]}}
    (tmp_path / "d.json").write_text(json.dumps(named))
    (tmp_path / "e.jsonl").write_text("\n".join(map(json.dumps, tables)))
    born, drops, end = make(read, range(100), path=".")
    assert not drops
    assert end == 10
    formulas = ["ClNa", "O2Ti"]
    assert [c.crystal.formula for c in born] == [
        *formulas,
        *formulas[::-1],
        *formulas,
        *formulas,
        *formulas,
    ]


def test_order_is_by_name_through_all_folders(make, tmp_path):
    for name, crystal in (("b/1.cif", SALT), ("a/2.cif", RUTILE), ("a/10.cif", SALT)):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(cif(crystal))
    (tmp_path / "in" / "notes.txt").write_text("not a structure")
    born, _, end = make(read, range(9), path="in")
    assert [c.crystal.formula for c in born] == ["ClNa", "O2Ti", "ClNa"]
    assert end == 3
    born, _, _ = make(read, range(9), path="in/a/*.cif")
    assert [c.crystal.formula for c in born] == ["ClNa", "O2Ti"]
    assert len(make(read, range(9), path="in/**/*.cif")[0]) == 3


def test_what_cannot_be_read_is_counted_and_the_rest_goes_on(make, tmp_path):
    rows = [cif(SALT), "garbage", DISORDERED, "", cif(RUTILE)]
    write_csv(tmp_path / "1.csv", [{"cif": text} for text in rows])
    (tmp_path / "2.cif").write_bytes(b"\xff\xfe\x00 nothing")
    whole = gzip.compress(json.dumps(SALT.to_pymatgen().as_dict()).encode())
    (tmp_path / "3.json.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "4.csv").write_text("id,text\n1,2\n")
    (tmp_path / "5.extxyz").write_text("two\natoms\n")
    (tmp_path / "6.cif").write_text(cif(SALT))
    (tmp_path / "7.json").write_text("3")
    (tmp_path / "8.json").write_text('{"a": 1}')
    born, drops, end = make(read, range(20), path=".")
    assert [c.crystal.formula for c in born] == ["ClNa", "O2Ti", "ClNa"]
    assert [(d.candidate_id, d.reason) for d in drops] == [
        ("job/1", "unreadable structure"),
        ("job/2", "disordered structure"),
        ("job/3", "unreadable structure"),
        ("job/5", "unreadable structure"),
        ("job/6", "unreadable structure"),
        ("job/7", "unreadable structure"),
        ("job/8", "unreadable structure"),
        ("job/10", "unreadable structure"),
        ("job/11", "unreadable structure"),
    ]
    assert drops[0].detail.startswith("1.csv row 2: ")
    assert drops[5].detail == "4.csv: there is no column cif"
    assert end == 12


def test_any_range_gives_the_same_as_all_at_once(opened, tmp_path):
    crystals = [SALT, RUTILE] * 4
    write_csv(tmp_path / "a.csv.gz", [{"cif": cif(c), "n": i} for i, c in enumerate(crystals)])
    calculator, context = opened(read, path="a.csv.gz", columns=("n",))

    def numbers(lo, hi):
        context.begin(range(lo, hi))
        born = list(calculator.run((), context))
        return [c.properties["n"] for c in born], context.source_end

    assert numbers(4, 6) == ([4, 5], None)
    assert numbers(0, 3) == ([0, 1, 2], None)  # going back
    assert numbers(6, 8) == ([6, 7], None)
    assert numbers(6, 20) == ([6, 7], 8)
    assert numbers(50, 60) == ([], 8)
    assert numbers(7, 8) == ([7], None)
    calculator.close()


def test_keeps_the_columns_asked_for(make, tmp_path):
    from ase.io import write

    table = {
        "cif": cif(SALT),
        "Band Gap (eV)": "5.5",
        "spacegroup.number": "225",
        "id": "mp-22862",
        "hull": "nan",
    }
    write_csv(tmp_path / "a.csv", [table, {**table, "Band Gap (eV)": ""}])
    columns = ("Band Gap (eV)", "spacegroup.number", "id", "hull", "absent")
    born, _, _ = make(read, range(3), path="a.csv", columns=columns)
    assert born[0].properties == {
        "band_gap_ev": 5.5,
        "spacegroup_number": 225,
        "id": "mp-22862",
        "hull": None,
        "absent": None,
    }
    assert born[1].properties["band_gap_ev"] is None
    write(tmp_path / "b.extxyz", atoms(SALT, energy_mp=-3.4, stable=True), format="extxyz")
    born, _, _ = make(read, range(1), path="b.extxyz", columns=("energy_mp", "stable"))
    assert born[0].properties == {"energy_mp": -3.4, "stable": True}
    record = {"structure": SALT.to_pymatgen().as_dict(), "energy": -1.0}
    (tmp_path / "c.json").write_text(json.dumps(record))
    assert make(read, range(1), path="c.json", columns=("energy",))[0][0].properties == {
        "energy": -1.0
    }
    assert make(read, range(1), path="c.json")[0][0].properties == {}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("3", 3), ("3.5", 3.5), ("1e-3", 1e-3), ("inf", None), ("", None), ("  ", None),
        ("text", "text"), (None, None), ([1], None), (True, True), (np.float64(2.5), 2.5),
    ],
)  # fmt: skip
def test_scalars(value, expected):
    assert scalar(value) == expected


def test_property_names_are_what_filters_understand():
    assert property_name("spacegroup.number") == "spacegroup_number"
    assert property_name(" Band gap [eV] ") == "band_gap_ev"


def test_says_before_the_start_what_is_missing(tmp_path, opened):
    def problems(path):
        return list(read.check(read.params(path=path), tmp_path))

    assert "names no file" in problems("nowhere/*.cif")[0]
    (tmp_path / "notes.txt").write_text("text")
    assert "is no structure file" in problems("notes.txt")[0]
    (tmp_path / "a.cif").write_text(cif(SALT))
    assert not problems("a.cif")
    assert not problems(".")
    with pytest.raises(UserTaskError, match="names no file"):
        opened(read, path="gone.cif")


def test_reads_a_published_set(make, shared_data):
    columns = ("reduced_formula", "n_atoms", "band_gap")
    path = str(shared_data / "mp20_subset.csv.gz")
    born, drops, _ = make(read, range(300, 500), path=path, columns=columns)
    assert not drops
    for candidate in born:
        assert candidate.crystal.formula == candidate.properties["reduced_formula"]
        assert candidate.crystal.n_atoms == candidate.properties["n_atoms"]
        assert candidate.properties["band_gap"] >= 0
