import pytest
from stargen_structures.info import read, write

from stargen.calculators import conformance
from stargen.crystal import Candidate, Crystal

PEROVSKITE = Crystal.of(
    [[3.9, 0, 0], [0.1, 3.8, 0], [0, 0.2, 4.0]],
    [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.01], [0.5, 0.02, 0.5], [0, 0.5, 0.5]],
    [20, 22, 8, 8, 8],
)


@pytest.fixture
def put(context):
    def put(candidates, **params):
        return conformance.run(write, candidates, context=context(write, **params)).candidates

    return put


@pytest.mark.parametrize(
    ("form", "suffix"), [("cif", "cif"), ("poscar", "vasp"), ("extxyz", "extxyz"), ("json", "json")]
)
def test_what_is_written_can_be_read(put, make, tmp_path, form, suffix):
    candidate = Candidate("relax/7", PEROVSKITE, {"band_gap": 1.5, "hull": None, "kind": "oxide"})
    passed_on = put([candidate], folder="out", format=form)
    assert passed_on[0].crystal is candidate.crystal
    assert passed_on[0].properties == candidate.properties
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.*")] == [
        f"out/relax/7.{suffix}"
    ]
    columns = ("band_gap", "kind", "candidate_id") if form in ("extxyz", "json") else ()
    born, drops, _ = make(read, range(1), path="out", columns=columns)
    assert not drops
    assert sorted(born[0].crystal.symbols) == sorted(PEROVSKITE.symbols)
    assert born[0].crystal.to_pymatgen().matches(PEROVSKITE.to_pymatgen())
    assert born[0].crystal.volume == pytest.approx(PEROVSKITE.volume, rel=1e-6)
    if columns:
        assert born[0].properties == {
            "band_gap": 1.5,
            "kind": "oxide",
            "candidate_id": "relax/7",
        }


def test_a_retry_writes_the_same_and_leaves_nothing_beside(put, tmp_path):
    candidates = [Candidate(f"gen/{i}", PEROVSKITE) for i in range(3)]
    put(candidates, folder="out")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*.cif")}
    put(candidates[1:], folder="out")
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert len(before) == 3


def test_children_lie_beside_their_parent(put, tmp_path):
    put([Candidate("gen/3", PEROVSKITE), Candidate("gen/3/split.0", PEROVSKITE)], folder="out")
    assert (tmp_path / "out/gen/3.cif").is_file()
    assert (tmp_path / "out/gen/3/split.0.cif").is_file()


def test_says_before_the_start_that_the_folder_is_a_file(tmp_path):
    (tmp_path / "out").write_text("x")
    assert "is a file" in next(write.check(write.params(folder="out"), tmp_path))
    assert not list(write.check(write.params(folder="new"), tmp_path))
