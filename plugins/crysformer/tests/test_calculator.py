import numpy as np
import pytest
from stargen_crysformer.info import PredictParams, predict

from stargen import Candidate, Crystal
from stargen.calculators.conformance import LocalContext, check, run, sample_candidates
from stargen.errors import UserTaskError


def predicted(crystals, folder, weights="ensemble", **params):
    context = LocalContext(
        PredictParams(weights=weights, **params), use=predict.name, input_folder=folder
    )
    candidates = [Candidate(f"made/{i}", crystal) for i, crystal in enumerate(crystals)]
    return run(predict, candidates, context=context)


def test_it_keeps_the_contract(trained):
    params = PredictParams(weights=trained.name)
    flaws = check(predict, params=params, folder=trained.parent, tolerance=1e-4)
    assert flaws == []


def test_what_it_adds(trained, crystals):
    found = predicted(crystals(5, elements=(3, 8)), trained.parent)
    for candidate in found.candidates:
        told = candidate.properties
        for target in ("formation_energy", "band_gap"):
            assert told[f"{target}_low"] <= told[f"{target}_pred"] <= told[f"{target}_high"]
            assert told[f"{target}_std"] > 0
        assert told["energy_scheme_pred"].endswith("/mp2020")
        assert told["prediction_doubtful"] == (told["prediction_doubts"] is not None)
        assert set(told) <= set(predict.properties)


def test_what_has_no_graph_is_dropped_and_the_rest_predicted(trained, crystals):
    double = Crystal.of(np.eye(3) * 4, [[0, 0, 0], [1.0, 0, 0]], [8, 8])
    flat = Crystal.of([[3, 0, 0], [0, 3, 0], [3, 3, 0]], [[0, 0, 0]], [8])
    good = crystals(2, elements=(3, 8))
    found = predicted([double, good[0], flat, good[1]], trained.parent)
    assert [c.candidate_id for c in found.candidates] == ["made/1", "made/3"]
    assert {drop.reason for drop in found.drops} == {"not predictable"}
    alone = predicted([good[1]], trained.parent).candidates[0]
    assert alone.properties["formation_energy_pred"] == pytest.approx(
        found.candidates[1].properties["formation_energy_pred"], abs=1e-5
    )
    none = predicted([double, flat], trained.parent)
    assert len(none.drops) == 2


def test_what_it_never_learnt_it_doubts(trained):
    strange = Crystal.of(np.eye(3) * 4, [[0, 0, 0], [0.5, 0.5, 0.5]], [92, 8])
    (found,) = predicted([strange], trained.parent).candidates
    assert found.properties["prediction_doubtful"] is True
    assert "never learnt U" in found.properties["prediction_doubts"]
    assert np.isfinite(found.properties["formation_energy_pred"])


def test_weights_that_are_not_there_are_refused_with_the_way_to_get_them(tmp_path, crystals):
    (problem,) = predict.check(PredictParams(weights="nothing"), tmp_path)
    assert "'nothing' is neither a folder nor a name" in problem
    assert "stargen train crysformer" in problem
    with pytest.raises(UserTaskError, match="stargen train crysformer"):
        predicted(crystals(1), tmp_path, weights="nothing")


def test_damaged_weights_are_named(a_copy, crystals):
    (a_copy / "member-0.npz").write_bytes(b"nothing")
    with pytest.raises(UserTaskError, match=r"member-0\.npz"):
        predicted(crystals(1), a_copy.parent, weights="copy")


def test_one_worker_loads_them_once():
    """Tasks with the same weights look for a worker that has them; results depend on the file."""
    params = PredictParams(weights="mine")
    assert predict.affinity(params) == "crysformer-mine"
    assert list(predict.reads(params)) == ["mine/calibration.json"]


def test_progress_is_told(trained):
    context = LocalContext(
        PredictParams(weights="ensemble"), use=predict.name, input_folder=trained.parent
    )
    run(predict, sample_candidates(), context=context)
    assert context.told[-1] == (7, 7)
