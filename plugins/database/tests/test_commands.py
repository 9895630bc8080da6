import io
import json
import subprocess
import sys
import tarfile
from dataclasses import replace

import numpy as np
import pytest
import zstandard
from stargen_database.commands import app
from stargen_database.sink import DatabaseSink
from typer.testing import CliRunner

from stargen.errors import ExpressionError, UserError
from stargen.store import CampaignFolder

REFERENCE = "mp.csv@abc + elements mp-2023-02-07"


@pytest.fixture
def database(tmp_path, make, arrived, dropped):
    url = f"sqlite:///{tmp_path}/results.db"
    sink = DatabaseSink(url, "test", {"make": [], "hull": ["make"]}, "run")
    made = [
        make("make/0", (3, 3, 8), e_above_hull=0.01, spacegroup=225, hull_reference=REFERENCE),
        make("make/1", (22, 8, 8), e_above_hull=-0.02, hull_reference=REFERENCE),
        make("make/2", (11, 17), e_above_hull=0.3, label="x"),
    ]
    sink.write([arrived("make", one) for one in made], 1)
    sink.write([arrived("hull", one) for one in made[:2]], 2)
    sink.write([dropped("hull", "make/2", "too high", "0.3", "filters.x")], 3)
    sink.close()
    return url


def run(*arguments):
    done = CliRunner().invoke(app, [str(each) for each in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def test_query_lists_matches_and_names_the_reference(database):
    text = run("query", "e_above_hull < 0.1", "--order-by", "e_above_hull", "-d", database)
    lines = text.splitlines()
    assert lines[1].split() == ["make/1", "O2Ti", "3", "-", "-0.02", "kept"]
    assert lines[2].split() == ["make/0", "Li2O", "3", "225", "0.01", "kept"]
    assert lines[3] == "2 of 2 materials"
    assert lines[4] == f"e_above_hull is above: {REFERENCE}"


def test_query_as_json(database):
    found = json.loads(run("query", 'elements HAS "O"', "--limit", 1, "--json", "-d", database))
    assert found["total"] == 2
    (one,) = found["materials"]
    assert (one["id"], one["formula"], one["spacegroup"]) == ("make/0", "Li2O", 225)


def test_query_for_nothing_lists_all(database):
    assert "3 of 3 materials" in run("query", "-d", database)
    assert "0 of 0 materials" in run("query", "e_above_hull > 9", "-d", database)


def test_a_mistyped_name_brings_the_nearest(database):
    with pytest.raises(ExpressionError, match="did you mean `e_above_hull`"):
        run("query", "e_above_hul < 0.1", "-d", database)
    with pytest.raises(ExpressionError, match="did you mean `spacegroup`"):
        run("query", "--order-by", "spacegrup", "-d", database)


def test_show_tells_all_of_one(database):
    text = run("show", "make/2", "-d", database)
    for part in ("ClNa", "too high", "dropped", "label", "make.it 1.0", "seed 7"):
        assert part in text
    (one,) = json.loads(run("show", "make/0", "--json", "-d", database))
    assert one["species"] == ["Li", "Li", "O"]
    assert len(one["frac_coords"]) == 3
    assert one["provenance"][0]["calculator"] == "make.it"
    with pytest.raises(UserError, match="no material make/9"):
        run("show", "make/9", "-d", database)


def stored(item, folder):
    """The URL of a database with one material."""
    url = f"sqlite:///{folder}/one.db"
    sink = DatabaseSink(url, "test", {"make": []}, "run")
    sink.write([item], 1)
    sink.close()
    return url


def test_unpack_writes_all_that_is_kept(make, arrived, tmp_path):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        text = b"LOOP+"
        told = tarfile.TarInfo("../OUTCAR")
        told.size = len(text)
        tar.addfile(told, io.BytesIO(text))
    step = {
        "incar": "ENCUT = 500",
        "forces": np.ones((2, 3)),
        "files": zstandard.compress(packed.getvalue()),
    }
    array = io.BytesIO()
    np.savez(array, energies_ev=np.arange(3.0))
    data = {"vasp.relax": step, "dos_npz": array.getvalue(), "stress_gpa": np.eye(3), "tags": [1]}
    one = make("make/0").with_(data=data)
    url = stored(arrived("make", one), tmp_path)

    folder = tmp_path / "all"
    written = run("unpack", "make/0", str(folder), "-d", url).split()
    assert str(folder / "structure.cif") in written
    assert (folder / "vasp.relax" / "files" / "OUTCAR").read_bytes() == b"LOOP+"
    assert json.loads((folder / "vasp.relax.json").read_text())["incar"] == "ENCUT = 500"
    assert json.loads((folder / "properties.json").read_text())["id"] == "make/0"
    assert np.load(folder / "dos.npz")["energies_ev"][2] == 2.0
    assert np.array_equal(np.load(folder / "stress_gpa.npy"), np.eye(3))


def test_show_tells_what_was_corrected(make, arrived, tmp_path):
    change = {"fault": "zbrent", "changes": {"EDIFF": [1e-6, 1e-7], "NELMIN": [None, 8]}}
    one = make("make/0")
    step = replace(one.provenance[-1], note={"corrections": [change]})
    url = stored(arrived("make", replace(one, provenance=(step,))), tmp_path)
    text = run("show", "make/0", "-d", url)
    assert "corrected zbrent: EDIFF 1e-06 -> 1e-07, NELMIN unset -> 8" in text


def test_stats_tells_the_funnel(database):
    text = run("stats", "-d", database)
    assert "test: 3 materials" in text
    assert "2 kept" in text
    assert "too high" in text
    (found,) = json.loads(run("stats", "--json", "-d", database))
    assert found["jobs"][1] == {"job": "hull", "came_out": 2, "dropped": 1, "quarantined": 0}
    assert found["ranges"]["e_above_hull"]["least"] == -0.02


@pytest.mark.parametrize("form", ["cif", "extxyz", "json", "csv"])
def test_export_writes_a_file_or_prints(database, tmp_path, form):
    target = tmp_path / "out" / f"a.{form}"
    arguments = ("export", 'status = "kept"', "--format", form, "-d", database)
    said = json.loads(run(*arguments, "-o", target, "--json"))
    assert said == {"written": 2, "to": str(target)}
    assert target.read_text() == run(*arguments)
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_export_cif_into_a_folder(database, tmp_path):
    run("export", "--format", "cif", "-o", tmp_path / "cifs", "-d", database)
    names = sorted(path.name for path in (tmp_path / "cifs").iterdir())
    assert names == ["make_0.cif", "make_1.cif", "make_2.cif"]


def test_the_campaign_tells_where_its_database_lies(database, tmp_path, monkeypatch):
    science = tmp_path / "science"
    science.mkdir()
    (tmp_path / "results.db").rename(science / "results.db")
    text = '[campaign]\nname = "test"\ndatabase = "sqlite:///results.db"\n'
    (science / "campaign.toml").write_text(text)
    assert "3 of 3" in run("query", "--campaign", science / "campaign.toml")
    folder = CampaignFolder(tmp_path / "campaigns" / "test")
    folder.prepare()
    folder.keep_campaign_file(text)
    folder.keep_origin(science)
    monkeypatch.chdir(tmp_path)
    assert "3 of 3" in run("query", "--campaign", "test")
    assert "3 of 3" in run("query")
    folder.keep_campaign_file('[campaign]\nname = "test"\n')
    with pytest.raises(UserError, match="names no database"):
        run("query")


def test_help_loads_no_database_driver():
    code = "import sys, stargen_database.commands; sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
