import csv
import io
import json

import ase.io
import numpy as np
import pytest
from monty.json import MontyDecoder
from pymatgen.core import Structure
from pymatgen.io.cif import CifParser
from stargen_database.engines import open_reader, parse_url
from stargen_database.exports import FORMATS, cif_files
from stargen_database.queries import candidates
from stargen_database.sink import DatabaseSink

ROWS = [
    (
        "make/0",
        (3, 3, 8),
        {"e_above_hull": 0.0123456789012345, "label": 'say "x", y\\', "ok": True},
    ),
    ("make/1/relax.2", (26, 8, 8, 8, 11), {"spacegroup": 225}),
]


@pytest.fixture
def written(tmp_path, make, arrived):
    """Write in a format: the text, and the candidates."""
    url = f"sqlite:///{tmp_path}/results.db"
    sink = DatabaseSink(url, "test", {"make": []}, "run")
    made = [make(name, numbers, **properties) for name, numbers, properties in ROWS]
    sink.write([arrived("make", one) for one in made], 1)
    sink.close()
    engine = open_reader(parse_url(url))
    with engine.connect() as connection:

        def write(form):
            file = io.StringIO()
            assert FORMATS[form](candidates(connection), file, ["e_above_hull", "label"]) == 2
            return file.getvalue(), made

        write.pairs = lambda: candidates(connection)
        yield write
    engine.dispose()


def same(structure, crystal):
    assert structure.atomic_numbers == tuple(crystal.numbers.tolist())
    assert structure.lattice.matrix == pytest.approx(crystal.lattice, abs=1e-6)
    assert structure.frac_coords % 1 == pytest.approx(crystal.frac_coords % 1, abs=1e-6)


def test_cif_has_a_block_for_each_material(written):
    text, made = written("cif")
    assert "data_make_0\n" in text
    assert "data_make_1_relax.2\n" in text
    structures = CifParser.from_str(text).parse_structures(primitive=False)
    for structure, one in zip(structures, made, strict=True):
        assert structure.composition == one.crystal.to_pymatgen().composition
        assert structure.volume == pytest.approx(one.crystal.volume, rel=1e-6)


def test_cif_files_are_named_by_id(written):
    files = dict(cif_files(written.pairs()))
    assert list(files) == ["make_0.cif", "make_1_relax.2.cif"]
    assert Structure.from_str(files["make_0.cif"], fmt="cif").composition.reduced_formula == "Li2O"


def test_extxyz_is_what_ase_reads(written):
    text, made = written("extxyz")
    frames = ase.io.read(io.StringIO(text), index=":", format="extxyz")
    for atoms, one in zip(frames, made, strict=True):
        assert np.array_equal(atoms.numbers, one.crystal.numbers)
        assert atoms.cell.array == pytest.approx(one.crystal.lattice)
        assert atoms.positions == pytest.approx(one.crystal.frac_coords @ one.crystal.lattice)
        assert atoms.pbc.all()
        assert atoms.info["id"] == one.candidate_id
    assert frames[0].info["e_above_hull"] == 0.0123456789012345
    assert frames[0].info["ok"]
    assert frames[0].info["label"] == 'say "x", y\\'
    assert frames[1].info["spacegroup"] == 225


def test_json_is_what_pymatgen_reads(written):
    text, made = written("json")
    structures = json.loads(text, cls=MontyDecoder)
    for structure, one in zip(structures, made, strict=True):
        same(structure, one.crystal)
        assert structure.properties["id"] == one.candidate_id
    assert structures[0].properties["e_above_hull"] == 0.0123456789012345


def test_csv_has_a_column_for_each_name(written):
    text, _ = written("csv")
    first, second = csv.DictReader(io.StringIO(text))
    assert first["id"] == "make/0"
    assert float(first["e_above_hull"]) == 0.0123456789012345
    assert first["label"] == 'say "x", y\\'
    assert second["e_above_hull"] == ""
    assert second["formula"] == "FeNaO3"
