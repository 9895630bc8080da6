import warnings
from collections import Counter

import numpy as np
import pytest
from stargen_structures.info import substitute
from stargen_structures.prototypes import load_prototypes, select_prototypes
from stargen_structures.species import load_species
from stargen_structures.substitutions import ionic_prototypes, substitutions
from stargen_structures.volumes import Radii

from stargen.errors import UserTaskError
from stargen.model import Chemistry


@pytest.fixture(scope="module")
def table():
    return load_species()


@pytest.fixture(scope="module")
def origins(table):
    return list(ionic_prototypes(load_prototypes(), table))


def ions(candidate):
    """old ion -> new ion, as written in the property"""
    return dict(pair.split(">") for pair in candidate.properties["substitution"].split())


def test_prototypes_are_those_of_pymatgen():
    from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY

    mine = load_prototypes()
    assert len(mine) == len(AFLOW_PROTOTYPE_LIBRARY) > 250
    for prototype, entry in list(zip(mine, AFLOW_PROTOTYPE_LIBRARY, strict=True))[::7]:
        structure = entry["snl"].structure
        assert prototype.label == entry["tags"]["aflow"]
        assert prototype.crystal.to_pymatgen() == structure


def test_probabilities_are_those_of_pymatgen(table):
    from pymatgen.core import Species
    from pymatgen.core.structure_prediction.substitution_probability import SubstitutionProbability

    model = SubstitutionProbability()
    assert {str(s) for s in model.species} == {str(Species.from_str(n)) for n in table.names}
    rng = np.random.default_rng(1)
    for i, j in rng.integers(len(table.names), size=(200, 2)):
        expected = model.cond_prob(table.names[i], table.names[j])
        assert table.conditional[i, j] == pytest.approx(expected, rel=1e-9)


def test_volumes_are_those_of_pymatgen(table, origins):
    from pymatgen.core import Species
    from pymatgen.core.structure_prediction.volume_predictor import RLSVolumePredictor

    predictor = RLSVolumePredictor(check_isostructural=False)
    compared = 0
    for origin in origins[::10]:
        found = substitutions(origin, table, Radii(table), Chemistry(), 1e-3)
        for substitution in found[::20]:
            crystal = origin.prototype.crystal
            old, new = crystal.to_pymatgen(), crystal.to_pymatgen()
            for structure, species in ((old, origin.species), (new, substitution.species)):
                names = [table.names[s] for s in species]
                for site, kind in enumerate(origin.prototype.kinds):
                    structure.replace(site, Species.from_str(names[kind]))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected = predictor.predict(new, old)
            ratio = substitution.length_ratio
            assert ratio**3 * crystal.volume == pytest.approx(expected)
            compared += 1
    assert compared > 10


def test_finds_all_that_pymatgen_finds(table, origins):
    """Against SubstitutionProbability by brute force on a prototype of two elements."""
    origin = next(o for o in origins if "halite" in o.prototype.names or "b1" in o.prototype.names)
    threshold = 1e-3
    found = substitutions(origin, table, Radii(table), Chemistry(), threshold)
    mine = {tuple(table.names[s] for s in f.species): f.probability for f in found}
    a, b = origin.species
    expected = {
        (one, other): table.conditional[i, a] * table.conditional[j, b]
        for i, one in enumerate(table.names)
        for j, other in enumerate(table.names)
        if table.conditional[i, a] * table.conditional[j, b] >= threshold
        and table.symbols[i] != table.symbols[j]
        and table.charges[i] + table.charges[j] == 0
        and (i, j) != (a, b)
    }
    assert mine == pytest.approx(expected)
    assert len(mine) > 10


def test_makes_neutral_crystals_of_the_prototype(make, table):
    born, _, _ = make(substitute, range(300), count=300)
    charges = dict(zip(table.names, table.charges.tolist(), strict=True))
    by_label = {}
    for prototype in load_prototypes():
        by_label.setdefault(prototype.label, []).append(prototype)
    for candidate in born:
        counts = Counter(candidate.crystal.symbols)
        new = ions(candidate).values()
        assert sum(charges[ion] * counts[ion.rstrip("0123456789+-")] for ion in new) == 0
        assert len(counts) == len(new)
        assert any(
            np.allclose(p.crystal.frac_coords, candidate.crystal.frac_coords)
            for p in by_label[candidate.properties["prototype"]]
            if p.crystal.n_atoms == candidate.crystal.n_atoms
        )
        assert candidate.crystal.n_atoms <= 40
        assert candidate.properties["substitution_probability"] >= 1e-4


def test_an_ordinal_depends_on_the_seed_and_on_nothing_else(opened, make):
    together, _, _ = make(substitute, range(40), count=1000)
    apart = [make(substitute, range(n, n + 1), count=50)[0][0] for n in (0, 17, 39)]
    assert [c.crystal for c in apart] == [together[n].crystal for n in (0, 17, 39)]
    assert [c.candidate_id for c in apart] == ["job/0", "job/17", "job/39"]
    calculator, context = opened(substitute, seed=2, count=40)
    context.begin(range(40))
    assert [c.crystal for c in calculator.run((), context)] != [c.crystal for c in together]


def test_makes_nothing_twice_and_the_likely_first(make):
    born, _, _ = make(substitute, range(3000), count=3000)
    made = {(c.properties["prototype"], c.properties["substitution"], c.crystal) for c in born}
    assert len(made) == 3000
    chances = [c.properties["substitution_probability"] for c in born]
    assert np.mean(chances[:500]) > 2 * np.mean(chances[-500:])
    assert len({c.properties["prototype"] for c in born[:200]}) > 40


@pytest.mark.parametrize(
    "chemistry",
    [
        Chemistry(require=("Li", "O")),
        Chemistry(allow=("Na", "K", "Cl", "Br", "Mg", "O")),
        Chemistry(exclude=("O", "S"), max_elements=2),
        Chemistry(require=("Li",), allow=("O", "P", "Fe"), max_elements=3),
    ],
)
def test_obeys_the_chemistry(make, chemistry):
    born, _, _ = make(substitute, range(200), chemistry, count=200, threshold=1e-6)
    assert born
    for candidate in born:
        elements = set(candidate.crystal.symbols)
        assert elements >= set(chemistry.require)
        assert all(chemistry.admits(e) for e in elements)
        assert len(elements) <= (chemistry.max_elements or 10)


def test_says_when_there_are_no_more(make):
    few = Chemistry(allow=("Na", "K", "Cl", "Br"))
    born, drops, _ = make(substitute, range(200), few, count=200, prototypes=("B1", "b2"))
    assert 0 < len(born) < 20
    assert {d.reason for d in drops} == {"no substitution left"}
    assert len(born) + len(drops) == 200
    assert {c.properties["prototype"][:6] for c in born} <= {"AB_cF8", "AB_cP2"}


def test_a_chemistry_without_ions_stops_the_job(make):
    with pytest.raises(UserTaskError, match="no prototype admits"):
        make(substitute, range(1), Chemistry(allow=("He", "Ne")), count=1)


def test_says_before_the_start_what_cannot_be(tmp_path):
    def problems(**params):
        return list(substitute.check(substitute.params(count=1, **params), tmp_path))

    assert not problems()
    assert not problems(prototypes=("Zincblende", "b3", "AB_cF8_225_a_b"))
    assert "did you mean 'corundum'" in problems(prototypes=("Corundom",))[0]
    assert "balances" in problems(prototypes=("Copper",))[0]
    assert "at most 1 atoms" in problems(prototypes=("corundum",), max_atoms=1)[0]
    assert substitute.total(substitute.params(count=7)) == 7


def test_selects_by_any_name():
    everything = load_prototypes()
    assert {p.label for p in select_prototypes(everything, ["SPHALERITE"], 40)} == {
        p.label for p in select_prototypes(everything, ["B3"], 40)
    }
    assert max(p.crystal.n_atoms for p in select_prototypes(everything, [], 12)) == 12
