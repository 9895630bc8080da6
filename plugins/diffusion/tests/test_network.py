import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stargen_diffusion import network as module
from stargen_diffusion.edges import tabulated
from stargen_diffusion.network import Guess

FORMS = [
    {"lattice": lattice, "types": types, "mean_free": free, "counts": free, "edge_layers": edge}
    for lattice, types, free, edge in [
        ("raw", "onehot", False, 2),
        ("scaled", "known", True, 2),
        ("polar", "masked", True, 2),
        ("polar", "masked", True, 1),
    ]
]
few = settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])


def differ(one: Guess, other: Guess) -> float:
    pairs = zip(one, other, strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs if a.numel())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n", [1, 2, 5, 11])
def test_the_fast_network_is_the_plain_one(network, noisy, plain, form, n):
    net = network(**form)
    crystals = noisy(net, n=n)
    wanted = plain(net)(crystals)
    assert differ(net(crystals), wanted) < 1e-5
    with torch.no_grad():
        assert differ(net(crystals), wanted) < 1e-5
        net.tabulate()
        assert differ(net(crystals), wanted) < 1e-5


def test_it_is_also_where_the_paper_has_it(network, noisy, plain):
    """128 frequencies, where rounding of the phases would show."""
    net = network(frequencies=128, lattice="raw", types="onehot", mean_free=False, counts=False)
    crystals = noisy(net, n=8)
    wanted = plain(net)(crystals)
    assert differ(net(crystals), wanted) < 1e-5
    net.tabulate()
    with torch.no_grad():
        assert differ(net(crystals), wanted) < 1e-5


@pytest.mark.parametrize("form", FORMS)
def test_gradients_are_those_of_the_plain_network(network, noisy, plain, form):
    net = network(**form)
    crystals = noisy(net)
    gradients = []
    for function in (net, plain(net)):
        net.zero_grad()
        sum((part**2).sum() for part in function(crystals)).backward()
        gradients.append({k: p.grad.clone() for k, p in net.named_parameters()})
    for name, gradient in gradients[0].items():
        scale = float(gradient.abs().max()) + 1
        assert torch.allclose(gradient, gradients[1][name], atol=1e-5 * scale), name


def test_rows_at_a_time_give_the_same(network, noisy, monkeypatch):
    net = network()
    crystals = noisy(net, batch=2, n=9)
    whole = net(crystals)
    sum(part.sum() for part in whole).backward()
    wanted = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    monkeypatch.setattr(module, "PAIR_FLOATS", 1000)
    parts = net(crystals)
    assert differ(whole, parts) < 1e-5
    sum(part.sum() for part in parts).backward()
    for gradient, parameter in zip(wanted, net.parameters(), strict=True):
        assert torch.allclose(gradient, parameter.grad, atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
@few
@given(seed=st.integers(0, 10_000))
def test_shifts_permutations_and_images_change_nothing(network, noisy, form, seed):
    net = network(**form)
    crystals = noisy(net, seed=seed, n=6)
    generator = torch.Generator().manual_seed(seed)
    shift = torch.rand(len(crystals.t), 1, 3, generator=generator)
    images = torch.randint(-2, 3, crystals.coords.shape, generator=generator)
    order = torch.randperm(6, generator=generator)
    with torch.no_grad():
        guess = net(crystals)
        moved = net(crystals._replace(coords=crystals.coords + shift + images))
        turned = net(
            crystals._replace(coords=crystals.coords[:, order], types=crystals.types[:, order])
        )
    assert differ(guess, moved) < 2e-4  # float32 coordinates lose digits in a far image
    types = guess.types[:, order] if guess.types.numel() else guess.types
    assert differ(Guess(guess.score[:, order], guess.lattice, types), turned) < 1e-5


@few
@given(seed=st.integers(0, 10_000))
def test_the_lattice_turns_with_the_crystal(network, noisy, seed):
    net = network(lattice="raw")
    crystals = noisy(net, seed=seed)
    matrix = torch.randn(3, 3, generator=torch.Generator().manual_seed(seed))
    turn = torch.linalg.qr(matrix)[0]
    rows = crystals.lattice.view(-1, 3, 3)
    with torch.no_grad():
        guess = net(crystals)
        turned = net(crystals._replace(lattice=(rows @ turn).flatten(1)))
    wanted = (guess.lattice.view(-1, 3, 3) @ turn).flatten(1)
    assert differ(guess._replace(lattice=wanted), turned) < 1e-4


@pytest.mark.parametrize("form", FORMS)
def test_a_crystal_does_not_see_its_batch(network, noisy, form):
    """To the last bit, from four crystals on: samples must not depend on how work was divided."""
    net = network(**form)
    net.tabulate()
    crystals = noisy(net, batch=23, n=3)
    with torch.no_grad():
        whole = net(crystals)
        for part in (slice(0, 4), slice(7, 20), slice(1, 23, 3)):
            alone = net(type(crystals)(*(each[part].contiguous() for each in crystals)))
            for mine, theirs in zip(alone, whole, strict=True):
                assert torch.equal(mine, theirs[part] if theirs.numel() else theirs)


def test_tables_hold_the_fourier_layer(network):
    net = network()
    weight = net.layers[0].psi_weight
    table = tabulated(weight, 64)
    x = torch.tensor([5 / 64, 17 / 64, 0.0])
    k = torch.arange(1, 9)
    angles = (2 * torch.pi * x[:, None] * k).flatten()
    wanted = weight @ torch.cat([torch.sin(angles), torch.cos(angles)])
    assert torch.allclose(table[5] + table[64 + 17] + table[128], wanted, atol=1e-5)
