import gzip
import json
import subprocess
import sys

import polars
import pytest
from stargen_stability import elemental, reference, tables
from stargen_stability.formulas import parse_formula
from stargen_stability.info import HullParams, hull

from stargen.errors import UserTaskError

ROWS = [
    {"reduced_formula": "Li2O", "formation_energy_per_atom": -2.0, "material_id": "a"},
    {"reduced_formula": "LiO2", "formation_energy_per_atom": -1.0, "material_id": "b"},
]
ELEMENTS = elemental.shipped("mp-2023-02-07")


def write_csv(path, rows):
    names = list(rows[0])
    lines = [",".join(names), *(",".join(str(row[name]) for name in names) for row in rows)]
    text = "\n".join(lines) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def write(path, rows):
    if path.suffix == ".parquet":
        polars.DataFrame(rows).write_parquet(path)
    elif ".json" in path.name:
        text = json.dumps(rows)
        path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    else:
        write_csv(path, rows)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.json", "a.json.gz", "a.parquet"])
def test_every_format_gives_the_same_phases(tmp_path, name):
    path = tmp_path / name
    write(path, ROWS)
    found = reference.from_file(path, "mp2020", ELEMENTS)
    assert len(found.phases) == 2
    assert found.name.startswith(f"{name}@")
    assert set(tables.columns(path)) == set(ROWS[0])
    assert not list(hull.check(HullParams(reference=name), tmp_path))


def test_json_may_hold_columns(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({name: [row[name] for row in ROWS] for name in ROWS[0]}))
    assert [dict(row) for row in tables.rows(path)] == ROWS


def test_the_name_follows_the_content(tmp_path):
    names = set()
    for energy in (-1.0, -1.5, -1.0):
        write_csv(tmp_path / "a.csv", [{"formula": "LiO", "formation_energy_per_atom": energy}])
        names.add(reference.from_file(tmp_path / "a.csv", "mp2020", ELEMENTS).name)
    assert len(names) == 2


def test_total_energies_are_counted_from_the_elements(tmp_path):
    total = (2 * ELEMENTS.energies["Li"] + ELEMENTS.energies["O"]) / 3 - 2.0
    write_csv(tmp_path / "a.csv", [{"formula": "Li2O", "energy_per_atom": total}])
    phases = reference.from_file(tmp_path / "a.csv", "mp2020", ELEMENTS).phases
    ((_, known),) = phases.within(("Li", "O"))
    assert next(iter(known.values()))[0] == pytest.approx(-2.0)


def test_rows_without_an_energy_are_left_out(tmp_path):
    write_csv(
        tmp_path / "a.csv",
        [
            {"formula": "Li2O", "formation_energy_per_atom": ""},
            {"formula": "LiO", "formation_energy_per_atom": "nan"},
            {"formula": "LiO2", "formation_energy_per_atom": "-1"},
        ],
    )
    assert len(reference.from_file(tmp_path / "a.csv", "mp2020", ELEMENTS).phases) == 1


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"formula": "Xq2", "formation_energy_per_atom": -1}, "Xq"),
        ({"formula": "Li2O", "formation_energy_per_atom": "low"}, "row 1: .*not a number"),
        ({"formula": "PoO2", "energy_per_atom": -3}, "no energy of Po"),
        (
            {"formula": "Li2O", "formation_energy_per_atom": -1, "energy_scheme": "pbe/none"},
            "scheme pbe/none, not mp2020",
        ),
        ({"compound": "Li2O", "formation_energy_per_atom": -1}, "no column reduced_formula"),
        ({"formula": "Li2O", "e": -1}, "no column formation_energy_per_atom"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, row, says):
    write_csv(tmp_path / "a.csv", [row])
    with pytest.raises(UserTaskError, match=says):
        reference.from_file(tmp_path / "a.csv", "mp2020", ELEMENTS)


def test_check_reports_files_and_columns_before_the_start(tmp_path):
    def problems(**params):
        return " ".join(hull.check(HullParams(**params), tmp_path))

    assert "No such file" in problems(reference="none.csv")
    (tmp_path / "a.txt").write_text("formula\n")
    assert "not one of .csv" in problems(reference="a.txt")
    (tmp_path / "a.csv").write_text("formula,e\nLi,1\n")
    assert "no column formation_energy_per_atom" in problems(reference="a.csv")
    (tmp_path / "a.json").write_text("{")
    assert "a.json" in problems(reference="a.json")
    assert "mp-2023-02-07" in problems(elements="mp-1999")
    assert "no column element" in problems(elements="a.csv")
    assert not problems()


@pytest.mark.parametrize("name", ["a.csv.gz", "a.json.gz", "a.parquet"])
def test_a_damaged_file_is_named(tmp_path, name):
    path = tmp_path / name
    write(path, ROWS * 400)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserTaskError, match=name):
        reference.from_file(path, "mp2020", ELEMENTS)


def test_elements_from_a_file(tmp_path):
    (tmp_path / "el.csv").write_text("element,energy_per_atom\nLi,-1.5\nO,-4\n")
    table = elemental.from_file(tmp_path / "el.csv", "gpaw-pbe")
    assert table.formation_energy({"Li": 1, "O": 1}, -4.0) == pytest.approx(-1.25)
    (tmp_path / "el.csv").write_text("element,energy_per_atom\nLi,-1.5\nO,low\n")
    with pytest.raises(ValueError, match="row 2"):
        elemental.from_file(tmp_path / "el.csv", "gpaw-pbe")


def test_the_shipped_elements():
    assert len(ELEMENTS.energies) == 89
    assert ELEMENTS.scale == "mp2020"
    assert ELEMENTS.energies["O"] == pytest.approx(-4.94668871)


@pytest.mark.parametrize(
    ("formula", "amounts"),
    [
        ("LiFePO4", {"Li": 1, "Fe": 1, "P": 1, "O": 4}),
        ("Ca(OH)2", {"Ca": 1, "O": 2, "H": 2}),
        ("Al2(Si(O2)2)3", {"Al": 2, "Si": 3, "O": 12}),
        ("Li0.5 CoO2", {"Li": 0.5, "Co": 1, "O": 2}),
        ("[NH4]2SO4", {"N": 2, "H": 8, "S": 1, "O": 4}),
        ("CCo0", {"C": 1}),
    ],
)
def test_formulas(formula, amounts):
    assert parse_formula(formula) == pytest.approx(amounts)


@pytest.mark.parametrize("formula", ["", "2", "Li(", "Li)2", "li2o", "Zz", "Li-O", "Li0"])
def test_what_is_no_formula(formula):
    with pytest.raises(ValueError):
        parse_formula(formula)


def test_checking_a_campaign_costs_no_heavy_import(tmp_path):
    (tmp_path / "known.csv").write_text("formula,energy_per_atom\nMgO,-6\n")
    code = (
        "import sys; from pathlib import Path; from stargen_stability.info import hull as h;"
        "assert not list(h.check(h.params(reference='known.csv'), Path(sys.argv[1])));"
        "print(sorted({'scipy', 'polars', 'sqlalchemy', 'pymatgen.core'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
