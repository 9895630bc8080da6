"""What a select lets through, compiled: a predicate, a rank for best or sample, groups of `per`."""

from __future__ import annotations

from collections.abc import Callable, Collection
from hashlib import blake2b
from math import isfinite

from stargen.codec import pack
from stargen.crystal import Envelope
from stargen.errors import UserError
from stargen.expressions import BUILTINS, ValueKind, evaluate, getter, kind_of, parse
from stargen.model import SelectSpec
from stargen.typed import unknown_hint

Predicate = Callable[[Envelope], bool]
Rank = Callable[[Envelope], float | None]
Group = Callable[[Envelope], str | None]


def predicate_of(select: SelectSpec, known: Collection[str] | None) -> Predicate | None:
    """The test that `where` states.

    Parameters
    ----------
    known : properties that candidates may bear; None if only the run will show

    Raises
    ------
    ExpressionError : if it cannot be read, or names a property that no candidate will bear
    """
    if select.where is None:
        return None
    expression = parse(select.where, known)
    return lambda envelope: evaluate(expression, envelope)


def rank_of(select: SelectSpec, seed: int, known: Collection[str] | None) -> Rank | None:
    """The number to sort by, smallest first; None for a candidate without it.

    Raises
    ------
    UserError : if `order_by` names a property that no candidate will bear, or is no number
    """
    if select.sample is not None:
        return lambda envelope: _chance(seed, envelope.candidate_id)
    if select.order_by is None:
        return None
    name = select.order_by.removeprefix("-")
    sign = -1.0 if select.order_by.startswith("-") else 1.0
    if BUILTINS.get(name, ValueKind.NUMBER) is not ValueKind.NUMBER:
        raise UserError(f"{name} is no number to sort by")
    _check_known(name, known, [each for each, kind in BUILTINS.items() if kind is ValueKind.NUMBER])
    get = getter(name)

    def rank(envelope: Envelope) -> float | None:
        value = get(envelope)
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            return None
        return sign * value

    return rank


def group_of(select: SelectSpec, known: Collection[str] | None) -> Group | None:
    """What stands for the group that a candidate belongs to; None for one that has no such value.

    Raises
    ------
    UserError : if `per` names a property that no candidate will bear
    """
    if select.per is None:
        return None
    name = select.per
    _check_known(name, known, BUILTINS)
    get = getter(name)

    def group(envelope: Envelope) -> str | None:
        value = get(envelope)
        kind = kind_of(value)
        return None if kind is None else f"{kind}:{value}"

    return group


def _check_known(name: str, known: Collection[str] | None, builtins: Collection[str]) -> None:
    """UserError if candidates answer to no such name."""
    if known is not None and name not in known and name not in builtins:
        hint = unknown_hint(name, sorted({*known, *builtins}))
        raise UserError(f"no candidate bears `{name}` here", hint=hint)


def _chance(seed: int, candidate_id: str) -> float:
    """A number in [0, 1) that depends on nothing else: a sample does not change with timing."""
    digest = blake2b(pack((seed, candidate_id)), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53
