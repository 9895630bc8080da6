from pathlib import Path

import pytest
from support.crystals import candidate, rocksalt

from stargen.calculators import echo
from stargen.calculators.context import BaseContext
from stargen.calculators.steps import Batch, LoadedStep, run_steps
from stargen.model import Chemistry


class Plain(BaseContext):
    folder = Path()
    stop_requested = False

    def shared(self, key, make): ...

    def progress(self, done, total):
        self.said = (done, total)

    def checkpoint(self, state): ...

    def resume(self):
        return None


def step(info, calculator, **params):
    context = Plain(
        job="job",
        use=info.name,
        params=info.params(**params),
        seed=5,
        chemistry=Chemistry(),
        input_folder=Path(),
    )
    calculator.open(context)
    return LoadedStep(info, "1", calculator, context)


def test_a_source_makes_the_ordinals_it_is_asked_for():
    made = step(echo.source, echo.Source(), count=9, payload_bytes=500)
    batch = run_steps([made], Batch(ordinals=range(3, 6)))
    assert [c.candidate_id for c in batch.candidates] == ["job/3", "job/4", "job/5"]
    assert len({c.crystal for c in batch.candidates}) == 3
    assert len({c.crystal.formula for c in batch.candidates}) == 3
    assert batch.candidates[0].data == {"payload": bytes(500)}
    assert echo.source.total(made.context.params) == 9


def test_a_random_number_does_not_depend_on_the_batch():
    inputs = [candidate(f"make/{i}") for i in range(4)]
    mapped = step(echo.map_, echo.Map(), random=True)
    whole = run_steps([mapped], Batch(list(inputs))).candidates
    parts = [run_steps([mapped], Batch([one])).candidates[0] for one in inputs]
    assert [c.properties["echo"] for c in whole] == [c.properties["echo"] for c in parts]
    assert len({c.properties["echo"] for c in whole}) == 4


def test_a_slow_map_tells_how_far_it_is():
    mapped = step(echo.map_, echo.Map(), seconds=0.001)
    run_steps([mapped], Batch([candidate("make/0"), candidate("make/1")]))
    assert mapped.context.said == (2, 2)


@pytest.mark.parametrize(("kept_before", "expected"), [(0, 2), (1, 1), (2, 0), (3, 0)])
def test_a_keyed_calculator_counts_what_its_key_has_kept(kept_before, expected):
    inputs = [candidate(f"make/{i}") for i in range(3)]
    others = [candidate("make/9", rocksalt(11, 35))]
    kept = [candidate(f"old/{i}") for i in range(kept_before)]
    keyed = step(echo.keyed, echo.Keyed(), keep=2)
    batch = run_steps([keyed], Batch([*inputs, *others]), kept=kept)
    names = [c.candidate_id for c in batch.candidates]
    assert names == [f"make/{i}" for i in range(expected)] + ["make/9"]
    assert {drop.reason for drop in batch.drops} == {"formula seen before"}


def test_a_gather_ranks_all():
    gathered = step(echo.gather, echo.Gather())
    batch = run_steps([gathered], Batch([candidate("b"), candidate("a")]))
    assert [c.properties["echo_rank"] for c in batch.candidates] == [1, 0]
