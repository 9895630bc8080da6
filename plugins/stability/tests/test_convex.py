import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition
from stargen_stability.convex import LowerHull
from stargen_stability.phases import Phases, fractions_in

SYMBOLS = ("Al", "Ba", "Cl", "Fe", "Li", "O", "P", "S")


@st.composite
def systems(draw, min_elements=2, max_elements=6, max_phases=25):
    """Elements, and phases as (amounts, formation energy), some of them sharing planes exactly."""
    elements = SYMBOLS[: draw(st.integers(min_elements, max_elements))]
    amounts = st.lists(st.integers(0, 4), min_size=len(elements), max_size=len(elements)).filter(
        any
    )
    energies = st.floats(-4, 1) | st.sampled_from([-1.0, -0.5, 0.0])
    phases = draw(st.lists(st.tuples(amounts, energies), min_size=1, max_size=max_phases))
    return elements, [
        ({s: n for s, n in zip(elements, counts, strict=True) if n}, energy)
        for counts, energy in phases
    ]


def compare(elements, known, asked):
    """Our energies above the hull of `known` against pymatgen's, for phases on and off it."""
    entries = [PDEntry(Composition(symbol), 0.0) for symbol in elements]
    ours = Phases()
    for amounts, energy in known:
        composition = Composition(amounts)
        entries.append(PDEntry(composition, energy * composition.num_atoms))
        ours.add(amounts, energy)
    diagram = PhaseDiagram(entries)
    hull = ours.hull(elements)
    for amounts, energy in known + asked:
        theirs = diagram.get_hull_energy_per_atom(Composition(amounts))
        mine = hull.energy(fractions_in(elements, amounts)[None])[0]
        assert mine == pytest.approx(theirs, abs=1e-8), (amounts, energy)


@settings(max_examples=150)
@given(systems(), st.data())
def test_planes_equal_the_phase_diagram_of_pymatgen(system, data):
    elements, phases = system
    cut = data.draw(st.integers(0, len(phases)))
    compare(elements, phases[:cut], phases[cut:])


@settings(max_examples=10)
@given(systems(min_elements=7, max_elements=7, max_phases=8))
def test_linear_programs_equal_the_phase_diagram_of_pymatgen(system):
    elements, phases = system
    compare(elements, phases, [(dict.fromkeys(elements, 1), 0.0)])


@settings(max_examples=60)
@given(systems(max_phases=40), st.integers(0, 2**32 - 1))
def test_linear_programs_equal_planes(system, seed):
    elements, phases = system
    fractions = np.vstack([np.eye(len(elements)), *(fractions_in(elements, a) for a, _ in phases)])
    energies = np.concatenate([np.zeros(len(elements)), [energy for _, energy in phases]])
    asked = np.random.default_rng(seed).dirichlet(np.ones(len(elements)), size=5)
    planes = LowerHull(fractions, energies).energy(asked)
    programs = LowerHull(fractions, energies, planes_up_to=1).energy(asked)
    assert programs == pytest.approx(planes, abs=1e-8)


def test_the_hull_moves_with_the_energies_of_its_elements():
    fractions = np.array([[1, 0], [0, 1], [0.5, 0.5]])
    asked = np.array([[0.25, 0.75]])
    low = LowerHull(fractions, np.array([0.0, 0.0, -1.0])).energy(asked)
    shifted = LowerHull(fractions, np.array([2.0, -3.0, -1.5])).energy(asked)
    assert low[0] == pytest.approx(-0.5)
    assert shifted[0] == pytest.approx(-0.5 + 0.25 * 2 + 0.75 * -3)


def test_one_element_is_its_own_hull():
    hull = LowerHull(np.array([[1.0], [1.0]]), np.array([0.0, -0.2]))
    assert hull.energy(np.array([[1.0]]))[0] == pytest.approx(-0.2)


def test_a_missing_element_is_refused():
    with pytest.raises(ValueError, match="element is missing"):
        LowerHull(np.array([[1.0, 0.0], [0.5, 0.5]]), np.array([0.0, -1.0]))
