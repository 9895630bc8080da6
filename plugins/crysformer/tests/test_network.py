import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from stargen_crysformer.config import PRESETS, Channels, Config, preset
from stargen_crysformer.elements import khot_table
from stargen_crysformer.graphs import Graphs
from stargen_crysformer.network import Crysformer

from stargen import Crystal
from stargen.errors import UserError


def answer(network, *crystals):
    with torch.inference_mode():
        return network(Graphs.of(crystals, network.config.neighbours).batch())[0]


def seeds():
    return st.integers(0, 10_000)


@settings(max_examples=15)
@given(seeds())
def test_turned_shifted_and_renamed_it_is_the_same(crystals_of, network, seed):
    crystal, rng = crystals_of(seed), np.random.default_rng(seed)
    turned = crystal.lattice @ Rotation.random(rng=rng).as_matrix()
    order = rng.permutation(crystal.n_atoms)
    frac = crystal.frac_coords + rng.normal(size=3) + rng.integers(-3, 4, crystal.frac_coords.shape)
    other = Crystal.of(turned, frac[order], crystal.numbers[order])
    assert torch.allclose(answer(network, crystal), answer(network, other), atol=2e-5)


@settings(max_examples=15)
@given(seeds())
def test_any_cell_of_the_same_crystal_gives_the_same(crystals_of, network, seed):
    """Other basis vectors, and cells several times as large (the paper's definitions 1 and 2)."""
    crystal, rng = crystals_of(seed), np.random.default_rng(seed)
    steps = rng.integers(-2, 3, 3)
    times = np.array([[1, 0, 0], [steps[0], 1, 0], [steps[1], steps[2], 1]])
    skewed = Crystal.of(
        times @ crystal.lattice, crystal.frac_coords @ np.linalg.inv(times), crystal.numbers
    )
    large = Crystal.from_pymatgen(crystal.to_pymatgen() * rng.integers(1, 3, 3))
    found = answer(network, crystal, skewed, large)
    assert torch.allclose(found[0], found[1], atol=2e-5)
    assert torch.allclose(found[0], found[2], atol=2e-5)


@pytest.fixture(scope="session")
def crystals_of(crystals):
    return lambda seed: crystals(1, seed=seed)[0]


def test_what_it_says_depends_on_what_it_sees(network, crystals):
    crystal = crystals(1, n=4)[0]
    moved = crystal.frac_coords.copy()
    moved[0] += 0.05
    elements = crystal.numbers.copy()
    elements[0] = 30
    told = answer(
        network,
        crystal,
        Crystal.of(crystal.lattice, moved, crystal.numbers),
        Crystal.of(crystal.lattice, crystal.frac_coords, elements),
        Crystal.of(crystal.lattice * 1.03, crystal.frac_coords, crystal.numbers),
    )
    assert ((told[1:] - told[0]).abs().max(dim=1).values > 1e-3).all()


def test_any_split_into_batches_gives_the_same(network, crystals):
    some = crystals(20, seed=4)
    whole = answer(network, *some)
    for size in (1, 3, 7):
        parts = [answer(network, *some[at : at + size]) for at in range(0, 20, size)]
        assert torch.allclose(torch.cat(parts), whole, atol=1e-5)


def test_lonely_flat_and_straight_crystals_have_an_answer(network):
    lonely = Crystal.of(np.eye(3) * 500.0, [[0, 0, 0]], [18])
    chain = Crystal.of(np.diag([2.0, 80.0, 80.0]), [[0, 0, 0], [0.4, 0, 0]], [6, 7])
    plane = Crystal.of(np.diag([3.0, 3.0, 900.0]), [[0, 0, 0]], [6])
    assert torch.isfinite(answer(network, lonely, chain, plane)).all()


def test_e3nn_computes_the_same(network, crystals):
    pytest.importorskip("e3nn", reason="e3nn is not installed")
    from stargen_crysformer.reference import Reference

    batch = Graphs.of(crystals(10, seed=2), 12).batch()
    with torch.inference_mode():
        for ours, theirs in zip(network(batch), Reference(network)(batch), strict=True):
            assert torch.allclose(ours, theirs, atol=1e-5)


def test_gradients_agree_with_differences(network, crystals):
    """In double precision, along random directions of all weights together."""
    net = copy.deepcopy(network).double()
    batch = Graphs.of(crystals(3, seed=6), 12).batch()
    for name in ("distances", "units"):
        setattr(batch, name, getattr(batch, name).double())

    def loss():
        values, spread, _ = net(batch)
        return (values.square() + spread).sum()

    loss().backward()
    weights = [p for p in net.parameters() if p.numel()]
    # the scale of the error is cut off from the trunk by design, so differences see more of it
    spread = {id(p) for p in net.spread.parameters()}
    torch.manual_seed(0)
    for mine in (spread, {id(p) for p in weights} - spread):
        ways = [torch.randn_like(p) * (id(p) in mine) for p in weights]
        slope = sum((p.grad * way).sum() for p, way in zip(weights, ways, strict=True))
        ends = []
        for step in (1e-6, -2e-6):
            with torch.no_grad():
                for p, way in zip(weights, ways, strict=True):
                    p += step * way
                values, scale, _ = net(batch)
                ends.append(scale.sum() if mine is spread else values.square().sum())
        with torch.no_grad():
            for p, way in zip(weights, ways, strict=True):
                p += 1e-6 * way
        assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(slope.item(), rel=1e-4)


def test_elements_are_told_by_nine_marks():
    table = khot_table()
    assert table.shape == (119, 92)
    assert table[[1, 8, 26, 79]].sum(axis=1).tolist() == [9, 9, 9, 9]
    assert table[2].sum() == 8  # helium has no electronegativity
    assert table[0].sum() == table[118].sum() == 0
    oxygen = np.flatnonzero(table[8]).tolist()
    assert oxygen[:2] == [16, 20]  # group 16, second period
    assert 46 + 5 in oxygen  # six valence electrons


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_networks(name):
    config = preset(name, targets=("energy",))
    assert Config.from_plain(config.plain()) == config
    if name != "paper":  # 23 million weights take a while to draw
        assert sum(p.numel() for p in Crysformer(config).parameters()) > 10_000


def test_notation():
    assert Channels.parse("512x0e+128x1e") == Channels.parse("512x0 + 128x1") == Channels(512, 128)
    assert Channels.parse("16x0e") == Channels(16, 0)
    for wrong in ("16x0e+4x2e", "", "0x0e", "16"):
        with pytest.raises(UserError, match="irreps"):
            Channels.parse(wrong)
    with pytest.raises(UserError, match="3 heads do not divide"):
        Config(heads=3)
    with pytest.raises(UserError, match="there is no model big"):
        preset("big")
