"""What a calculator must be: its info read, its answers asked for, then its behaviour tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from stargen.calculators.conformance.behaviour import behaviour_flaws
from stargen.calculators.conformance.program import program_flaws
from stargen.calculators.conformance.samples import sample_candidates
from stargen.calculators.conformance.trial import Flaw, LocalContext
from stargen.calculators.contract import API_SUPPORTED, CalculatorInfo
from stargen.crystal import Candidate
from stargen.model import Chemistry, Resources, Shape
from stargen.typed import plain


def check(
    info: CalculatorInfo,
    candidates: Sequence[Candidate] | None = None,
    params: Any = None,
    *,
    folder: Path | None = None,
    chemistry: Chemistry | None = None,
    tolerance: float = 1e-9,
) -> list[Flaw]:
    """What is wrong with a calculator; an empty list if nothing is.

    Parameters
    ----------
    candidates : what to try it on; a few well-known structures by default
    params : parameters; the defaults if left out
    folder : where relative paths in the parameters lead to
    tolerance : relative, by which numbers may differ between batches (0 between equal batches)
    """
    flaws = list(_descriptor_flaws(info))
    if params is None:
        try:
            params = info.params()
        except TypeError as error:
            return [*flaws, Flaw("params", f"no defaults: {error}; give `params` to check")]
    samples = sample_candidates() if candidates is None else list(candidates)
    flaws += _answer_flaws(info, params, samples, folder or Path.cwd())
    if flaws:
        return flaws
    context = partial(LocalContext, params, use=info.name, input_folder=folder, chemistry=chemistry)
    if info.program:
        return list(program_flaws(info, samples[0], context))
    return list(behaviour_flaws(info, samples, context, tolerance))


def _descriptor_flaws(info: CalculatorInfo) -> Iterator[Flaw]:
    """What can be seen without asking anything."""
    if info.name.count(".") != 1 or not all(info.name.split(".")):
        yield Flaw("name", f"{info.name} is not plugin.verb")
    if info.api not in API_SUPPORTED:
        yield Flaw("api", f"{info.api} is not among {[*API_SUPPORTED]}")
    if info.factory.count(":") != 1:
        yield Flaw("factory", f"{info.factory} is not module:attribute")
    if not is_dataclass(info.params) or not info.params.__dataclass_params__.frozen:  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        yield Flaw("params", f"{info.params.__name__} is not a frozen dataclass")
    if (info.key is not None) != (info.shape is Shape.KEYED):
        yield Flaw("key", f"a {info.shape} has {'no ' if info.key is None else 'a '}key")
    if info.shape in (Shape.KEYED, Shape.GATHER) and info.reuse != "never":
        yield Flaw("reuse", f'a {info.shape} depends on other candidates: reuse = "never"')
    if info.program and info.shape is not Shape.MAP:
        yield Flaw("shape", f"a program is a map, not a {info.shape}")
    if info.total is not None and info.shape is not Shape.SOURCE:
        yield Flaw("total", f"a {info.shape} has no total")
    if info.grain != "auto" and info.grain < 1:
        yield Flaw("grain", f"is {info.grain}, must be at least 1")
    if not info.summary:
        yield Flaw("summary", "is missing: one line for `stargen plugins`")


def _answer_flaws(
    info: CalculatorInfo, params: Any, samples: Sequence[Candidate], folder: Path
) -> Iterator[Flaw]:
    """What the functions of the info answer."""
    envelopes = [None, *(sample.envelope for sample in samples if info.by_envelope)]
    questions: list[tuple[str, Callable[[], object], Callable[[Any], bool]]] = [
        ("resources", lambda: [info.resources(params, e) for e in envelopes], _are_requests)
    ]
    if info.affinity is not None:
        questions.append(("affinity", partial(info.affinity, params), _is_text_or_none))
    if info.total is not None:
        questions.append(("total", partial(info.total, params), _is_count_or_none))
    if info.check is not None:
        questions.append(("check", partial(_listed, info.check, params, folder), _are_texts))
    if info.reads is not None:
        questions.append(("reads", partial(_listed, info.reads, params), _are_texts))
    if info.key is not None:
        key_of = info.key(params)
        questions.append(("key", lambda: [key_of(s.envelope) for s in samples], _are_texts))
    for rule, question, fits in questions:
        try:
            answer = question()
        except Exception as error:
            yield Flaw(rule, f"raised {type(error).__name__}: {error}")
            continue
        if not fits(answer):
            yield Flaw(rule, f"answered {answer!r}")
        elif rule == "check" and answer:
            yield Flaw(rule, f"refuses the parameters tried: {answer}")
    for field in fields(info.params):
        try:
            plain(getattr(params, field.name))
        except Exception as error:
            yield Flaw("params", f"{field.name} cannot be written down: {error}")


def _listed(question: Callable[..., Any], *arguments: Any) -> list[Any]:
    return list(question(*arguments))


def _are_requests(answer: list[Any]) -> bool:
    return all(
        isinstance(request, tuple) and _is_request(cast("tuple[Any, ...]", request))
        for request in answer
    )


def _is_request(request: tuple[Any, ...]) -> bool:
    return bool(request) and all(isinstance(variant, Resources) for variant in request)


def _are_texts(answer: Any) -> bool:
    return all(isinstance(text, str) for text in answer)


def _is_text_or_none(answer: Any) -> bool:
    return answer is None or isinstance(answer, str)


def _is_count_or_none(answer: Any) -> bool:
    return answer is None or (isinstance(answer, int) and answer >= 0)
