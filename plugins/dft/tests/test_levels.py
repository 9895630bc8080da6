import io

import numpy as np
import pytest
from stargen_dft.levels import broadened, gap_of, packed_bands


def test_bands_are_counted_as_they_are_filled():
    energies = np.array([[[-1.0, 0.0, 2.0], [-1.0, 0.5, 1.5]]])
    full = np.array([[[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]]])
    gap = gap_of(energies, full)
    assert gap == (1.0, 1.0, True)
    shifted = energies + np.array([[[0, 0, 0], [0, -1.0, -2.5]]])
    assert gap_of(shifted, full) == (0.0, 0.0, False)  # bands overlap
    half = np.array([[[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]]])
    assert gap_of(energies, half) == (0.0, 0.0, False)


@pytest.mark.parametrize("spins", [1, 2])
def test_a_density_holds_all_electrons(spins):
    rng = np.random.default_rng(0)
    levels = rng.uniform(-3, 3, (spins, 5, 4))
    energies = np.linspace(-8, 8, 2001)
    densities, integrals = broadened(levels, np.array([1.0, 2, 2, 4, 1]), energies, 0.2)
    assert densities.shape == integrals.shape == (spins, 2001)
    assert integrals[:, -1].sum() == pytest.approx(8)
    summed = np.cumsum(densities, axis=1) * (energies[1] - energies[0])
    np.testing.assert_allclose(summed, integrals, atol=0.05)


def test_distances_stand_still_where_a_branch_begins():
    kpoints = np.array([[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0.25, 0]])
    levels = np.zeros((1, 4, 1))
    packed = packed_bands(
        kpoints, levels, levels, 2 * np.eye(3),
        labels={0: "Γ", 1: "X", 2: "Y"}, starts=[0, 2], fermi_ev=None,
    )  # fmt: skip
    arrays = np.load(io.BytesIO(packed))
    np.testing.assert_allclose(arrays["distances"], [0, 1, 1, 1.5])
    assert np.isnan(arrays["fermi_ev"])
    assert list(arrays["labels"]) == ["Γ", "X", "Y"]
