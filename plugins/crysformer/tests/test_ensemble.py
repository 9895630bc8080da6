import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from stargen_crysformer.composition import Composition
from stargen_crysformer.ensemble import Ensemble, Voices, hear
from stargen_crysformer.evaluation import assess, tables
from stargen_crysformer.modelcard import write_card
from stargen_training.weights import WeightsError

from stargen import Crystal
from stargen.errors import UserError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def ensemble(trained):
    return Ensemble.load(trained)


def test_predictions_lie_inside_their_intervals(ensemble, crystals):
    graphs = ensemble.graphs(crystals(30, elements=(3, 8, 11, 14, 26)))
    found = ensemble.predict(graphs, 0.9)
    assert found.values.shape == found.std.shape == (30, 2)
    assert (found.low <= found.values).all()
    assert (found.values <= found.high).all()
    assert (found.std > 0).all()
    assert (found.values[:, 1] >= 0).all()
    assert (found.low[:, 1] >= 0).all()
    wider = ensemble.predict(graphs, 0.95)
    assert (wider.high >= found.high).all()


def test_any_split_into_batches_gives_the_same(ensemble, crystals):
    some = crystals(40, seed=8)
    whole = ensemble.predict(ensemble.graphs(some), 0.9)
    for size in (1, 7):
        parts = [
            ensemble.predict(ensemble.graphs(some[at : at + size]), 0.9)
            for at in range(0, 40, size)
        ]
        for name in ("values", "std", "low", "high"):
            together = np.concatenate([getattr(part, name) for part in parts])
            assert together == pytest.approx(getattr(whole, name), abs=1e-4, rel=1e-4)


def test_doubts_name_their_reason(ensemble):
    strange = Crystal.of(np.eye(3) * 4, [[0, 0, 0], [0.5, 0.5, 0.5]], [92, 8])
    assert ensemble.doubts(strange, 3.4, usual=True) == ["never learnt U"]
    known = Crystal.of(np.eye(3) * 4, [[0, 0, 0]], [8])
    assert ensemble.doubts(known, 0.5, usual=False) == [
        "atoms 0.50 Å apart",
        "unlike the training data",
    ]
    assert ensemble.doubts(known, 2.0, usual=True) == []


def test_crystals_unlike_the_learnt_are_told(ensemble, data):
    usual = ensemble.predict(ensemble.graphs(data.crystals), 0.9).usual
    assert usual.mean() > 0.9
    squeezed = [Crystal.of(c.lattice * 0.5, c.frac_coords, c.numbers) for c in data.crystals]
    assert ensemble.predict(ensemble.graphs(squeezed), 0.9).usual.mean() < 0.2


def test_a_folder_that_is_no_ensemble_is_refused(a_copy, tmp_path):
    with pytest.raises(WeightsError, match="holds no member"):
        Ensemble.load(tmp_path)
    calibration = a_copy / "calibration.json"
    told = json.loads(calibration.read_text())
    calibration.write_text(json.dumps(told | {"members": ["0" * 16]}))
    with pytest.raises(WeightsError, match="is of other members"):
        Ensemble.load(a_copy)
    calibration.write_text(json.dumps(told | {"format": 99}))
    with pytest.raises(WeightsError, match="has form 99"):
        Ensemble.load(a_copy)
    calibration.write_text("{")
    with pytest.raises(WeightsError, match=r"calibration\.json: cannot be read"):
        Ensemble.load(a_copy)
    calibration.unlink()
    with pytest.raises(WeightsError, match="is missing: the ensemble was not calibrated"):
        Ensemble.load(a_copy)


def test_other_members_have_another_scheme(ensemble, a_copy):
    assert ensemble.energy_scheme.startswith("crysformer-")
    assert ensemble.energy_scheme.endswith("/mp2020")
    (a_copy / "member-1.npz").unlink()
    calibration = a_copy / "calibration.json"
    told = json.loads(calibration.read_text())
    calibration.write_text(json.dumps(told | {"members": told["members"][::2]}))
    assert Ensemble.load(a_copy).energy_scheme != ensemble.energy_scheme


# --- what composition counts ----------------------------------------------------------------------


def test_one_member_sees_composition_alone(ensemble, data):
    networks = [member.network for member in ensemble.members]
    assert [isinstance(each, Composition) for each in networks] == [False, False, True]
    crystals = data.crystals[:20]
    stretched = [Crystal.of(c.lattice * 1.3, c.frac_coords * 0.9, c.numbers) for c in crystals]
    told, again = (hear(ensemble.members, ensemble.graphs(c), CPU) for c in (crystals, stretched))
    assert told.values[2] == pytest.approx(again.values[2], abs=1e-6)
    assert np.abs(told.values[:2] - again.values[:2]).max() > 1e-3


def test_composition_counts_as_much_as_makes_errors_least():
    rng = np.random.default_rng(5)
    truth = 1 + rng.random((400, 2))
    good, bad = 0.1 * rng.normal(size=(2, 400, 2)), 0.4 * rng.normal(size=(2, 400, 2))
    seeing = truth + np.stack([good[0, :, 0], bad[0, :, 1]], axis=1)
    blind = truth + np.stack([bad[1, :, 0], good[1, :, 1]], axis=1)
    values, targets = np.array([seeing, seeing, blind]), ("energy", "gap")
    one = Voices(values, values, np.zeros(400), np.array([False, False, True]), targets)
    labels = np.where(rng.random((400, 2)) < 0.5, truth, np.nan)
    energy, gap = parts = one.best_parts(labels)
    assert 0 <= energy < 0.2
    assert 0.8 < gap <= 1
    mean = (1 - parts) * seeing + parts * blind
    assert one.weighed(parts).values == pytest.approx(np.maximum(mean, [-np.inf, 0]))
    alone = replace(one, values=values[:2], blind=np.array([False, False]))
    assert alone.best_parts(labels).tolist() == [0, 0]
    assert alone.weighed(np.zeros(2)).values == pytest.approx(seeing)


# --- evaluation -------------------------------------------------------------------------------


def test_an_assessment_counts_what_it_says(ensemble, data):
    found = assess(ensemble, data, "test")
    assert found.n == len(data.of_split("test"))
    energy, gap = found.targets
    error = np.abs(found.values[:, 0] - found.labels[:, 0])
    assert energy.ensemble["mae"] == pytest.approx(error.mean())
    assert energy.ensemble["n"] == found.n
    assert gap.ensemble["n"] == np.isfinite(found.labels[:, 1]).sum() < found.n
    half = np.argsort(found.scales[:, 0])[: found.n // 2]
    assert energy.kept_half == pytest.approx(error[half].mean())
    assert energy.kept_gain == pytest.approx(1 - error[half].mean() / error.mean())
    times = ensemble.calibration[0].times(0.9)
    assert dict(energy.coverage)[0.9] == pytest.approx((error <= times * found.scales[:, 0]).mean())
    json.dumps(found.plain())
    with pytest.raises(UserError, match="there is no split best"):
        assess(ensemble, data, "best")


def test_the_card_says_what_was_measured(ensemble, data, tmp_path):
    found = assess(ensemble, data, "test")
    path = tmp_path / "cards" / "card.md"
    write_card(path, ensemble, found)
    card = path.read_text()
    assert f"| ensemble on test | {found.n} | {found.targets[0].ensemble['mae']:.4f}" in card
    assert "2 networks of" in card
    assert "## Limits" in card
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    for target in ensemble.targets:
        assert f"card-{target}.svg" in card
        assert (tmp_path / "cards" / f"card-{target}.svg").stat().st_size > 1000
    titles = [title for title, _, _ in tables(found)]
    assert titles[0] == "formation_energy_per_atom"
