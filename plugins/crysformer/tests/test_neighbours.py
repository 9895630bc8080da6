import numpy as np
import pytest
from stargen_crysformer.graphs import Graphs
from stargen_crysformer.neighbours import TIE_ANG

from stargen import Crystal


def by_pymatgen(crystal, k):
    """Neighbour and vector of the k nearest and their ties, from a list that is long enough."""
    structure = crystal.to_pymatgen()
    radius = 3.0
    while True:
        centres, others, images, distances = structure.get_neighbor_list(radius, exclude_self=True)
        kth = [np.sort(distances[centres == i])[k - 1 : k] for i in range(crystal.n_atoms)]
        if all(len(d) and d[0] + TIE_ANG < radius for d in kth):
            break
        radius *= 1.5
    frac = crystal.frac_coords
    vectors = (frac[others] + images - frac[centres]) @ crystal.lattice
    return [
        sorted((int(j), *np.round(v, 3)) for j, v in zip(others[near], vectors[near], strict=True))
        for i in range(crystal.n_atoms)
        for near in [(centres == i) & (distances <= kth[i][0] + TIE_ANG)]
    ]


def ours(crystal, k):
    graph = Graphs.of([crystal], k)
    ends = np.cumsum(graph.degrees)
    return [
        sorted(
            (int(j), *np.round(v.astype(float), 3))
            for j, v in zip(graph.sources[a:b], graph.vectors[a:b], strict=True)
        )
        for a, b in zip(ends - graph.degrees, ends, strict=True)
    ]


def assert_same(one, two):
    assert [len(row) for row in one] == [len(row) for row in two]
    for mine, theirs in zip(one, two, strict=True):
        mine, theirs = np.array(mine), np.array(theirs)
        for row in theirs:  # rounding may order near-equal vectors differently
            off = np.abs(mine - row).max(axis=1)
            assert off.min() < 5e-3
            mine = np.delete(mine, off.argmin(), axis=0)


def test_random_cells_agree_with_pymatgen(crystals):
    for crystal in crystals(40, skew=0.3):
        assert_same(ours(crystal, 12), by_pymatgen(crystal, 12))


def test_strongly_skewed_cells_agree(crystals):
    rng = np.random.default_rng(1)
    for crystal in crystals(15, seed=1):
        times = np.array([[1, 0, 0], [rng.integers(-4, 5), 1, 0], [*rng.integers(-4, 5, 2), 1]])
        lattice = times @ crystal.lattice
        frac = crystal.frac_coords @ np.linalg.inv(times)
        skewed = Crystal.of(lattice, frac, crystal.numbers)
        assert_same(ours(skewed, 12), by_pymatgen(crystal, 12))


@pytest.mark.parametrize(
    ("lattice", "degree"),
    [
        (2.0 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]), 12),  # fcc: one shell of 12
        (1.5 * np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]), 14),  # bcc: 8, then 6
        (3.0 * np.eye(3), 18),  # simple cubic: 6, then 12
    ],
)
def test_shells_are_whole_in_cells_of_one_atom(lattice, degree):
    graph = Graphs.of([Crystal.of(lattice, [[0.3, 0.1, 0.7]], [29])], 12)
    assert graph.degrees.tolist() == [degree]
    assert set(graph.sources.tolist()) == {0}
    assert np.allclose(graph.vectors.sum(axis=0), 0, atol=1e-4)


def test_huge_vacuum_and_needle_cells():
    slab = Crystal.of(np.diag([3.0, 3.0, 400.0]), [[0, 0, 0], [0.5, 0.5, 0.005]], [6, 6])
    lonely = Crystal.of(np.eye(3) * 300.0, [[0, 0, 0]], [2])
    chain = Crystal.of(np.diag([1.5, 90.0, 90.0]), [[0, 0, 0]], [6])
    graphs = Graphs.of([slab, lonely, chain], 12)
    assert graphs.usable.all()
    assert (graphs.degrees >= 12).all()
    assert np.isfinite(graphs.vectors).all()
    assert graphs.shortest_ang == pytest.approx([np.sqrt(4.5 + 4), 300.0, 1.5])
    assert np.abs(graphs.vectors[-int(graphs.degrees[-1]) :, 1:]).max() == 0.0


def test_atoms_in_one_place_and_flat_cells_have_no_graph():
    good = Crystal.of(np.eye(3) * 3, [[0, 0, 0]], [29])
    double = Crystal.of(np.eye(3) * 4, [[0, 0, 0], [1.0, 0, 0]], [29, 29])
    flat = Crystal.of([[3, 0, 0], [0, 3, 0], [3, 3, 0]], [[0, 0, 0]], [29])
    graphs = Graphs.of([double, good, flat, good], 12)
    assert graphs.usable.tolist() == [False, True, False, True]
    assert np.isnan(graphs.shortest_ang[[0, 2]]).all()
    assert graphs.shortest_ang[[1, 3]] == pytest.approx(3.0)
    two = graphs.take([3, 1])
    assert two.usable.all()
    assert len(two.vectors) == 36


def test_taking_is_building_of_those(crystals):
    some = crystals(12)
    wanted = [7, 2, 2, 11]
    taken = Graphs.of(some, 12).take(wanted)
    built = Graphs.of([some[i] for i in wanted], 12)
    for name in Graphs.__slots__:
        assert np.array_equal(getattr(taken, name), getattr(built, name))
