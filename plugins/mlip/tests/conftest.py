"""What the tests of this plugin share."""

import numpy as np
import pytest

from stargen import Candidate, Crystal, Resources
from stargen.calculators.conformance import LocalContext


class TaskContext(LocalContext):
    """Counts its checkpoints, and asks to stop after some calls of `progress`."""

    def __init__(self, params, *, saved=None, stop_after=None, cores=1):
        super().__init__(params, state=saved, resources=Resources(cores=cores))
        self.checkpoints = 0
        self._stop_after = stop_after

    @property
    def stop_requested(self):
        return self._stop_after is not None and len(self.told) >= self._stop_after

    def checkpoint(self, state):
        super().checkpoint(state)
        self.checkpoints += 1


@pytest.fixture
def context():
    return TaskContext


@pytest.fixture
def salt():
    """Rock salt, primitive cell, atoms and cell a little off."""
    lattice = np.array([[0.0, 2.9, 2.85], [3.0, 0.15, 3.0], [2.6, 2.7, 0.0]])
    crystal = Crystal.of(lattice, [[0.0, 0.0, 0.0], [0.58, 0.46, 0.53]], [11, 17])
    return Candidate("make/0", crystal, {"mark": 1.0})


@pytest.fixture
def rutile():
    """TiO2, 6 atoms, atoms off their places so that all forces differ from zero."""
    u = 0.305
    titanium = [[0, 0, 0], [0.5, 0.5, 0.5]]
    oxygen = [[u, u, 0], [-u, -u, 0], [0.5 + u, 0.5 - u, 0.5], [0.5 - u, 0.5 + u, 0.5]]
    coords = np.array([*titanium, *oxygen]) + 0.01 * np.sin(np.arange(18)).reshape(6, 3)
    lattice = [[4.6, 0.1, 0.0], [0.0, 4.65, 0.0], [0.0, 0.05, 2.9]]
    return Candidate("make/1", Crystal.of(lattice, coords, [22, 22, 8, 8, 8, 8]))


@pytest.fixture
def lonely():
    """One atom with nobody within reach."""
    return Candidate("make/2", Crystal.of(np.eye(3) * 15.0, [[0, 0, 0]], [18]))
