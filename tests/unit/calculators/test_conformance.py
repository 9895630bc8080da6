import sys
from dataclasses import dataclass, replace
from types import ModuleType

import pytest

from stargen.calculators.conformance import (
    check,
    program,
    sample_candidates,
    sample_crystals,
)
from stargen.calculators.contract import CalculatorInfo, Command
from stargen.calculators.registry import Registry
from stargen.model import Resources, Shape
from stargen.processes import process_of


@dataclass(frozen=True)
class Params:
    factor: float = 1.0


class Good:
    """Volume per atom; keeps a checkpoint of how far it is."""

    def open(self, context):
        self.count = 0

    def run(self, candidates, context):
        for candidate in candidates:
            self.count += 1
            crystal = candidate.crystal
            if crystal.n_atoms == 1:
                yield candidate.drop("one atom")
            else:
                yield candidate.with_(volume=crystal.volume / crystal.n_atoms)

    def close(self): ...


def unstable(change):
    class Bad(Good):
        def run(self, candidates, context):
            return change(self, candidates, context, super().run(candidates, context))

    return Bad


@pytest.fixture
def info(monkeypatch):
    module = ModuleType("fake_calculator")
    module.Good = Good
    monkeypatch.setitem(sys.modules, "fake_calculator", module)
    return CalculatorInfo(
        name="t.volume",
        api=1,
        factory="fake_calculator:Good",
        params=Params,
        properties=("volume",),
        summary="volume",
    )


def use(info, cls, **more):
    sys.modules["fake_calculator"].Good = cls
    return replace(info, **more)


def rules(info, **more):
    return [flaw.rule for flaw in check(info, **more)]


def test_a_good_calculator_has_no_flaw(info):
    assert check(info) == []


@pytest.mark.parametrize("name", ["echo.source", "echo.map", "echo.keyed", "echo.gather"])
def test_the_echo_calculators_have_no_flaw(name):
    assert check(Registry.installed({}).calculator(name)) == []


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"name": "volume"}, "name"),
        ({"api": 9}, "api"),
        ({"factory": "fake_calculator.Good"}, "factory"),
        ({"params": dataclass(type("Thawed", (), {}))}, "params"),
        ({"shape": Shape.KEYED}, "key"),
        ({"shape": Shape.GATHER}, "reuse"),
        ({"total": lambda p: 3}, "total"),
        ({"grain": 0}, "grain"),
        ({"summary": ""}, "summary"),
        ({"resources": lambda p, e: Resources()}, "resources"),
        ({"resources": lambda p, e: 1 / 0}, "resources"),
        ({"affinity": lambda p: 3}, "affinity"),
        ({"check": lambda p, folder: ["no such file"]}, "check"),
        ({"reads": lambda p: [3]}, "reads"),
        ({"properties": ()}, "properties"),
        ({"factory": "fake_calculator:Absent"}, "run"),
    ],
)
def test_a_flaw_of_the_info_is_found(info, change, rule):
    assert rule in rules(replace(info, **change))


def inputs(self, candidates, context, results):
    candidates[1].crystal.lattice[0, 0] += 1.0
    return results


def forgetful(self, candidates, context, results):
    return list(results)[1:]


def counting(self, candidates, context, results):
    for result in results:
        yield result if not hasattr(result, "with_") else result.with_(volume=float(self.count))


_RUNS = []


def restless(self, candidates, context, results):
    _RUNS.append(None)
    for result in results:
        yield result if not hasattr(result, "with_") else result.with_(volume=float(len(_RUNS)))


def unwritable(self, candidates, context, results):
    for result in results:
        yield result if not hasattr(result, "with_") else result.with_(data={"x": object()})


def wordy(self, candidates, context, results):
    return [c.drop(f"{c.candidate_id} " * 20) for c in candidates]


def failing(self, candidates, context, results):
    raise RuntimeError("no weights")


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (inputs, "inputs"),
        (forgetful, "contract"),
        (counting, "batches"),
        (restless, "repeat"),
        (unwritable, "data"),
        (wordy, "drops"),
        (failing, "run"),
    ],
)
def test_a_flaw_of_behaviour_is_found(info, change, rule):
    assert rule in rules(use(info, unstable(change)))


class Resumer(Good):
    """Says after a resumption what it would have said without."""

    honest = True

    def run(self, candidates, context):
        start = int(context.resume() or b"0")
        context.checkpoint(b"3")
        for candidate in candidates:
            yield candidate.with_(volume=3.0 if self.honest else float(start))


def test_a_resumed_run_must_come_to_the_same(info):
    assert check(use(info, Resumer, checkpoint="state")) == []
    dishonest = type("Dishonest", (Resumer,), {"honest": False})
    assert rules(use(info, dishonest, checkpoint="state")) == ["resume"]


def test_tolerance_is_for_batches(info):
    def noisy(self, candidates, context, results):
        for result in results:
            if hasattr(result, "with_"):
                result = result.with_(volume=1.0 + 1e-7 * len(candidates))
            yield result

    assert rules(use(info, unstable(noisy))) == ["batches"]
    assert rules(use(info, unstable(noisy)), tolerance=1e-5) == []


def test_parameters_without_defaults_must_be_given(info):
    @dataclass(frozen=True)
    class Needy:
        factor: float

    assert rules(replace(info, params=Needy)) == ["params"]
    assert rules(replace(info, params=Needy), params=Needy(1.0)) == []


class Greeting:
    def __init__(self):
        self.argv = ("sh", "-c", "echo 1 > out")

    def prepare(self, candidate, folder, context):
        (folder / "in").write_text(candidate.candidate_id)
        return Command(self.argv)

    def watch(self, folder):
        return None

    def correct(self, finding, folder):
        return None

    def stop(self, folder):
        return False

    def collect(self, candidate, folder, context):
        return candidate.with_(volume=float((folder / "out").read_text()))


def test_a_program_is_run_where_it_is_installed(info):
    assert check(use(info, Greeting, program=True)) == []


def test_a_program_that_takes_long_is_ended_and_no_worse_for_it(info, monkeypatch, tmp_path):
    class Slow(Greeting):
        def prepare(self, candidate, folder, context):
            return Command(("sh", "-c", f"sleep 600 & echo $! >{tmp_path}/pid; wait"))

    monkeypatch.setattr(program, "_LONGEST_S", 1.0)
    assert check(use(info, Slow, program=True)) == []
    assert process_of(int((tmp_path / "pid").read_text())) is None


def test_flaws_of_a_program_are_found(info):
    stranger = type("Stranger", (Greeting,), {"collect": lambda self, c, f, x: None})
    assert rules(use(info, stranger, program=True)) == ["contract"]
    silent = type("Silent", (Greeting,), {"prepare": lambda self, c, f, x: None})
    assert rules(use(info, silent, program=True)) == ["prepare"]
    assert rules(use(info, Good, program=True)) == ["factory"]
    assert rules(use(info, Greeting, program=True, shape=Shape.SOURCE)) == ["shape"]


def test_samples_are_sound():
    assert sample_crystals()["rock salt"].formula == "ClNa"
    samples = sample_candidates()
    assert samples[0].crystal == samples[-1].crystal
    assert len({sample.candidate_id for sample in samples}) == len(samples)
