from __future__ import annotations

import dataclasses

import pytest

from stargen.model import AttemptId, Campaign, Chemistry, JobSpec, Resources, SelectSpec, StepSpec


@pytest.mark.parametrize(
    ("resources", "kind"),
    [
        (Resources(), "cpu"),
        (Resources(cores=24), "cpu"),
        (Resources(gpus=0.25), "gpu"),
        (Resources(gpus=1, io=1), "gpu"),
        (Resources(cores=1, io=2), "io"),
    ],
)
def test_resources_name_their_buffer(resources: Resources, kind: str):
    assert resources.kind == kind


def test_resources_are_a_key():
    assert Resources(cores=2, custom=(("licence", 1.0),)) == Resources(
        cores=2, custom=(("licence", 1.0),)
    )
    assert len({Resources(), Resources(cores=1), Resources(cores=2)}) == 2
    assert sorted([Resources(cores=3), Resources(cores=1)])[0].cores == 1


@pytest.mark.parametrize(
    ("select", "streams"),
    [
        (SelectSpec(where="x < 1"), True),
        (SelectSpec(where="x < 1", order_by="x", limit=3), False),
        (SelectSpec(sample=10), False),
        (SelectSpec(order_by="x", limit=3, rolling=True), True),
    ],
)
def test_a_select_streams_unless_it_must_see_all(select: SelectSpec, streams: bool):
    assert select.streams is streams


def test_the_vocabulary_is_frozen():
    job = JobSpec("screen", steps=(StepSpec("filters.charge"),), inputs=("generate",))
    campaign = Campaign("c", (job,))
    for value, name in ((job, "name"), (campaign, "seed"), (Resources(), "cores")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, 1)


def test_defaults_share_nothing():
    assert StepSpec("a").params is not StepSpec("b").params


def test_attempts_compare_by_epoch_first():
    assert AttemptId(2, 1) > AttemptId(1, 99)


@pytest.mark.parametrize(
    ("chemistry", "symbol", "admitted"),
    [
        (Chemistry(), "Fe", True),
        (Chemistry(allow=("Fe",)), "Fe", True),
        (Chemistry(allow=("Fe",)), "Co", False),
        (Chemistry(require=("Li",), allow=("Fe",)), "Li", True),
        (Chemistry(require=("Li",)), "Fe", True),
        (Chemistry(exclude=("Pb",)), "Pb", False),
        (Chemistry(allow=("Pb", "O"), exclude=("Pb",)), "Pb", False),
    ],
)
def test_chemistry_admits(chemistry: Chemistry, symbol: str, admitted: bool):
    assert chemistry.admits(symbol) is admitted
