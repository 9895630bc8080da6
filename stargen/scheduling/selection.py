"""What a select lets through, compiled: a predicate for `where`, a rank for best or sample."""

from __future__ import annotations

from collections.abc import Callable, Collection
from hashlib import blake2b
from math import isfinite

from stargen.codec import pack
from stargen.crystal import Envelope
from stargen.errors import UserError
from stargen.expressions import BUILTINS, ValueKind, evaluate, parse
from stargen.model import SelectSpec
from stargen.typed import unknown_hint

Predicate = Callable[[Envelope], bool]
Rank = Callable[[Envelope], float | None]


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
    if known is not None and name not in known and name not in BUILTINS:
        raise UserError(f"no candidate bears `{name}` here", hint=unknown_hint(name, sorted(known)))
    builtin = _BUILTIN_NUMBERS.get(name)

    def rank(envelope: Envelope) -> float | None:
        value = envelope.properties.get(name) if builtin is None else builtin(envelope)
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            return None
        return sign * value

    return rank


_BUILTIN_NUMBERS: dict[str, Callable[[Envelope], int]] = {
    "nelements": lambda envelope: len(envelope.elements),
    "nsites": lambda envelope: envelope.n_atoms,
    "n_atoms": lambda envelope: envelope.n_atoms,
}


def _chance(seed: int, candidate_id: str) -> float:
    """A number in [0, 1) that depends on nothing else: a sample does not change with timing."""
    digest = blake2b(pack((seed, candidate_id)), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53
