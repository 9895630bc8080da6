import csv
import gzip
import io

import numpy as np
import pytest
from chgnet.model.model import CHGNet
from pymatgen.core import Composition, Structure
from scipy.linalg import expm
from stargen_mlip.potential import Chgnet, NotEvaluableError

from stargen import Crystal

GPA = 160.21766208


@pytest.fixture(scope="module")
def chgnet():
    return Chgnet("0.3.0", device="cpu", threads=1)


def test_it_says_what_chgnet_says(chgnet, rutile, salt):
    net = CHGNet.load(verbose=False, use_device="cpu")
    for candidate in (rutile, salt):
        crystal = candidate.crystal
        theirs = net.predict_structure(crystal.to_pymatgen(), task="efs")
        ours = chgnet.evaluate(crystal)
        assert ours.energy / crystal.n_atoms == pytest.approx(float(theirs["e"]), abs=1e-6)
        assert ours.forces == pytest.approx(theirs["f"], abs=1e-4)
        assert ours.stress * GPA == pytest.approx(theirs["s"], abs=1e-3)


def test_forces_are_the_slope_of_the_energy(chgnet, rutile):
    crystal, h = rutile.crystal, 0.01
    forces = chgnet.evaluate(crystal).forces
    inverse = np.linalg.inv(crystal.lattice)
    for atom, axis in ((0, 0), (1, 2), (2, 1), (5, 0)):
        shift = np.zeros((6, 3))
        shift[atom, axis] = h
        ahead, behind = (
            chgnet.evaluate(
                Crystal.of(crystal.lattice, crystal.frac_coords + s @ inverse, crystal.numbers)
            ).energy
            for s in (shift, -shift)
        )
        assert abs(forces[atom, axis]) > 0.05
        assert forces[atom, axis] == pytest.approx((behind - ahead) / (2 * h), abs=0.02)


def test_stress_is_the_slope_of_the_energy_under_strain(chgnet, rutile):
    crystal, h = rutile.crystal, 0.004
    stress = chgnet.evaluate(crystal).stress
    for i, j in ((0, 0), (2, 2), (0, 1)):
        strain = np.zeros((3, 3))
        strain[i, j] = strain[j, i] = h
        ahead, behind = (
            chgnet.evaluate(
                Crystal.of(crystal.lattice @ expm(s), crystal.frac_coords, crystal.numbers)
            ).energy
            for s in (strain, -strain)
        )
        slope = (ahead - behind) / (2 * h) / crystal.volume / (1 if i == j else 2)
        assert stress[i, j] == pytest.approx(slope, abs=2e-3)


def test_an_atom_alone_is_refused(chgnet, lonely):
    with pytest.raises(NotEvaluableError):
        chgnet.evaluate(lonely.crystal)


def test_an_element_that_it_does_not_know_is_refused(chgnet, salt):
    crystal = salt.crystal
    numbers = crystal.numbers.copy()
    numbers[0] = 94
    assert np.isfinite(
        chgnet.evaluate(Crystal.of(crystal.lattice, crystal.frac_coords, numbers)).energy
    )
    numbers[0] = 95
    with pytest.raises(NotEvaluableError, match="up to 94, and not Am"):
        chgnet.evaluate(Crystal.of(crystal.lattice, crystal.frac_coords, numbers))


def test_energies_are_on_the_scale_of_the_scheme(chgnet, shared_data):
    """Formation energies from the Materials Project's elements meet the labels of MP-20.

    The 2020 corrections lower oxides by some 0.4 eV/atom: on another scale this could not hold.
    """
    with (shared_data / "hull" / "mp_elemental_reference.csv").open() as file:
        elements = {row["element"]: float(row["energy_per_atom"]) for row in csv.DictReader(file)}
    errors = []
    with io.TextIOWrapper(gzip.open(shared_data / "mp20_subset.csv.gz")) as file:
        oxides = [row for row in csv.DictReader(file) if "'O'" in row["elements"]]
    for row in oxides[:: len(oxides) // 25]:
        crystal = Crystal.from_pymatgen(Structure.from_str(row["cif"], fmt="cif"))
        amounts = Composition(row["reduced_formula"]).fractional_composition
        energy = chgnet.evaluate(crystal).energy / crystal.n_atoms
        energy -= sum(x * elements[str(element)] for element, x in amounts.items())
        errors.append(abs(energy - float(row["formation_energy_per_atom"])))
    assert np.median(errors) < 0.04
