import numpy as np
import pytest
from stargen_crysformer.ensemble import Ensemble
from stargen_crysformer.evaluation import assess
from stargen_crysformer.info import SHIPPED, PredictParams, folder_of, predict
from stargen_crysformer.sets import Labelled, read

from stargen.calculators.conformance import check, sample_crystals

FOLDER = SHIPPED / PredictParams().weights


@pytest.fixture(scope="module")
def ensemble():
    return Ensemble.load(FOLDER)


def test_the_default_weights_come_with_the_package(tmp_path):
    assert folder_of(PredictParams().weights, tmp_path) == FOLDER
    assert list(predict.check(PredictParams(), tmp_path)) == []
    assert check(predict, tolerance=1e-4) == []
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 20 * 2**20
    assert (FOLDER / "card.md").is_file()


def test_known_compounds(ensemble):
    """Labels of the Materials Project: formation energy in eV/atom, PBE gap in eV."""
    known = {"rock salt": (-2.11, 5.0), "silicon": (0.0, 0.6), "copper": (0.0, 0.0)}
    crystals = sample_crystals()
    found = ensemble.predict(ensemble.graphs([crystals[name] for name in known]), 0.9)
    labels = np.array([*known.values()])
    assert np.abs(found.values[:, 0] - labels[:, 0]).max() < 0.25
    assert np.abs(found.values[:, 1] - labels[:, 1]).max() < 0.7
    assert ensemble.energy_scheme.endswith("/mp2020")


def test_what_the_card_promises(ensemble, shared_data):
    """On every seventh crystal of the test split, with room for chance."""
    data = read([shared_data / "crystals_le20.npz"], ensemble.targets)
    rows = data.of_split("test")[::7]
    some = Labelled(
        [data.names[i] for i in rows],
        [data.crystals[i] for i in rows],
        data.labels[rows],
        data.splits[rows],
    )
    found = assess(ensemble, some, "test")
    energy, gap = found.targets
    assert energy.ensemble["mae"] < 0.05
    assert gap.ensemble["mae"] < 0.25
    for each in found.targets:
        assert dict(each.coverage)[0.9] == pytest.approx(0.9, abs=0.05)
        assert each.kept_gain > 0.2
