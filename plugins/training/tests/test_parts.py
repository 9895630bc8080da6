from itertools import pairwise

import numpy as np
import pytest
import torch
from stargen_training.metrics import Metrics, read_metrics
from stargen_training.optimization import Average, adamw
from stargen_training.options import Options
from stargen_training.order import Order
from torch import nn


def test_a_pass_takes_each_example_once_and_the_next_another_way():
    order = Order(20, 4, seed=1)
    first = [order.indices(step) for step in range(5)]
    assert sorted(np.concatenate(first)) == list(range(20))
    second = [order.indices(step) for step in range(5, 10)]
    assert sorted(np.concatenate(second)) == list(range(20))
    assert not np.array_equal(np.concatenate(first), np.concatenate(second))
    assert np.array_equal(order.indices(3), first[3])


def test_processes_share_a_batch():
    order = Order(20, 5, seed=1)
    parts = [order.indices(2, rank, 2) for rank in range(2)]
    assert sorted(np.concatenate(parts)) == sorted(order.indices(2))


def test_fewer_examples_than_a_batch():
    assert sorted(Order(3, 32, seed=0).indices(7)) == [0, 1, 2]
    with pytest.raises(ValueError, match="no examples"):
        Order(0, 32, seed=0)


def test_the_rate_rises_and_falls():
    options = Options(steps=100, learning_rate=1.0, final_learning_rate=0.1, warm_up=0.1)
    rates = [options.rate_at(options.progress(step, 0)) for step in range(101)]
    assert rates[5] == pytest.approx(0.5)
    assert max(rates) == rates[10] == 1.0
    assert rates[-1] == pytest.approx(0.1)
    assert all(a > b for a, b in pairwise(rates[10:]))
    timed = Options(steps=100, minutes=2.0)
    assert timed.progress(10, 60.0) == 0.5
    assert timed.progress(90, 60.0) == 0.9


def test_decay_leaves_vectors_alone():
    model = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2))
    matrices, vectors = adamw(model, 1e-3, 0.5).param_groups
    assert [p.ndim for p in matrices["params"]] == [2]
    assert [p.ndim for p in vectors["params"]] == [1, 1, 1]
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.5, 0.0)


def test_the_average_forgets_the_beginning():
    model = nn.Linear(1, 1)
    nn.init.constant_(model.weight, 0.0)
    average = Average(model, 0.9)
    nn.init.constant_(model.weight, 1.0)
    for step in range(1, 200):
        average.update(model, step)
    assert average.model.weight.item() == pytest.approx(1.0, abs=1e-4)
    assert not average.model.weight.requires_grad


def test_metrics_behind_the_checkpoint_and_torn_lines_go(tmp_path):
    metrics = Metrics(tmp_path, 0)
    for step in (1, 2, 3):
        metrics.add(step, step * 0.5, {"train/loss": 1 / step})
    metrics.close()
    path = tmp_path / "metrics.csv"
    path.write_text(path.read_text() + "4,2.0,train/lo")
    again = Metrics(tmp_path, 2)
    again.add(3, 9.0, {"val/mae": 0.25})
    again.close()
    assert read_metrics(path) == [
        (1, 0.5, "train/loss", 1.0),
        (2, 1.0, "train/loss", 0.5),
        (3, 9.0, "val/mae", 0.25),
    ]


def test_gradients_of_unused_heads_are_zero_and_not_missing():
    from stargen_training.processes import Processes

    model = nn.Linear(1, 1)
    Processes(0, 1, torch.device("cpu")).average_gradients(model)
    assert model.weight.grad is None
