"""A batch goes through a job's steps: each step's outputs are checked, named and stamped.

The contract, kept here for the runner and for plugin tests alike: every input comes out as at
least one candidate or as one Drop that bears its id; what comes out follows the order of what went
in, however the calculator yields it, so a result depends neither on threads nor on hash order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from typing import Any, cast

from stargen.calculators.context import BaseContext, birth_id
from stargen.calculators.contract import Calculator, CalculatorInfo, Program
from stargen.crystal import Candidate, Crystal, Drop, Envelope
from stargen.errors import BadResult
from stargen.model import Shape
from stargen.provenance import Provenance, one_more


@dataclass(frozen=True, slots=True)
class LoadedStep:
    """One step of a job, ready to run in this process.

    Parameters
    ----------
    info : what was announced
    version : of the distribution that brought it
    calculator : made by the info's factory, opened
    context : what it is given
    """

    info: CalculatorInfo
    version: str
    calculator: Calculator | Program
    context: BaseContext
    stamp: Provenance = field(init=False)

    def __post_init__(self) -> None:
        seed = None if self.info.reuse == "pure" else self.context.seed
        stamp = Provenance(
            self.info.name, self.version, self.context.job, params_hash(self.context.params), seed
        )
        object.__setattr__(self, "stamp", stamp)


@dataclass(slots=True)
class Batch:
    """Candidates part of the way through a job's steps; `done` steps lie behind them.

    `ordinals`: for a source, what to make. `end_of_source`: the first ordinal that does not exist.
    """

    candidates: list[Candidate] = field(default_factory=list[Candidate])
    ordinals: range = range(0)
    drops: list[Drop] = field(default_factory=list[Drop])
    end_of_source: int | None = None
    done: int = 0


def run_steps(
    steps: Sequence[LoadedStep],
    batch: Batch,
    *,
    kept: Sequence[Candidate] = (),
    after_step: Callable[[Batch], None] | None = None,
) -> Batch:
    """Take a batch through the steps that it has not done yet, changing it in place.

    Parameters
    ----------
    steps : those of the job; calculators only, programs are run by their host
    batch : its candidates' ids differ from each other
    kept : for a keyed job, what the keys of the batch have kept so far, in journal order
    after_step : called after each step but the last, to save the batch or to stop by raising

    Raises
    ------
    BadResult : a step broke the contract
    Exception : whatever a calculator raises, with a note that names the step
    """
    while batch.done < len(steps) and (batch.candidates or batch.ordinals):
        step = steps[batch.done]
        step.context.begin(batch.ordinals)
        try:
            match step.info.shape:
                case Shape.SOURCE:
                    candidates, drops = _run_source(step)
                    batch.end_of_source, batch.ordinals = step.context.source_end, range(0)
                case Shape.KEYED:
                    candidates, drops = _run_keyed(step, batch.candidates, kept)
                case Shape.MAP | Shape.GATHER:
                    outputs = _run(step, batch.candidates)
                    candidates, drops = settle(step, batch.candidates, outputs)
        except Exception as error:
            error.add_note(f"in step {step.info.name} of job {step.context.job}")
            raise
        batch.candidates = candidates
        batch.drops += drops
        batch.done += 1
        if after_step is not None and batch.done < len(steps):
            after_step(batch)
    batch.done = len(steps)
    return batch


def settle(
    step: LoadedStep, inputs: Sequence[Candidate], outputs: Iterable[object]
) -> tuple[list[Candidate], list[Drop]]:
    """Check what a map, keyed or gather step made of `inputs`; name, stamp and order it.

    Several candidates of one parent are renamed ``parent/job.k``; one alone keeps the id.

    Raises
    ------
    BadResult : something that is neither candidate nor Drop, of an unknown parent, an input
        without a fate or with two, or a crystal that is none
    """
    children, verdicts = _by_parent(step, outputs)
    candidates: list[Candidate] = []
    drops: list[Drop] = []
    for parent in inputs:
        name = parent.candidate_id
        mine, drop = children.pop(name, None), verdicts.pop(name, None)
        if drop is not None:
            if mine:
                raise _bad(step, f"both kept and dropped {name}")
            drops.append(drop)
        elif mine is None:
            raise _bad(step, f"returned neither a candidate nor a Drop for {name}")
        elif len(mine) == 1:
            candidates.append(_stamped(step, mine[0], parent, name))
        else:
            job = step.context.job
            candidates += [
                _stamped(step, child, parent, f"{name}/{job}.{k}") for k, child in enumerate(mine)
            ]
    stray = next(iter([*children, *verdicts]), None)
    if stray is not None:
        raise _bad(step, f"returned {stray}, which is none of its inputs")
    return candidates, drops


def params_hash(params: Any) -> str:
    """A short name for the exact parameters (a dataclass of plain values)."""
    canonical = json.dumps(asdict(params), sort_keys=True, default=str)
    return blake2b(canonical.encode(), digest_size=8).hexdigest()


def _run(step: LoadedStep, candidates: Sequence[Candidate]) -> list[object]:
    """What the calculator yields, all of it."""
    result = cast("object", cast("Calculator", step.calculator).run(candidates, step.context))
    if not isinstance(result, Iterable):
        raise _bad(step, f"returned a {type(result).__name__} instead of candidates and Drops")
    return list(cast("Iterable[object]", result))


def _run_source(step: LoadedStep) -> tuple[list[Candidate], list[Drop]]:
    """Each ordinal asked for was born or stillborn once, up to the end of the source."""
    context = step.context
    children, verdicts = _by_parent(step, _run(step, ()))
    candidates: list[Candidate] = []
    drops: list[Drop] = []
    for ordinal in context.ordinals:
        if context.source_end is not None and ordinal >= context.source_end:
            break
        name = birth_id(context.job, ordinal)
        mine, drop = children.pop(name, []), verdicts.pop(name, None)
        if len(mine) + (drop is not None) != 1:
            raise _bad(step, f"must make one candidate or Drop of {name}, made {len(mine)}")
        if drop is not None:
            drops.append(drop)
        else:
            candidates.append(_stamped(step, mine[0], None, name))
    stray = next(iter([*children, *verdicts]), None)
    if stray is not None:
        raise _bad(step, f"made {stray}, which was not asked for; ordinals are {context.ordinals}")
    return candidates, drops


def _run_keyed(
    step: LoadedStep, candidates: Sequence[Candidate], kept: Sequence[Candidate]
) -> tuple[list[Candidate], list[Drop]]:
    """One call per key, keys in order of appearance."""
    assert step.info.key is not None
    key_of = step.info.key(step.context.params)
    groups, kept_groups = _by_key(key_of, candidates), _by_key(key_of, kept)
    outputs: list[object] = []
    for key, group in groups.items():
        step.context.kept = kept_groups.get(key, [])
        for output in _run(step, group):
            if isinstance(output, Candidate) and key_of(output.envelope) != key:
                raise _bad(step, f"changed the key of {output.candidate_id} from {key}")
            outputs.append(output)
    return settle(step, candidates, outputs)


def _by_key(
    key_of: Callable[[Envelope], str], candidates: Iterable[Candidate]
) -> dict[str, list[Candidate]]:
    groups: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        groups.setdefault(key_of(candidate.envelope), []).append(candidate)
    return groups


def _by_parent(
    step: LoadedStep, outputs: Iterable[object]
) -> tuple[dict[str, list[Candidate]], dict[str, Drop]]:
    children: dict[str, list[Candidate]] = {}
    verdicts: dict[str, Drop] = {}
    for output in outputs:
        if isinstance(output, Candidate):
            children.setdefault(output.candidate_id, []).append(output)
        elif isinstance(output, Drop):
            if output.candidate_id in verdicts:
                raise _bad(step, f"dropped {output.candidate_id} twice")
            verdicts[output.candidate_id] = output._replace(step=step.info.name)
        else:
            raise _bad(step, f"yielded a {type(output).__name__}, not a Candidate or Drop")
    return children, verdicts


def _stamped(
    step: LoadedStep, child: Candidate, parent: Candidate | None, candidate_id: str
) -> Candidate:
    """The child with its name and one more line of provenance.

    A child built from nothing inherits its parent's provenance. Only a crystal that the step made
    itself is checked: filters hand on the one they were given.
    """
    crystal, past = child.crystal, child.provenance
    if parent is None or crystal is not parent.crystal:
        crystal = _sound(step, child)
    if parent is not None and not past:
        past = parent.provenance
    history = one_more(past, step.stamp)
    return replace(child, candidate_id=candidate_id, crystal=crystal, provenance=history)


def _sound(step: LoadedStep, child: Candidate) -> Crystal:
    crystal = child.crystal
    try:
        return Crystal.of(crystal.lattice, crystal.frac_coords, crystal.numbers)
    except (ValueError, TypeError, AttributeError) as error:
        raise _bad(step, f"gave {child.candidate_id} a crystal that is none: {error}") from error


def _bad(step: LoadedStep, problem: str) -> BadResult:
    return BadResult(f"{step.info.name} {problem}")
