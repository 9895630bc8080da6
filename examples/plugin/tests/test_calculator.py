from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stargen_bondstats.calculator import nearest_distances

from stargen import Crystal

NACL = Crystal.of(
    2.82 * np.array([[0.0, 1, 1], [1, 0, 1], [1, 1, 0]]), [[0, 0, 0], [0.5, 0.5, 0.5]], [11, 17]
)


def test_rock_salt_has_half_the_cube_edge():
    np.testing.assert_allclose(nearest_distances(NACL), 2.82)


def test_one_atom_sees_its_own_images():
    flat = Crystal.of(np.diag([3.0, 5.0, 7.0]), [[0.2, 0.9, 0.4]], [29])
    np.testing.assert_allclose(nearest_distances(flat), 3.0)


@given(st.integers(-4, 4), st.integers(-4, 4), st.integers(-4, 4), st.integers(-3, 3))
def test_the_choice_of_cell_does_not_matter(p: int, q: int, r: int, shift: int):
    skew = np.array([[1, p, q], [0, 1, r], [0, 0, 1]], dtype=float)
    coords = NACL.frac_coords @ np.linalg.inv(skew) + shift
    skewed = Crystal.of(skew @ NACL.lattice, coords, NACL.numbers)
    assert skewed.volume == pytest.approx(NACL.volume)
    np.testing.assert_allclose(nearest_distances(skewed), nearest_distances(NACL), rtol=1e-9)
