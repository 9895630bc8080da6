import numpy as np
import pytest
import torch
from stargen_crysformer.graphs import Graphs
from stargen_crysformer.learning import Learning, outputs, read_member, write_member
from stargen_crysformer.sets import Labelled
from stargen_training.weights import WeightsError, read_weights, write_weights

from stargen.errors import UserError

CPU = torch.device("cpu")


@pytest.fixture
def config(trained):
    return read_member(trained / "member-0.npz").network.config


def test_missing_labels_pull_at_nothing(config, data):
    learning = Learning(config, data)
    torch.manual_seed(0)
    model = learning.model()
    rng = np.random.default_rng(0)
    found = learning.batch(np.arange(10), rng)
    assert torch.isnan(found.wanted[:, 1]).any()
    loss, told = learning.loss(model, found)
    loss.backward()
    grads = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    assert all(torch.isfinite(g).all() for g in grads)
    known = torch.isfinite(found.wanted)
    values = model(found.graphs)[0].detach()
    by_hand = [
        (values[known[:, t], t] - found.wanted[known[:, t], t]).abs().mean().item()
        for t in range(2)
    ]
    assert told["train/mae"] == pytest.approx(np.mean(by_hand), rel=1e-5)


def test_a_batch_without_any_gap_still_teaches_energies(config, data):
    learning = Learning(config, data)
    model = learning.model()
    batch = learning.batch(np.arange(8), np.random.default_rng(0))
    batch.wanted[:, 1] = torch.nan
    loss, _ = learning.loss(model, batch)
    loss.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(torch.isfinite(g).all() for g in gradients)
    assert (model.direct.weight.grad[0] != 0).any()
    assert (model.direct.weight.grad[1] == 0).all()


def without_gaps(data):
    labels = data.labels.copy()
    labels[:, 1] = np.nan
    return Labelled(data.names, data.crystals, labels, data.splits, data.corrections)


def test_a_target_that_no_crystal_has_is_refused(config, data):
    with pytest.raises(UserError, match="no crystal in the split train has band_gap"):
        Learning(config, without_gaps(data))


def test_weights_learn_on_without_one_of_their_targets(trained, data):
    member = read_member(trained / "member-0.npz")
    learning = Learning(member.network.config, without_gaps(data), start=member)
    told = learning.validate(member.network, CPU)
    assert np.isfinite(told["val/loss"])
    assert np.isnan(told["val/band_gap"])


def test_the_scale_of_errors_does_not_pull_at_values(config, data):
    learning = Learning(config, data)
    model = learning.model()
    batch = learning.batch(np.arange(8), np.random.default_rng(0))
    model(batch.graphs)[1].sum().backward()
    moved = {name for name, p in model.named_parameters() if p.grad is not None}
    assert {name.partition(".")[0] for name in moved} == {"spread"}


def test_outputs_come_in_the_order_asked_for(network, crystals):
    graphs = Graphs.of(crystals(70, seed=3), 12)
    rows = np.random.default_rng(0).permutation(70)
    values, _, _ = outputs(network, graphs, rows, CPU)
    for at in (0, 33, 69):
        alone, _, _ = outputs(network, graphs, rows[at : at + 1], CPU)
        assert values[at] == pytest.approx(alone[0], abs=1e-5)


def test_a_part_of_the_data_is_drawn_once(config, data):
    sizes = [Learning(config, data, part=part).size for part in (5, 20, 1000)]
    assert sizes == [5, 20, 60]
    one, other = (Learning(config, data, part=20, draw=draw) for draw in (1, 2))
    assert set(one._train) != set(other._train)
    assert set(one._train) <= set(data.of_split("train"))


def test_a_split_without_crystals_is_refused(config, data):
    none = Labelled(data.names, data.crystals, data.labels, np.zeros(len(data), np.int64))
    with pytest.raises(UserError, match="no crystal in the split val"):
        Learning(config, none)


def test_a_member_is_read_as_it_was(trained, data):
    member = read_member(trained / "member-0.npz")
    assert member.targets == ("formation_energy_per_atom", "band_gap")
    assert member.notes["corrections"] == "mp2020"
    assert member.notes["options"]["steps"] == 40
    learning = Learning(member.network.config, data)
    values, _, latents = outputs(member.network, learning.graphs, learning._train, CPU)
    assert learning.scaling.elements == pytest.approx(member.scaling.elements)
    assert latents.mean(axis=0) == pytest.approx(member.latent_mean, abs=0.02)
    fast, _, _ = outputs(member.fast, learning.graphs, learning._train, CPU)
    assert fast == pytest.approx(values, abs=1e-5)


def test_it_has_learnt(trained, data):
    """Better than the linear fit that it builds on."""
    member = read_member(trained / "member-0.npz")
    learning = Learning(member.network.config, data)
    found = learning.validate(member.network, CPU)
    base = learning.scaling.base(learning.fractions)[data.of_split("val"), 0]
    fit = np.abs(base - data.labels[data.of_split("val"), 0]).mean()
    assert found["val/formation_energy_per_atom"] < fit


def test_weights_that_are_none_are_refused(a_copy):
    path = a_copy / "member-0.npz"
    whole = path.read_bytes()
    for damage in (b"", whole[: len(whole) // 2], b"x" * 500):
        path.write_bytes(damage)
        with pytest.raises(WeightsError, match=r"member-0\.npz: no file of weights"):
            read_member(path)
    path.write_bytes(whole)
    weights = read_weights(path, "crysformer")
    less = {name: value for name, value in weights.arrays.items() if name != "pool.weight"}
    other = {**weights.arrays, "pool.weight": np.zeros((3, 3), np.float32)}
    for arrays in (less, other):
        write_member(path, type(weights)("crysformer", weights.config, arrays, "", weights.notes))
        with pytest.raises(WeightsError, match="not those of a Crysformer"):
            read_member(path)
    write_weights(path, type(weights)("diffusion", weights.config, weights.arrays))
    with pytest.raises(WeightsError, match="weights of diffusion, not of crysformer"):
        read_member(path)


def test_learning_on_from_other_corrections_is_refused(trained, data):
    member = read_member(trained / "member-0.npz")
    other = Labelled(data.names, data.crystals, data.labels, data.splits, "pbe")
    with pytest.raises(UserError, match="corrections mp2020, the data have pbe"):
        Learning(member.network.config, other, start=member)
    silent = Labelled(data.names, data.crystals, data.labels, data.splits)
    learning = Learning(member.network.config, silent, start=member)
    assert learning.corrections == "mp2020"
    begun, given = learning.model().state_dict(), member.network.state_dict()
    assert all(torch.equal(begun[name], given[name]) for name in given)
