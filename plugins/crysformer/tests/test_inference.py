import numpy as np
import pytest
import torch
from stargen_crysformer.config import Config
from stargen_crysformer.graphs import Graphs
from stargen_crysformer.inference import Inference
from stargen_crysformer.network import Crysformer

from stargen import Crystal


def both(network, graphs):
    batch = graphs.batch()
    with torch.inference_mode():
        return network(batch), Inference(network)(batch)


def assert_same(one, other):
    for plain, fast in zip(one, other, strict=True):
        assert torch.allclose(plain, fast, atol=1e-5)


def test_it_computes_what_the_network_computes(network, crystals):
    assert_same(*both(network, Graphs.of(crystals(20, seed=9), 12)))


@pytest.mark.parametrize(
    "changes",
    [
        {"irreps": "24x0e+8x1e", "blocks": 1},
        {"irreps": "16x0e", "heads": 4, "attention": 3},
        {"irreps": "32x0e+8x1e", "heads": 1, "widening": 3, "radial": (16, 8)},
        {"irreps": "8x0e+24x1e", "heads": 8, "neighbours": 3, "dropout": 0.5},
    ],
)
def test_it_does_so_for_any_architecture(changes, crystals):
    torch.manual_seed(1)
    usual = {"blocks": 2, "basis": 16, "radial": (16,), "targets": ("energy",)}
    network = Crysformer(Config(**{**usual, **changes})).eval()
    assert_same(*both(network, Graphs.of(crystals(6), network.config.neighbours)))


def test_narrow_gaussians_make_finer_tables(network, crystals):
    narrow = Crysformer(network.config).eval()
    narrow.load_state_dict(network.state_dict())
    with torch.no_grad():
        narrow.basis.width[:] = 0.01
    fast = Inference(narrow)
    coarse = Inference(network)
    assert len(fast.tables[1].rows) > len(coarse.tables[1].rows)
    assert_same(*both(narrow, Graphs.of(crystals(10), 12)))


def test_many_neighbours_and_far_ones(network):
    cubic = Crystal.of(np.eye(3) * 3.1, [[0, 0, 0]], [29])  # 18 in the first two shells
    lonely = Crystal.of(np.eye(3) * 400.0, [[0, 0, 0]], [18])
    chain = Crystal.of(np.diag([2.0, 80.0, 80.0]), [[0, 0, 0], [0.4, 0, 0]], [6, 7])
    for some in ([cubic], [chain], [lonely], [cubic, lonely, chain, cubic]):
        assert_same(*both(network, Graphs.of(some, 12)))


def test_a_table_is_left_where_it_ends(network, crystals):
    """Edges just below and just above the end of the tables."""
    for side in (11.99, 12.0, 12.01):
        assert_same(*both(network, Graphs.of([Crystal.of(np.eye(3) * side, [[0] * 3], [3])], 6)))
