import numpy as np
import pytest
from stargen_mlip.optimizers import OPTIMIZERS

from stargen.codec import pack_bulk, unpack_bulk

STIFFNESS = np.linspace(1.0, 30.0, 12)


def descend(optimizer, start, steps):
    """Follow the forces of an anharmonic bowl; the path."""
    place, path = start, []
    for _ in range(steps):
        forces = -(STIFFNESS * place + 5 * place**3)
        place = place + optimizer.step(forces.reshape(4, 3)).ravel()
        path.append(place)
    return path


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_reaches_the_bottom(name):
    start = np.linspace(-1.0, 1.2, 12)
    end = descend(OPTIMIZERS[name](), start, 150)[-1]
    assert np.abs(STIFFNESS * end).max() < 0.05


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_no_step_is_long(name):
    path = [np.full(12, 3.0), *descend(OPTIMIZERS[name](), np.full(12, 3.0), 40)]
    steps = np.diff(np.array(path), axis=0).reshape(-1, 4, 3)
    assert np.linalg.norm(steps, axis=2).max() < 0.2 + 1e-12


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_its_memory_survives_a_checkpoint_to_the_last_bit(name):
    start = np.linspace(-1.0, 1.2, 12)
    whole = descend(OPTIMIZERS[name](), start, 30)
    first = OPTIMIZERS[name]()
    half = descend(first, start, 13)
    second = OPTIMIZERS[name].restored(unpack_bulk(pack_bulk(first.state())))
    rest = descend(second, half[-1], 17)
    assert np.array_equal(whole[-1], rest[-1])
