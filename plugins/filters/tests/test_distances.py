"""The kernels against pymatgen's neighbour lists and against brute force, in cells of any shape."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stargen_filters.distances import neighbour_distances, shortest_distance

from stargen.crystal import Crystal


@st.composite
def crystals(draw, max_atoms=6):
    """Cells of all shapes: a random one times a unimodular matrix that skews it."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(1, max_atoms))
    lattice = rng.normal(size=(3, 3)) * rng.uniform(1, 4, size=3)
    lattice += np.sign(np.linalg.det(lattice)) * np.eye(3) * 0.5
    for _ in range(draw(st.integers(0, 4))):
        i, j = rng.choice(3, 2, replace=False)
        lattice[i] += rng.integers(-3, 4) * lattice[j]
    numbers = rng.choice([3, 8, 26], size=n)
    return Crystal.of(lattice, rng.uniform(-2, 2, size=(n, 3)), numbers)


def solid(crystal):
    return crystal.volume > 0.5


def brute_force(crystal, reach):
    """All distances from the atoms of the cell, over a box of `reach` cells of the given basis."""
    shifts = np.array(list(itertools.product(range(-reach, reach + 1), repeat=3)))
    frac = crystal.frac_coords - np.floor(crystal.frac_coords)
    gaps = frac[None, :, None] - frac[:, None, None] + shifts
    return np.linalg.norm(gaps @ crystal.lattice, axis=3), shifts


@settings(max_examples=200)
@given(crystals().filter(solid))
def test_shortest_distance_is_that_of_pymatgens_neighbour_list(crystal):
    distance = shortest_distance(crystal)
    structure = crystal.to_pymatgen()
    *_, found = structure.get_neighbor_list(distance + 0.1)
    # pymatgen leaves an atom's own position out but would list another atom on top of it
    assert found.min(initial=np.inf) == pytest.approx(distance, abs=1e-6)


@settings(max_examples=100)
@given(crystals(max_atoms=4).filter(solid), st.integers(1, 6))
def test_neighbours_are_those_of_pymatgens_neighbour_list(crystal, k):
    distances, amounts = neighbour_distances(crystal, k)
    order = np.argsort(crystal.numbers, kind="stable")
    kinds = np.unique(crystal.numbers)
    assert amounts.tolist() == [int((crystal.numbers == z).sum()) for z in kinds]
    centres, others, _, found = crystal.to_pymatgen().get_neighbor_list(distances.max() + 1e-3)
    for row, atom in enumerate(order):
        for e, z in enumerate(kinds):
            mine = np.sort(found[(centres == atom) & (crystal.numbers[others] == z)])[:k]
            assert mine == pytest.approx(distances[row, e], abs=1e-6)


def test_an_atom_sees_its_own_images():
    slab = Crystal.of(np.diag([0.4, 9.0, 9.0]), [[0.2, 0.3, 0.4]], [3])
    assert shortest_distance(slab) == pytest.approx(0.4)
    distances, _ = neighbour_distances(slab, 4)
    assert distances[0, 0] == pytest.approx([0.4, 0.4, 0.8, 0.8])


def test_a_skewed_cell_hides_a_short_vector():
    lattice = np.array([[5.0, 0, 0], [0, 5.0, 0], [10.0, 15.0, 0.3]])
    assert shortest_distance(Crystal.of(lattice, [[0, 0, 0]], [3])) == pytest.approx(0.3)


def test_atoms_on_top_of_each_other_are_at_zero():
    crystal = Crystal.of(np.eye(3) * 4, [[0.1, 0.1, 0.1], [1.1, -0.9, 0.1]], [3, 8])
    assert shortest_distance(crystal) == pytest.approx(0, abs=1e-7)


def test_large_cells_are_done_in_blocks(monkeypatch):
    rng = np.random.default_rng(3)
    crystal = Crystal.of(np.diag([9.0, 10.0, 11.0]), rng.random((40, 3)), rng.choice([3, 8], 40))
    whole = shortest_distance(crystal), neighbour_distances(crystal, 5)[0]
    monkeypatch.setattr("stargen_filters.distances._BLOCK", 700)
    assert shortest_distance(crystal) == pytest.approx(whole[0])
    assert neighbour_distances(crystal, 5)[0] == pytest.approx(whole[1])


def test_brute_force_agrees_far_out():
    rng = np.random.default_rng(4)
    crystal = Crystal.of(rng.normal(size=(3, 3)) * 3 + np.eye(3), rng.random((3, 3)), [3, 8, 26])
    distances, shifts = brute_force(crystal, 12)
    distances[np.arange(3), np.arange(3), (shifts == 0).all(axis=1)] = np.inf
    expected = np.sort(distances, axis=2)[:, :, :10]
    assert neighbour_distances(crystal, 10)[0] == pytest.approx(expected)
    assert shortest_distance(crystal) == pytest.approx(expected.min())


def test_a_singular_cell_is_an_error():
    flat = Crystal.of([[1, 0, 0], [2, 0, 0], [0, 0, 1]], [[0, 0, 0]], [3])
    with pytest.raises(ValueError, match="determinant"):
        shortest_distance(flat)
