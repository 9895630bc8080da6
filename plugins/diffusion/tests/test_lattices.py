import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import expm
from stargen_diffusion.lattices import LatticeCode, NoCellError, canonical, lengths_and_angles

FORMS = ("raw", "scaled", "polar")


def cells(n=50, seed=0):
    rng = np.random.default_rng(seed)
    return np.eye(3) * 4 + rng.normal(scale=0.8, size=(n, 3, 3)), rng.integers(1, 21, n)


@pytest.mark.parametrize("form", FORMS)
def test_numbers_lead_back_to_lengths_and_angles(form):
    lattices, n_atoms = cells()
    code = LatticeCode.fitted(form, lattices, n_atoms)
    for numbers, lattice, n in zip(code.encode(lattices, n_atoms), lattices, n_atoms, strict=True):
        found = code.decode(numbers, int(n))
        assert np.linalg.det(found) > 0
        assert np.allclose(found @ found.T, lattice @ lattice.T)


@pytest.mark.parametrize("form", ["scaled", "polar"])
def test_standardised_numbers_are_standard(form):
    lattices, n_atoms = cells(400)
    numbers = LatticeCode.fitted(form, lattices, n_atoms).encode(lattices, n_atoms)
    assert np.sqrt((numbers**2).mean()) == pytest.approx(1.0)


@given(st.integers(0, 1000))
def test_polar_numbers_do_not_see_rotations(seed):
    lattices, n_atoms = cells(20)
    code = LatticeCode.fitted("polar", lattices, n_atoms)
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    turned = code.encode(lattices @ rotation, n_atoms)
    assert np.allclose(turned, code.encode(lattices, n_atoms), atol=1e-8)


@given(st.lists(st.floats(-4, 4), min_size=6, max_size=6), st.integers(1, 200))
def test_any_six_polar_numbers_are_a_cell(numbers, n_atoms):
    lattices, n = cells()
    found = LatticeCode.fitted("polar", lattices, n).decode(np.array(numbers), n_atoms)
    assert np.linalg.det(found) > 0
    assert np.allclose(found, found.T)


def test_polar_decodes_the_matrix_exponential():
    code = LatticeCode("polar", np.zeros(6), np.ones(6))
    off = np.array([0.1, -0.2, 0.3]) / np.sqrt(2)
    exponent = np.array([[0, off[2], off[1]], [off[2], 0, off[0]], [off[1], off[0], 0]])
    found = code.decode(np.array([0.1, -0.2, 0.3, 0, 0, np.sqrt(3)]), 1)
    assert np.allclose(found, expm(exponent + np.eye(3)))


@pytest.mark.parametrize(
    ("form", "numbers"),
    [
        ("raw", np.zeros(9)),
        ("raw", np.full(9, np.nan)),
        ("scaled", np.ones(9)),
        ("polar", np.full(6, 1e4)),
        ("polar", np.full(6, np.inf)),
    ],
)
def test_what_is_no_cell_is_refused(form, numbers):
    lattices, n_atoms = cells()
    with pytest.raises(NoCellError):
        LatticeCode.fitted(form, lattices, n_atoms).decode(numbers, 3)


def test_canonical_orientation():
    lengths, angles = np.array([3.0, 4.0, 5.0]), np.array([80.0, 95.0, 110.0])
    lattice = canonical(lengths, angles)
    assert np.allclose(lattice[2], [0, 0, 5])
    assert lattice[0, 1] == 0
    assert np.linalg.det(lattice) > 0
    found = lengths_and_angles(lattice)
    assert np.allclose(found[0], lengths)
    assert np.allclose(found[1], angles)
