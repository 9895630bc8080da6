from __future__ import annotations

import pytest
from stargen_bondstats.info import MeanParams, mean

from stargen import Candidate, Crystal
from stargen.calculators.conformance import LocalContext, check, run

HALF = 3.61 / 2
COPPER = Crystal.of([[0, HALF, HALF], [HALF, 0, HALF], [HALF, HALF, 0]], [[0, 0, 0]], [29])


def test_it_keeps_the_contract():
    assert check(mean) == []


def test_the_mean_becomes_a_property():
    batch = run(mean, [Candidate("test/0", COPPER)], context=LocalContext(MeanParams()))
    assert batch.candidates[0].properties["mean_bond_ang"] == pytest.approx(3.61 / 2**0.5)


def test_sparse_crystals_are_dropped():
    batch = run(mean, [Candidate("test/0", COPPER)], context=LocalContext(MeanParams(max_ang=2.0)))
    assert batch.candidates == []
    assert [(drop.reason, drop.detail) for drop in batch.drops] == [("sparse", "mean bond 2.55 Å")]


def test_a_senseless_limit_is_refused_before_anything_starts(tmp_path):
    assert mean.check is not None
    assert list(mean.check(MeanParams(max_ang=-1.0), tmp_path)) == [
        "max_ang is -1.0; it must be positive"
    ]
