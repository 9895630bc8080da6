"""Whether a stop condition can work: the target is reached while sources run, and a ceiling holds.

A target behind a job that waits for its input to end would be reached only when there is nothing
left to stop; a source that may never end needs a bound beside the target, because the target may
be out of reach.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from stargen.model import StopSpec
from stargen.scheduling.graph import Inputs, upstream


class Flow(NamedTuple):
    """How candidates pass a job, as far as stopping is concerned.

    Parameters
    ----------
    waits : True if nothing comes out before all has come in
    endless : True for a source that may never end
    most : the most that it lets through, if that is known
    """

    waits: bool = False
    endless: bool = False
    most: int | None = None


class Objection(NamedTuple):
    """What is wrong with a key of the stop condition."""

    key: str
    problem: str
    hint: str | None = None


def objections(stop: StopSpec, inputs: Inputs, flows: Mapping[str, Flow]) -> Iterator[Objection]:
    """Why this condition would not stop the campaign as meant; nothing if it would."""
    reached = upstream(inputs, stop.job, lambda job: not flows[job].waits)
    blocker = next((job for job in reached if flows[job].waits), None)
    if blocker is not None and all(inputs[job] for job in reached):
        problem = (
            f"{blocker} waits until everything upstream has ended, so there is nothing to stop"
        )
        yield Objection("job", problem, "name a job that passes candidates on at once")
    most = flows[stop.job].most
    if most is not None and most < stop.kept:
        yield Objection("kept", f"{stop.job} keeps at most {most}, it never reaches {stop.kept}")
    endless = next((job for job in reached if flows[job].endless), None)
    if endless is not None and stop.max_candidates is None and stop.max_node_hours is None:
        problem = f"{endless} may never end, and nothing bounds the search for {stop.kept}"
        yield Objection("", problem, "add max_candidates = ... or max_node_hours = ...")
