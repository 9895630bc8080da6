import numpy as np
import pytest
from stargen_filters.info import geometry

from stargen.crystal import Candidate, Crystal


def cubic(edge_ang, *sites, numbers=None):
    return Candidate("a", Crystal.of(np.eye(3) * edge_ang, sites, numbers or [3] * len(sites)))


def test_keeps_a_crystal_and_measures_it(run):
    salt = Crystal.of(
        [[0, 2.82, 2.82], [2.82, 0, 2.82], [2.82, 2.82, 0]], [[0, 0, 0], [0.5] * 3], [11, 17]
    )
    kept, _ = run(geometry, [Candidate("salt", salt)])
    assert kept[0].properties["min_distance"] == pytest.approx(2.82)
    assert kept[0].properties["density"] == pytest.approx(2.16, abs=0.01)
    assert kept[0].properties["volume_per_atom"] == pytest.approx(salt.volume / 2)


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (cubic(4.0, (0, 0, 0), (0.1, 0, 0)), "atoms too close"),
        (cubic(4.0, (0, 0, 0), (0.97, 0, 0)), "atoms too close"),
        (cubic(0.45, (0, 0, 0)), "cell volume too small"),
        (cubic(0.0, (0, 0, 0)), "cell volume too small"),
        (cubic(0.48, (0, 0, 0), numbers=[1]), "atoms too close"),
        (cubic(1.8, (0, 0, 0), numbers=[79]), "density too high"),
        (cubic(30.0, (0, 0, 0)), "density too low"),
    ],
)
def test_drops_what_is_no_crystal(run, candidate, reason):
    _, drops = run(geometry, [candidate])
    assert [d.reason for d in drops] == [reason]


def test_bounds_are_the_users(run):
    tight = cubic(4.0, (0, 0, 0), (0.1, 0, 0))
    assert run(geometry, [tight], min_distance_ang=0.3)[0]
    dense = cubic(1.8, (0, 0, 0), numbers=[79])
    assert run(geometry, [dense], max_density_g_cm3=100.0)[0]


def test_no_density_is_known_beyond_lawrencium(run):
    kept, _ = run(geometry, [cubic(3.0, (0, 0, 0), numbers=[110])])
    assert kept[0].properties["density"] is None


def test_every_prototype_passes(run, prototypes):
    _, drops = run(geometry, [Candidate(str(i), c) for i, c in enumerate(prototypes)])
    assert len(prototypes) > 200
    assert not drops, [(d.reason, d.detail) for d in drops]


def test_checks_its_bounds(tmp_path):
    assert not list(geometry.check(geometry.params(), tmp_path))
    assert list(geometry.check(geometry.params(min_density_g_cm3=30.0), tmp_path))


def test_hardly_a_real_crystal_is_dropped(run, shared_data):
    with np.load(shared_data / "crystals_le20.npz") as data:
        rows = {name: data[name] for name in ("cell", "offset", "frac_coords", "atomic_numbers")}
    candidates = []
    for i in range(0, len(rows["cell"]), 10):
        atoms = slice(*rows["offset"][i : i + 2])
        lattice = cell_vectors(*rows["cell"][i])
        crystal = Crystal.of(lattice, rows["frac_coords"][atoms], rows["atomic_numbers"][atoms])
        candidates.append(Candidate(str(i), crystal))
    kept, drops = run(geometry, candidates)
    assert len(kept) > 2000
    assert not drops


def cell_vectors(a, b, c, *angles_deg):
    alpha, beta, gamma = np.cos(np.radians(angles_deg))
    sine = np.sqrt(1 - gamma**2)
    x = (alpha - beta * gamma) / sine
    rows = [[1, 0, 0], [gamma, sine, 0], [beta, x, np.sqrt(1 - beta**2 - x**2)]]
    return np.array(rows) * [[a], [b], [c]]
