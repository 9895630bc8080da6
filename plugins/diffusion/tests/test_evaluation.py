import json

import numpy as np
import pytest
from stargen_diffusion import judging
from stargen_diffusion.evaluation import evaluate, prediction_figures
from stargen_diffusion.measures import coverage, density, share, wasserstein

from stargen import Candidate, Crystal
from stargen.calculators.conformance import sample_candidates, sample_crystals
from stargen.errors import UserError

CRYSTALS = sample_crystals()


def test_shares_have_wilsons_interval():
    value, low, high = share(8, 10)
    assert value == 0.8
    assert (low, high) == pytest.approx((0.4902, 0.9433), abs=1e-3)
    assert share(0, 10).low == 0.0
    assert np.isnan(share(0, 0).value)


def test_wasserstein_distance_of_shifted_samples():
    values = np.arange(20.0)
    found = wasserstein(values + 1.5, values)
    assert found.value == pytest.approx(1.5)
    assert found.low <= found.value <= found.high


def test_density_of_known_crystals():
    assert density(CRYSTALS["copper"]) == pytest.approx(8.97, abs=0.05)
    assert density(CRYSTALS["rock salt"]) == pytest.approx(2.16, abs=0.02)


def test_coverage_sees_what_is_missing_and_what_is_foreign():
    truth = [*CRYSTALS.values()] * 2
    assert coverage(truth, truth).recall.value == 1.0
    assert coverage(truth, truth).precision.value == 1.0
    half = [CRYSTALS["copper"]] * 4
    assert coverage(half, truth).recall.value < 0.5
    assert coverage(half, truth).precision.value == 1.0


def test_judges_come_from_the_filters(tmp_path):
    candidates = sample_candidates()  # the last is a copy of the first
    assert len(judging.unique(candidates, tmp_path)) == len(candidates) - 1
    fresh = judging.novel(candidates, [CRYSTALS["rock salt"]], tmp_path)
    assert {c.candidate_id for c in candidates} - fresh == {"sample/2"}
    neutral = judging.balanced(candidates, tmp_path)
    assert "sample/2" in neutral["smact14"]
    squeezed = Crystal.of(np.eye(3) * 0.4, [[0, 0, 0]], [3])
    assert not judging.structurally_valid(squeezed)
    assert judging.structurally_valid(CRYSTALS["perovskite"])
    passed, failed = judging.screened([*candidates, Candidate("x/0", squeezed)], tmp_path)
    assert "x/0" not in passed
    assert sum(failed.values()) == len(candidates) + 1 - len(passed)


def test_matches_tell_like_from_unlike():
    salt = CRYSTALS["rock salt"]
    moved = Crystal.of(salt.lattice * 1.02, salt.frac_coords + 0.31, salt.numbers)
    other = Crystal.of(CRYSTALS["caesium chloride"].lattice, [[0, 0, 0], [0.1, 0, 0]], [11, 17])
    distances = [d for _, d in judging.matches([moved, other], salt)]
    assert distances[0] == pytest.approx(0.0, abs=1e-6)
    assert distances[1] is None


def test_prediction_is_measured_against_the_truth(weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params = {"weights": weights(types="known"), "steps": 3, "samples": 2}
    truth = [CRYSTALS["copper"], CRYSTALS["rock salt"], CRYSTALS["perovskite"]]
    nobody = prediction_figures(truth, params, seed=0)  # a network that has learnt nothing
    assert nobody["match rate, 2 samples"].value <= 1 / 3
    made = {"truth/0": [truth[1], truth[0]], "truth/1": [truth[2]], "truth/2": [truth[2]]}
    monkeypatch.setattr(judging, "predicted", lambda *arguments: made)
    found = prediction_figures(truth, params, seed=0)
    assert found["match rate, 1 sample"].value == pytest.approx(1 / 3)
    assert found["match rate, 2 samples"].value == pytest.approx(2 / 3)
    strict = found["match rate, 2 samples, valid truth and prediction only"]
    assert strict.value == pytest.approx(2 / 3)
    assert found["RMSE of matches, 2 samples"].value == pytest.approx(0.0, abs=1e-6)


def test_an_evaluation_from_the_command_line(weights, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.csv").write_text(
        "cif,split\n"
        + "".join(
            '"{}",{}\n'.format(crystal.to_pymatgen().to(fmt="cif"), split)
            for crystal in CRYSTALS.values()
            for split in ("train", "test")
        )
    )
    name = weights()
    (tmp_path / "metrics.csv").write_text("step,elapsed_s,name,value\n2,60.0,val/loss,1.25\n")
    command = f"{name} --data data.csv --samples 48 --steps 4"
    evaluate(f"{command} --balanced --out bound.json".split(), standalone_mode=False)
    command += " --out f.json --card card.md --curve metrics.csv --beside bound.json"
    evaluate(command.split(), standalone_mode=False)
    figures = json.loads((tmp_path / "f.json").read_text())["figures"]
    bound = json.loads((tmp_path / "bound.json").read_text())["figures"]
    neutral = "neutral, filter's default"
    assert figures[neutral][0] < bound[neutral][0] == 1.0
    assert figures["structurally valid"][0] >= figures["valid (structure and smact14)"][0]
    card = (tmp_path / "card.md").read_text()
    assert "toy.npz" in card
    assert "structurally valid" in card
    assert "| 2 | 1 | 1.25 |" in card
    assert "balanced True" in card
    row = next(line for line in card.splitlines() if line.startswith(f"| {neutral}"))
    assert row.count(" to ") == 2
    assert "{" not in card
    with pytest.raises(UserError, match="hull"):
        evaluate([name, "--data", "data.csv", "--stability", "5"], standalone_mode=False)
