import csv
import gzip
import io
import json
import logging

import numpy as np
import pytest
from stargen_filters.info import novel
from stargen_filters.params import NovelParams
from stargen_filters.reference import ReferenceSet, alphabetical_formula

from stargen.calculators.conformance import LocalContext
from stargen.crystal import Candidate, Crystal
from stargen.errors import UserTaskError


def salt(edge_ang=5.6, cation=11, anion=17):
    cell = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) * edge_ang / 2
    return Crystal.of(cell, [[0, 0, 0], [0.5, 0.5, 0.5]], [cation, anion])


def caesium_chloride(cation=11, anion=17):
    return Crystal.of(np.eye(3) * 3.5, [[0, 0, 0], [0.5, 0.5, 0.5]], [cation, anion])


KNOWN = {"mp-1": salt(), "mp-2": salt(cation=12, anion=8, edge_ang=4.2)}


def cif(crystal):
    return crystal.to_pymatgen().to(fmt="cif")


def csv_text(rows, **extra):
    out = io.StringIO()
    writer = csv.DictWriter(out, ["material_id", "cif", *extra])
    writer.writeheader()
    for name, text in rows:
        writer.writerow({"material_id": name, "cif": text, **extra})
    return out.getvalue()


def write_csv(folder):
    (folder / "known.csv").write_text(csv_text((n, cif(c)) for n, c in KNOWN.items()))
    return "known.csv"


def write_zipped_csv(folder):
    text = csv_text((n, cif(c)) for n, c in KNOWN.items())
    (folder / "known.csv.gz").write_bytes(gzip.compress(text.encode()))
    return "known.csv.gz"


def write_jsonl(folder):
    lines = [
        json.dumps({"material_id": n, "structure": c.to_pymatgen().as_dict()})
        for n, c in KNOWN.items()
    ]
    (folder / "known.jsonl").write_text("\n".join(lines) + "\n")
    return "known.jsonl"


def write_extxyz(folder):
    from ase import Atoms
    from ase.io import write

    frames = [
        Atoms(
            numbers=c.numbers,
            scaled_positions=c.frac_coords,
            cell=c.lattice,
            pbc=True,
            info={"material_id": n},
        )
        for n, c in KNOWN.items()
    ]
    write(folder / "known.extxyz", frames)
    return "known.extxyz"


@pytest.mark.parametrize("write", [write_csv, write_zipped_csv, write_jsonl, write_extxyz])
def test_drops_what_the_reference_knows(run, tmp_path, write):
    reference = write(tmp_path)
    candidates = [
        Candidate("a", salt(5.9)),
        Candidate("b", caesium_chloride()),
        Candidate("c", salt(cation=19)),
        Candidate("d", salt(cation=12, anion=8, edge_ang=4.3)),
    ]
    kept, drops = run(novel, candidates, reference=reference)
    assert [c.candidate_id for c in kept] == ["b", "c"]
    assert {c.properties["novel_against"] for c in kept} == {reference}
    assert [(d.candidate_id, d.reason, d.detail.split()[1]) for d in drops] == [
        ("a", "known", "mp-1,"),
        ("d", "known", "mp-2,"),
    ]


def test_rows_that_cannot_be_read_are_logged_and_left_out(run, tmp_path, caplog):
    rows = [("bad-1", "not a cif"), ("bad-2", cif(salt()).replace("5", "x")), ("mp-1", cif(salt()))]
    (tmp_path / "known.csv").write_text(csv_text(rows))
    with caplog.at_level(logging.WARNING):
        _, drops = run(novel, [Candidate("a", salt())], reference="known.csv")
    assert [d.detail.split(",")[0] for d in drops] == ["as mp-1"]
    assert {r.args[0] for r in caplog.records} == {"bad-1", "bad-2"}


def test_only_formulas_that_are_met_are_parsed(tmp_path, monkeypatch):
    write_csv(tmp_path)
    params = NovelParams(reference="known.csv")
    reference = ReferenceSet(tmp_path / "known.csv", params, LocalContext())
    assert len(reference) == 2
    assert [name for name, _ in reference.crystals("MgO")] == ["mp-2"]
    assert not list(reference.crystals("LiF"))


def test_formulas_may_come_from_a_column(tmp_path):
    (tmp_path / "known.csv").write_text(csv_text([("mp-1", cif(salt()))], formula="Na2Cl2"))
    params = NovelParams(reference="known.csv", formula_column="formula")
    reference = ReferenceSet(tmp_path / "known.csv", params, LocalContext())
    assert [name for name, _ in reference.crystals("ClNa")] == ["mp-1"]


def test_one_worker_reads_the_file_for_all(tmp_path, monkeypatch):
    write_csv(tmp_path)
    params, context = NovelParams(reference="known.csv"), LocalContext()
    first = ReferenceSet(tmp_path / "known.csv", params, context)
    monkeypatch.setattr(csv, "DictReader", None)
    second = ReferenceSet(tmp_path / "known.csv", params, context)
    assert [name for name, _ in second.crystals("ClNa")] == ["mp-1"]
    assert not list(first.crystals("LiF"))
    other = NovelParams(reference="known.csv", id_column="name")
    with pytest.raises(TypeError):
        ReferenceSet(tmp_path / "known.csv", other, context)


def test_a_reference_may_be_empty_and_name_a_formula_often(tmp_path):
    (tmp_path / "none.csv").write_text(csv_text([]))
    none = ReferenceSet(tmp_path / "none.csv", NovelParams(reference="none.csv"), LocalContext())
    assert (len(none), list(none.crystals("ClNa"))) == (0, [])
    rows = [(f"mp-{i}", cif(salt(5.6 + i / 10))) for i in range(5)]
    rows.insert(2, ("other", cif(salt(cation=12, anion=8))))
    (tmp_path / "many.csv").write_text(csv_text(rows))
    many = ReferenceSet(tmp_path / "many.csv", NovelParams(reference="many.csv"), LocalContext())
    assert [name for name, _ in many.crystals("ClNa")] == [f"mp-{i}" for i in range(5)]
    assert [name for name, _ in many.crystals("MgO")] == ["other"]


def test_a_missing_column_stops_the_job(run, tmp_path):
    write_csv(tmp_path)
    with pytest.raises(UserTaskError, match="no column formula"):
        run(novel, [], reference="known.csv", formula_column="formula")


@pytest.mark.parametrize(
    ("text", "formula"),
    [("Li4 O2", "Li2O"), ("LiFePO4", "FeLiO4P"), ("'Ti1 O2'".strip("'"), "O2Ti"), ("C", "C")],
)
def test_formulas_are_reduced_and_ordered(text, formula):
    assert alphabetical_formula(text) == formula


@pytest.mark.parametrize("text", ["Li0.5 O", "Ca(OH)2", "Xx2"])
def test_other_formulas_are_refused(text):
    with pytest.raises(ValueError, match=r"formula|element"):
        alphabetical_formula(text)


def test_says_before_the_start_what_is_missing(tmp_path):
    assert "does not exist" in next(novel.check(novel.params(reference="a.csv"), tmp_path))
    assert "none of" in next(novel.check(novel.params(reference="a.parquet"), tmp_path))
    (tmp_path / "a.csv").touch()
    assert not list(novel.check(novel.params(reference="a.csv"), tmp_path))
    assert novel.reads(novel.params(reference="a.csv")) == ("a.csv",)
