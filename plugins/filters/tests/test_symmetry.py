import logging
import warnings

import moyopy
import numpy as np
import pytest
from stargen_filters.cells import primitive_cell
from stargen_filters.info import symmetry

from stargen.crystal import Candidate, Crystal


def shaken(crystal, sigma_ang, seed=0):
    noise = np.random.default_rng(seed).normal(scale=sigma_ang, size=(crystal.n_atoms, 3))
    frac = crystal.frac_coords + noise @ np.linalg.inv(crystal.lattice)
    return Crystal.of(crystal.lattice, frac, crystal.numbers)


def test_is_spglibs_answer_on_clean_crystals(run, prototypes):
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    some = prototypes[::8]
    kept, _ = run(
        symmetry,
        [Candidate(str(i), c) for i, c in enumerate(some)],
        symprec_ang=0.01,
        drop_p1=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = [SpacegroupAnalyzer(c.to_pymatgen()).get_space_group_number() for c in some]
    agree = np.mean([c.properties["spacegroup"] == n for c, n in zip(kept, expected, strict=True)])
    assert agree >= 0.97


def test_stores_both_tolerances_and_the_tool(run, prototypes):
    salt = next(c for c in prototypes if c.formula == "ClNa" and c.n_atoms == 2)
    kept, _ = run(symmetry, [Candidate("a", shaken(salt, 0.05))])
    assert kept[0].properties["spacegroup"] == 225
    assert kept[0].properties["spacegroup_strict"] < 225
    assert kept[0].data["symmetry"] == {
        "tool": "moyopy",
        "version": moyopy.__version__,
        "symprec_ang": 0.1,
        "strict_symprec_ang": 0.01,
    }


def test_drops_p1_unless_told_not_to(run):
    rng = np.random.default_rng(1)
    disorder = Candidate(
        "a", Crystal.of(np.eye(3) * 5 + rng.random((3, 3)), rng.random((4, 3)), [3, 8, 9, 5])
    )
    assert [d.reason for d in run(symmetry, [disorder])[1]] == ["P1"]
    assert run(symmetry, [disorder], drop_p1=False)[0][0].properties["spacegroup"] == 1


def test_atoms_on_top_of_each_other_have_no_symmetry(run):
    doubled = Candidate("a", Crystal.of(np.eye(3) * 4, [[0, 0, 0], [0, 0, 0]], [3, 3]))
    assert [d.reason for d in run(symmetry, [doubled])[1]] == ["symmetry not found"]
    kept, _ = run(symmetry, [doubled], drop_p1=False)
    assert kept[0].properties["spacegroup"] is None


@pytest.mark.parametrize("sigma_ang", [0.0, 0.005])
def test_primitive_cell_undoes_a_supercell(prototypes, sigma_ang):
    for crystal in prototypes[::20]:
        once = primitive_cell(crystal, 0.1)
        twice = Crystal.of(
            crystal.lattice * [[2], [1], [1]],
            np.concatenate([crystal.frac_coords * [0.5, 1, 1] + [s, 0, 0] for s in (0, 0.5)]),
            np.tile(crystal.numbers, 2),
        )
        again = primitive_cell(shaken(twice, sigma_ang), 0.1)
        assert again.n_atoms == once.n_atoms
        assert again.volume == pytest.approx(once.volume, rel=0.02)
        assert again.formula == crystal.formula


def test_moyo_does_not_chatter(prototypes, caplog):
    with caplog.at_level(logging.INFO):
        for crystal in prototypes[:50]:
            primitive_cell(crystal, 0.1)
    assert not caplog.records


def test_checks_its_tolerances(tmp_path):
    assert not list(symmetry.check(symmetry.params(), tmp_path))
    assert list(symmetry.check(symmetry.params(strict_symprec_ang=0.2), tmp_path))
