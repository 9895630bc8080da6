import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stargen.calculators.conformance import LocalContext, sample_candidates
from stargen.calculators.contract import CalculatorInfo, NoParams
from stargen.calculators.steps import Batch, LoadedStep, params_hash, run_steps
from stargen.crystal import Candidate, Crystal, Drop
from stargen.errors import BadResult
from stargen.model import Shape

SAMPLES = sample_candidates("s")


class Fake:
    def __init__(self, run):
        self.run = run

    def open(self, context): ...

    def close(self): ...


def step(run, name="t.step", shape=Shape.MAP, job="job", **info):
    context = LocalContext(NoParams(), job=job, use=name, seed=5)
    made = CalculatorInfo(name=name, api=1, factory="m:f", shape=shape, **info)
    return LoadedStep(made, "1.2", Fake(run), context)


def go(*steps, candidates=SAMPLES, **more):
    return run_steps(steps, Batch(list(candidates)), **more)


def keep(candidates, context):
    return candidates


def ids(batch):
    return [candidate.candidate_id for candidate in batch.candidates]


def test_candidates_go_through_the_steps_and_are_stamped():
    def measure(candidates, context):
        for candidate in candidates:
            yield candidate.with_(size=candidate.crystal.n_atoms)

    def small(candidates, context):
        for candidate in candidates:
            ok = candidate.properties["size"] < 3
            yield candidate if ok else candidate.drop("too large")

    done = go(step(measure, "t.measure"), step(small, "t.small", reuse="seeded"))
    assert ids(done) == [f"s/{i}" for i in (0, 1, 2, 3, 6)]
    assert done.drops == [
        Drop("s/4", "too large", "", "t.small"),
        Drop("s/5", "too large", "", "t.small"),
    ]
    assert done.done == 2
    stamps = done.candidates[0].provenance
    assert [(p.calculator, p.version, p.job, p.seed) for p in stamps] == [
        ("t.measure", "1.2", "job", None),
        ("t.small", "1.2", "job", 5),
    ]
    assert stamps[0].params_hash == params_hash(NoParams())


def test_children_are_named_after_parent_and_job():
    def double(candidates, context):
        for candidate in candidates:
            yield candidate.with_(k=0)
            yield candidate.with_(k=1)

    done = go(step(double), candidates=SAMPLES[:2])
    assert ids(done) == ["s/0/job.0", "s/0/job.1", "s/1/job.0", "s/1/job.1"]
    assert [c.properties["k"] for c in done.candidates] == [0, 1, 0, 1]
    twice = go(step(double), step(double, "t.again"), candidates=SAMPLES[:1])
    assert ids(twice)[:2] == ["s/0/job.0/job.0", "s/0/job.0/job.1"]


@given(st.randoms(use_true_random=False))
def test_results_follow_the_order_of_the_inputs(chance: random.Random):
    def shuffled(candidates, context):
        verdicts = [c if int(c.candidate_id[2:]) % 2 else c.drop("even") for c in candidates]
        chance.shuffle(verdicts)
        return verdicts

    done = go(step(shuffled))
    assert ids(done) == ["s/1", "s/3", "s/5"]
    assert [drop.candidate_id for drop in done.drops] == ["s/0", "s/2", "s/4", "s/6"]


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (lambda cs, c: cs[1:], "neither a candidate nor a Drop for s/0"),
        (lambda cs, c: None, "returned a NoneType instead of"),
        (lambda cs, c: [*cs, 3], "yielded a int"),
        (lambda cs, c: [*cs, Drop("x/1", "r")], "returned x/1, which is none of its inputs"),
        (lambda cs, c: [*cs, Candidate("y", cs[0].crystal)], "returned y"),
        (lambda cs, c: [*cs, cs[0].drop("r")], "both kept and dropped s/0"),
        (lambda cs, c: [*(x.drop("r") for x in cs), cs[0].drop("r")], "dropped s/0 twice"),
        (lambda cs, c: [x.with_(Crystal(None, None, None)) for x in cs], "a crystal that is none"),
        (
            lambda cs, c: [
                x.with_(Crystal(np.full((3, 3), np.nan), np.zeros((1, 3)), np.ones(1, np.uint8)))
                for x in cs
            ],
            "not finite",
        ),
    ],
)
def test_a_step_that_breaks_the_contract_is_told_so(run, words):
    with pytest.raises(BadResult, match=words) as caught:
        go(step(run))
    assert str(caught.value).startswith("t.step ")
    assert caught.value.__notes__ == ["in step t.step of job job"]


def test_what_a_calculator_raises_comes_through_with_a_note():
    def fail(candidates, context):
        yield candidates[0]
        raise ZeroDivisionError("by zero")

    with pytest.raises(ZeroDivisionError) as caught:
        go(step(keep), step(fail, "t.fail"))
    assert caught.value.__notes__ == ["in step t.fail of job job"]


def test_a_crystal_of_another_type_is_made_right():
    def single(candidates, context):
        for c in candidates:
            yield c.with_(
                Crystal(
                    c.crystal.lattice.astype(np.float32),
                    c.crystal.frac_coords.tolist(),
                    c.crystal.numbers.astype(np.int64),
                )
            )

    crystal = go(step(single)).candidates[1].crystal
    assert (crystal.lattice.dtype, crystal.frac_coords.dtype, crystal.numbers.dtype) == (
        np.float64,
        np.float64,
        np.uint8,
    )


def test_a_candidate_built_from_nothing_keeps_its_past():
    def fresh(candidates, context):
        return [Candidate(c.candidate_id, c.crystal) for c in candidates]

    done = go(step(keep, "t.one"), step(fresh, "t.two"))
    assert [p.calculator for p in done.candidates[0].provenance] == ["t.one", "t.two"]


def source(run, ordinals):
    return run_steps([step(run, shape=Shape.SOURCE)], Batch(ordinals=ordinals))


def births(candidates, context):
    for ordinal in reversed(context.ordinals):
        if ordinal == 5:
            yield context.stillborn(ordinal, "unreadable")
        else:
            yield context.birth(ordinal, SAMPLES[0].crystal)


def test_a_source_makes_its_ordinals_in_order():
    done = source(births, range(3, 7))
    assert ids(done) == ["job/3", "job/4", "job/6"]
    assert done.drops == [Drop("job/5", "unreadable", "", "t.step")]
    assert done.end_of_source is None


def test_a_source_ends_where_it_says():
    def ending(candidates, context):
        context.end_of_source(4)
        return [context.birth(3, SAMPLES[0].crystal)]

    done = source(ending, range(3, 7))
    assert (ids(done), done.end_of_source) == (["job/3"], 4)


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (lambda cs, c: [], "must make one candidate or Drop of job/0, made 0"),
        (lambda cs, c: [c.birth(0, SAMPLES[0].crystal)] * 2, "of job/0, made 2"),
        (lambda cs, c: [c.birth(i, SAMPLES[0].crystal) for i in range(3)], "made job/2"),
    ],
)
def test_a_source_makes_each_ordinal_once(run, words):
    with pytest.raises(BadResult, match=words):
        source(run, range(2))


def test_steps_after_a_source_see_its_births():
    seen = []

    def watch(candidates, context):
        seen.append(context.ordinals)
        return [c.drop("all") for c in candidates]

    done = run_steps(
        [step(births, shape=Shape.SOURCE), step(watch, "t.watch")], Batch(ordinals=range(3))
    )
    assert [drop.candidate_id for drop in done.drops] == ["job/0", "job/1", "job/2"]
    assert seen == [range(0)]


def test_steps_without_candidates_do_not_run():
    def drop_all(candidates, context):
        return [c.drop("all") for c in candidates]

    def never(candidates, context):
        raise AssertionError

    assert go(step(drop_all), step(never)).done == 2


def keyed(run, kept=(), candidates=SAMPLES):
    made = step(run, shape=Shape.KEYED, key=lambda p: lambda e: e.formula, reuse="never")
    return run_steps([made], Batch(list(candidates)), kept=kept)


def test_a_keyed_step_sees_one_key_at_a_time_and_what_it_kept():
    calls = []

    def first(candidates, context):
        calls.append(([c.candidate_id for c in candidates], [c.candidate_id for c in context.kept]))
        for i, candidate in enumerate(candidates):
            yield candidate if not (i or context.kept) else candidate.drop("duplicate")

    done = keyed(first, kept=[Candidate("old", SAMPLES[1].crystal)])
    assert calls == [
        (["s/0", "s/6"], []),
        (["s/1"], ["old"]),
        (["s/2"], []),
        (["s/3"], []),
        (["s/4"], []),
        (["s/5"], []),
    ]
    assert ids(done) == ["s/0", "s/2", "s/3", "s/4", "s/5"]
    assert [drop.candidate_id for drop in done.drops] == ["s/1", "s/6"]


def test_a_keyed_step_may_not_change_the_key():
    def change(candidates, context):
        return [c.with_(SAMPLES[2].crystal) for c in candidates]

    with pytest.raises(BadResult, match="changed the key of s/0 from Cu"):
        keyed(change)


def test_a_batch_goes_on_where_it_was_saved():
    saved = []

    def count(candidates, context):
        return [c.with_(runs=c.properties.get("runs", 0) + 1) for c in candidates]

    steps = [step(count, f"t.{i}") for i in range(3)]
    whole = run_steps(
        steps,
        Batch(list(SAMPLES)),
        after_step=lambda batch: saved.append(Batch(list(batch.candidates), done=batch.done)),
    )
    assert [batch.done for batch in saved] == [1, 2]
    again = run_steps(steps, saved[0])
    assert again.candidates == whole.candidates
    assert {c.properties["runs"] for c in again.candidates} == {3}


def test_params_hash_names_the_values():
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Params:
        a: int = 1
        b: tuple[str, ...] = ()

    assert params_hash(Params()) == params_hash(Params(a=1))
    assert params_hash(Params()) != params_hash(Params(a=2))
    assert params_hash(Params(b=("x",))) != params_hash(Params())
