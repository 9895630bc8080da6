"""What a task of several steps needs, and whether any configured node can give it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from stargen.calculators.contract import CalculatorInfo
from stargen.crystal import Envelope
from stargen.model import Request, Resources, Scratch
from stargen.scheduling.distributor import Distributor

_SCRATCH: tuple[Scratch, ...] = ("none", "local", "ram")


class NodeOffer(NamedTuple):
    """A node as the site file promises it."""

    pool: str
    resources: Resources


def combined(requests: Sequence[Request]) -> Request:
    """One request for steps that run one after another in the same place.

    Each variant takes the most that any step needs, and the time of all of them; a step with fewer
    variants takes part with its last.
    """
    width = max(map(len, requests))
    return tuple(
        _most([request[min(variant, len(request) - 1)] for request in requests])
        for variant in range(width)
    )


def request_by_envelope(
    infos: Sequence[CalculatorInfo], params: Sequence[Any]
) -> Callable[[Envelope], Request] | None:
    """The request as a function of the candidate, if any step asks to see it."""
    if not any(info.by_envelope for info in infos):
        return None
    steps = list(zip(infos, params, strict=True))

    def request_of(envelope: Envelope) -> Request:
        return combined([info.resources(own, envelope) for info, own in steps])

    return request_of


def impossible(
    request: Request, pool: str | None, offers: Sequence[tuple[str, Resources]]
) -> str | None:
    """Why no node that is offered can ever run such a task; None if one can."""
    inside = [has for name, has in offers if pool in (None, name)]
    reasons: list[str] = []
    for variant in request:
        able = _most_in_a_pool(variant, pool, offers)
        if able >= variant.nodes:
            return None
        if able:
            reasons.append(f"{variant.nodes} nodes, and {able} can take part")
        else:
            reasons.append(_shortfall(variant, inside))
    where = "any pool" if pool is None else f"pool {pool}"
    return f"no node of {where} can run it: it asks for {'; or '.join(reasons)}"


def _most_in_a_pool(
    variant: Resources, pool: str | None, offers: Sequence[tuple[str, Resources]]
) -> int:
    """How many nodes of one pool can take part in such a task."""
    able: dict[str, int] = {}
    for name, has in offers:
        if pool in (None, name) and Distributor(has).slots(variant):
            able[name] = able.get(name, 0) + 1
    return max(able.values(), default=0)


def _most(variants: Sequence[Resources]) -> Resources:
    times = [variant.walltime_s for variant in variants]
    custom: dict[str, float] = {}
    for variant in variants:
        for name, amount in variant.custom:
            custom[name] = max(amount, custom.get(name, 0.0))
    return Resources(
        cores=max(v.cores for v in variants),
        gpus=max(v.gpus for v in variants),
        memory_gib=max(v.memory_gib for v in variants),
        scratch_gib=max(v.scratch_gib for v in variants),
        io=max(v.io for v in variants),
        nodes=max(v.nodes for v in variants),
        walltime_s=None if None in times else sum(time for time in times if time is not None),
        scratch=_SCRATCH[max(_SCRATCH.index(v.scratch) for v in variants)],
        custom=tuple(sorted(custom.items())),
    )


def _shortfall(variant: Resources, nodes: Sequence[Resources]) -> str:
    """What is asked for that no node has; all of it if only the combination is too much."""
    asked = _amounts(variant)
    best = {name: max((_amounts(n).get(name, 0.0) for n in nodes), default=0.0) for name in asked}
    lacking = {name: amount for name, amount in asked.items() if amount > best[name]}
    return ", ".join(
        f"{amount:g} {_WORDS.get(name, name)} (the most is {best[name]:g})"
        for name, amount in (lacking or asked).items()
    )


_WORDS = {"memory_gib": "GiB of memory", "scratch_gib": "GiB of scratch", "io": "IO slots"}


def _amounts(resources: Resources) -> dict[str, float]:
    plain = {
        "cores": float(resources.cores),
        "gpus": resources.gpus,
        "memory_gib": resources.memory_gib,
        "scratch_gib": resources.scratch_gib,
        "io": float(resources.io),
        **dict(resources.custom),
    }
    return {name: amount for name, amount in plain.items() if amount}
