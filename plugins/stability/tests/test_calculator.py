import csv
import gzip
import io
import math

import numpy as np
import pytest
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition
from stargen_stability import elemental, reference
from stargen_stability.info import hull, predicted
from stargen_stability.phases import fractions_in

from stargen.calculators.conformance import check
from stargen.calculators.contract import Arrived
from stargen.crystal import encode_entry
from stargen.errors import UserTaskError

ELEMENTS = elemental.shipped("mp-2023-02-07")
SCHEME = "chgnet-0.3.0/mp2020"


def total(formula, formation_energy):
    """Properties of a candidate with that formation energy, eV/atom."""
    amounts = {str(element): n for element, n in Composition(formula).items()}
    atoms = sum(amounts.values())
    elements = sum(n * ELEMENTS.energies[symbol] for symbol, n in amounts.items()) / atoms
    return {"energy_per_atom": elements + formation_energy, "energy_scheme": SCHEME}


@pytest.fixture
def lithia(tmp_path):
    (tmp_path / "ref.csv").write_text("formula,formation_energy_per_atom\nLi2O,-2.0\nLi2O2,-1.7\n")


@pytest.mark.usefixtures("lithia")
def test_heights_above_the_reference_and_above_the_own_phases(place):
    made = [
        ("Li2O", total("Li2O", -1.9)),  # above
        ("LiO2", total("LiO2", -1.5)),  # below: 2/3 of Li2O2 and O are at -1.1333
        ("LiO3", total("LiO3", -0.8)),  # own LiO2 decides
    ]
    one, two, three = place(made, reference="ref.csv")
    assert one.properties["formation_energy_per_atom"] == pytest.approx(-1.9)
    assert one.properties["e_above_hull"] == pytest.approx(0.1)
    assert two.properties["e_above_hull"] == pytest.approx(-1.5 + 1.7 * 2 / 3)
    assert two.properties["e_above_hull_self"] == pytest.approx(0.0)
    assert three.properties["e_above_hull"] == pytest.approx(-0.8 + 1.7 / 2)
    assert three.properties["e_above_hull_self"] == pytest.approx(-0.8 + 1.5 * 3 / 4)
    assert one.properties["hull_note"] is None
    assert one.properties["hull_reference"].startswith("ref.csv@")
    assert "elements mp-2023-02-07" in one.properties["hull_reference"]
    assert one.properties["energy_scheme"] == SCHEME


def test_own_heights_equal_pymatgens_over_many_candidates(place):
    rng = np.random.default_rng(3)
    made, entries = [], [PDEntry(Composition(symbol), 0.0) for symbol in ("Li", "Fe", "P", "O")]
    for _ in range(60):
        amounts = dict(zip(("Li", "Fe", "P", "O"), rng.integers(0, 5, 4).tolist(), strict=True))
        composition = Composition({symbol: n for symbol, n in amounts.items() if n})
        if len(composition) < 2:
            continue
        energy = rng.uniform(-3, 0.3)
        made.append((composition.formula.replace(" ", ""), total(composition, energy)))
        entries.append(PDEntry(composition, energy * composition.num_atoms))
    diagram = PhaseDiagram(entries)
    for candidate, entry in zip(place(made), entries[4:], strict=True):
        expected = diagram.get_e_above_hull(entry)
        assert candidate.properties["e_above_hull_self"] == pytest.approx(expected, abs=1e-8)


def test_without_a_reference_the_campaign_itself_is_one_and_says_so(place):
    one, two = place([("Li2O", total("Li2O", -2.0)), ("Li2O", total("Li2O", -1.5))])
    assert one.properties["e_above_hull"] == 0
    assert two.properties["e_above_hull"] == pytest.approx(0.5)
    assert two.properties["e_above_hull_self"] == pytest.approx(0.5)
    assert one.properties["hull_reference"] == "elements mp-2023-02-07 + own candidates"


def test_what_cannot_be_placed_has_none_and_a_reason(place):
    made = [
        ("Li2O", {"energy_scheme": SCHEME}),
        ("Li2O", {"energy_per_atom": math.nan, "energy_scheme": SCHEME}),
        ("PoO2", {"energy_per_atom": -3.0, "energy_scheme": SCHEME}),
        ("Li2O", total("Li2O", -2.0)),
    ]
    silent, nan, polonium, fine = place(made)
    for candidate, note in ((silent, "no energy_per_atom"), (nan, "no energy_per_atom")):
        assert candidate.properties["e_above_hull"] is None
        assert candidate.properties["formation_energy_per_atom"] is None
        assert candidate.properties["hull_note"] == note
    assert polonium.properties["e_above_hull_self"] is None
    assert "no energy of Po" in polonium.properties["hull_note"]
    assert fine.properties["e_above_hull"] == 0


def test_order_and_identity_are_kept(place):
    made = [("FeO", total("FeO", -1.0)), ("Li2O", {}), ("FeO", total("FeO", -1.5))]
    assert [c.candidate_id for c in place(made)] == ["make/0", "make/1", "make/2"]
    assert place([]) == []


def test_mixed_schemes_are_refused_by_name(place):
    pbe = {"energy_per_atom": -5.0, "energy_scheme": "gpaw-pbe/none"}
    with pytest.raises(UserTaskError, match=r"chgnet-0.3.0/mp2020 \(1\), gpaw-pbe/none \(2\)"):
        place([("Li2O", total("Li2O", -2)), ("Li2O", pbe), ("LiO", pbe)])
    with pytest.raises(
        UserTaskError, match=r"gpaw-pbe/none, but elements mp-2023-02-07 has mp2020"
    ):
        place([("Li2O", pbe)])
    with pytest.raises(UserTaskError, match="do not state their energy_scheme"):
        place([("Li2O", {"energy_per_atom": -5.0})])
    assert place([("Li2O", {"energy_per_atom": -5.0})], energy_scheme="vasp/mp2020")


@pytest.mark.usefixtures("lithia")
def test_a_reference_of_another_scale_is_refused(place):
    with pytest.raises(UserTaskError, match=r"chgnet-0.3.0/mp2020, but ref.csv@\w+ has none"):
        place([("Li2O", total("Li2O", -2))], reference="ref.csv", reference_scheme="none")


def test_predicted_formation_energies_need_no_elements(place):
    made = [("Li2O", {"formation_energy_pred": -1.9})]
    (candidate,) = place(
        made, energy="formation_energy_pred", energy_is="formation", energy_scheme="net/mp2020"
    )
    assert candidate.properties["formation_energy_per_atom"] == pytest.approx(-1.9)
    assert candidate.properties["energy_scheme"] == "net/mp2020"


def test_a_database_competes_in_the_own_hull(place, tmp_path):
    sink = pytest.importorskip("stargen_database.sink", reason="needs stargen-database")
    (known,) = place([("Li2O", total("Li2O", -2.0))])
    store = sink.DatabaseSink(f"sqlite:///{tmp_path}/old.db", "earlier", {"hull": []}, "run")
    store.write([Arrived("hull", encode_entry(known))], 1)
    store.close()
    made = [("Li2O", total("Li2O", -1.9))]
    (tmp_path / "ref.csv").write_text("formula,formation_energy_per_atom\nLi2O,-1.8\n")
    (candidate,) = place(made, reference="ref.csv", database="sqlite:///old.db")
    assert candidate.properties["e_above_hull"] == pytest.approx(-0.1)
    assert candidate.properties["e_above_hull_self"] == pytest.approx(0.1)
    (candidate,) = place(made, database="sqlite:///old.db")
    assert candidate.properties["hull_reference"].endswith("+ database old.db (1 phases)")
    with pytest.raises(UserTaskError, match="no such file"):
        place(made, database="sqlite:///none.db")


def test_it_keeps_the_contract():
    assert check(hull) == []


def test_heights_of_the_materials_project_are_met(shared_data):
    """Recomputed from the shared reference table, against the labels of MP-20."""
    found = reference.from_file(
        shared_data / "hull" / "mp_hull_reference.csv.gz", "mp2020", ELEMENTS
    )
    errors = []
    with io.TextIOWrapper(gzip.open(shared_data / "mp20_subset.csv.gz")) as file:
        for row in list(csv.DictReader(file))[::160]:
            amounts = {str(e): n for e, n in Composition(row["reduced_formula"]).items()}
            system = tuple(sorted(amounts))
            at = fractions_in(system, amounts)[None]
            height = (
                float(row["formation_energy_per_atom"]) - found.phases.hull(system).energy(at)[0]
            )
            errors.append(abs(height - float(row["e_above_hull"])))
    assert len(errors) > 90
    assert np.mean(errors) < 0.010


# --- predicted energies -----------------------------------------------------------------------

FORESEEN = "crysformer-0a1b2c3d/mp2020"


def foreseen(energy, scheme=FORESEEN):
    return {"formation_energy_pred": energy, "energy_scheme_pred": scheme}


@pytest.mark.usefixtures("lithia")
def test_predictions_are_placed_under_names_of_their_own(place_predicted):
    computed = {"e_above_hull": 0.7, "energy_scheme": SCHEME, "energy_per_atom": -4.0}
    made = [
        ("Li2O", foreseen(-1.9) | computed),
        ("LiO2", foreseen(-1.5)),
        ("LiO3", foreseen(-0.8)),
    ]
    one, two, three = place_predicted(made, reference="ref.csv")
    assert one.properties["e_above_hull_pred"] == pytest.approx(0.1)
    assert two.properties["e_above_hull_pred"] == pytest.approx(-1.5 + 1.7 * 2 / 3)
    assert three.properties["e_above_hull_self_pred"] == pytest.approx(-0.8 + 1.5 * 3 / 4)
    assert one.properties["hull_reference_pred"].startswith("ref.csv@")
    assert {name: one.properties[name] for name in computed} == computed
    assert "e_above_hull" not in two.properties
    assert "energy_scheme" not in two.properties


@pytest.mark.usefixtures("lithia")
def test_how_likely_a_prediction_is_stable(place_predicted):
    """Against draws of the error that is stated; the hull has Li2O at -2.0."""
    rng = np.random.default_rng(0)
    for energy, std in ((-1.9, 0.05), (-1.85, 0.05), (-2.0, 0.1), (-1.5, 0.02)):
        draws = rng.laplace(scale=1.0, size=200_000)
        draws *= std / np.quantile(abs(draws), 0.68)
        found = float((energy + draws <= -2.0 + 0.1).mean())
        made = [("Li2O", foreseen(energy) | {"formation_energy_std": std})]
        (one,) = place_predicted(made, reference="ref.csv")
        assert one.properties["stable_probability_pred"] == pytest.approx(found, abs=0.005)


@pytest.mark.usefixtures("lithia")
def test_what_states_no_error_has_no_probability(place_predicted):
    made = [("Li2O", foreseen(-1.9) | {"formation_energy_std": std}) for std in (None, 0.0)]
    for one in place_predicted([*made, ("Li2O", foreseen(-1.9))], reference="ref.csv"):
        assert one.properties["stable_probability_pred"] is None


def test_computed_energies_do_not_pass_for_predictions(place_predicted):
    (one,) = place_predicted([("Li2O", total("Li2O", -1.9))])
    assert one.properties["e_above_hull_pred"] is None
    assert one.properties["hull_note_pred"] == "no formation_energy_pred"


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("crysformer-99999999/mp2020", "crysformer-99999999/mp2020 \\(1\\)"),
        (None, "do not state their energy_scheme_pred"),
    ],
)
def test_predictions_of_two_networks_share_no_hull(place_predicted, other, message):
    made = [("Li2O", foreseen(-1.9)), ("LiO2", foreseen(-1.5, other))]
    with pytest.raises(UserTaskError, match=message):
        place_predicted(made)


@pytest.mark.usefixtures("lithia")
def test_predictions_of_another_scale_do_not_meet_the_reference(place_predicted):
    with pytest.raises(UserTaskError, match=r"ref\.csv.* has mp2020"):
        place_predicted([("Li2O", foreseen(-1.9, "crysformer-0a1b2c3d/pbe"))], reference="ref.csv")


def test_predicted_keeps_the_contract():
    assert check(predicted) == []
