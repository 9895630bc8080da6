import numpy as np
import pytest
from stargen_dft import cells

from stargen import Crystal

FCC = np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])


@pytest.fixture
def copper():
    corners = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return Crystal.of(np.eye(3) * 3.6, corners, [29] * 4)


def test_a_cube_becomes_primitive_and_stays_so(copper):
    small = cells.standard_cell(copper, 0.01, standardize=True)
    assert len(small) == 1
    again = cells.standard_cell(Crystal.from_pymatgen(small), 0.01, standardize=True)
    assert cells.same_cell(small, again)


def test_meshes_are_no_coarser_than_asked(copper):
    structure = copper.to_pymatgen()
    assert cells.mesh_of(structure, 0.25) == (7, 7, 7)
    weights = [weight for _, weight in cells.irreducible(structure, (4, 4, 4), 0.01)]
    assert sum(weights) == 64
    assert len(weights) == 10


def test_a_path_names_its_corners(copper):
    small = cells.standard_cell(copper, 0.01, standardize=True)
    path = cells.band_path(small, 10, 0.01)
    assert path.labels[0] == "Γ"
    assert set(path.labels.values()) == {"Γ", "X", "W", "K", "L", "U"}
    assert path.starts[0] == 0
    assert len(path.starts) == 2
    steps = np.linalg.norm(np.diff(path.points, axis=0), axis=1)
    steps = np.delete(steps, path.starts[1] - 1)
    assert steps.max() < 0.2
