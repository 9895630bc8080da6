"""The same on a GPU: skipped where there is none."""

import numpy as np
import pytest
import torch
from stargen_mlip.calculator import Relax
from stargen_mlip.info import RelaxParams
from stargen_mlip.potential import Chgnet

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


def test_the_potential_says_the_same(rutile, salt):
    here, there = (Chgnet("0.3.0", device=device, threads=1) for device in ("cpu", "cuda"))
    for candidate in (rutile, salt):
        mine, other = here.evaluate(candidate.crystal), there.evaluate(candidate.crystal)
        assert other.energy == pytest.approx(mine.energy, abs=1e-4)
        assert np.allclose(mine.forces, other.forces, atol=1e-3)
        assert np.allclose(mine.stress, other.stress, atol=1e-4)


def test_a_granted_gpu_relaxes_to_the_same(context, rutile):
    energies = []
    for devices in ((), (0,)):
        task = context(RelaxParams())
        task.devices = devices
        relax = Relax()
        relax.open(task)
        (relaxed,) = relax.run([rutile], task)
        energies.append(relaxed.properties["energy_per_atom"])
    assert energies[1] == pytest.approx(energies[0], abs=2e-3)
