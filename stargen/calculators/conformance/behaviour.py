"""How a calculator behaves when it runs: what the conformance kit tries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from stargen.calculators.conformance.agreement import difference
from stargen.calculators.conformance.trial import Flaw, LocalContext, failure, run
from stargen.calculators.contract import CalculatorInfo
from stargen.calculators.steps import Batch
from stargen.crystal import Candidate, decode_entry, encode_entry
from stargen.errors import BadResult
from stargen.model import Shape

NewContext = Callable[[], LocalContext]

_SOURCE_SAMPLE = 6
_REASON_LENGTH = 60


def behaviour_flaws(
    info: CalculatorInfo, samples: Sequence[Candidate], new_context: NewContext, tolerance: float
) -> Iterator[Flaw]:
    """Run a calculator in several ways that must all come to the same."""
    context = new_context()
    before = [encode_entry(sample) for sample in samples]
    try:
        whole = _batch(info, samples, context)
    except Exception as error:
        yield failure(error)
        return
    if [encode_entry(sample) for sample in samples] != before:
        yield Flaw("inputs", "the candidates it was given were changed in place")
    yield from _result_flaws(info, samples, whole)
    state = context.state
    repeats: list[tuple[str, str, float, Callable[[], Batch]]] = [
        ("repeat", "a second run", 0.0, lambda: _batch(info, samples, new_context()))
    ]
    if info.shape is not Shape.GATHER:
        split = _split_source if info.shape is Shape.SOURCE else _split_candidates
        repeats.append(
            ("batches", "smaller batches", tolerance, lambda: split(info, samples, new_context))
        )
    if info.checkpoint == "state" and state is not None:
        repeats.append(
            (
                "resume",
                "a resumed run",
                tolerance,
                lambda: _resumed(info, samples, new_context, state),
            )
        )
    for rule, what, allowed, again in repeats:
        try:
            differs = difference(whole, again(), allowed)
        except Exception as error:
            differs = failure(error).problem
        if differs:
            yield Flaw(rule, f"{what} came to something else: {differs}")


def _batch(info: CalculatorInfo, samples: Sequence[Candidate], context: LocalContext) -> Batch:
    if info.shape is Shape.SOURCE:
        return run(info, context=context, ordinals=_ordinals(info, context))
    return run(info, samples, context=context)


def _ordinals(info: CalculatorInfo, context: LocalContext) -> range:
    total = info.total(context.params) if info.total is not None else None
    return range(_SOURCE_SAMPLE if total is None else min(total, _SOURCE_SAMPLE))


def _split_source(
    info: CalculatorInfo, samples: Sequence[Candidate], new_context: NewContext
) -> Batch:
    together = Batch()
    for ordinal in _ordinals(info, new_context()):
        if together.end_of_source is not None and ordinal >= together.end_of_source:
            break
        part = run(info, context=new_context(), ordinals=range(ordinal, ordinal + 1))
        together.candidates += part.candidates
        together.drops += part.drops
        together.end_of_source = part.end_of_source
    return together


def _split_candidates(
    info: CalculatorInfo, samples: Sequence[Candidate], new_context: NewContext
) -> Batch:
    """One by one; a keyed calculator is shown what it has kept."""
    together = Batch()
    for sample in samples:
        part = run(info, [sample], context=new_context(), kept=together.candidates)
        together.candidates += part.candidates
        together.drops += part.drops
    return together


def _resumed(
    info: CalculatorInfo, samples: Sequence[Candidate], new_context: NewContext, state: bytes
) -> Batch:
    context = new_context()
    context.state = state
    return _batch(info, samples, context)


def _result_flaws(
    info: CalculatorInfo, samples: Sequence[Candidate], result: Batch
) -> Iterator[Flaw]:
    """What came out can be written, is declared, and says why it dropped what it dropped."""
    known = {name for sample in samples for name in sample.properties} | set(info.properties)
    undeclared: dict[str, None] = {}
    for candidate in result.candidates:
        try:
            decode_entry(encode_entry(candidate))
        except BadResult as error:
            yield Flaw("data", str(error))
        undeclared.update(dict.fromkeys(name for name in candidate.properties if name not in known))
    if undeclared and "*" not in info.properties:
        yield Flaw("properties", f"adds {', '.join(undeclared)}, which the info does not name")
    for drop in result.drops:
        if not drop.reason or len(drop.reason) > _REASON_LENGTH or "\n" in drop.reason:
            yield Flaw("drops", f"{drop.reason!r} is no short reason; what varies goes into detail")
            break
