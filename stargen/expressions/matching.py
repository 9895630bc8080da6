"""From the tree to a test of envelopes: closures, made once, asked millions of times."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from math import inf
from typing import Any

from stargen.crystal import Envelope, Scalar
from stargen.elements import formula_elements
from stargen.expressions.tree import (
    And,
    Comparison,
    Constant,
    Has,
    Known,
    Length,
    Name,
    Node,
    Not,
    Or,
    Relation,
    TextMatch,
    ValueKind,
    kind_of,
)

Test = Callable[[Envelope], bool | None]


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed filter.

    Parameters
    ----------
    text : as it was written
    root : its tree
    names : the properties that it reads; built-ins are not among them
    test : True, False, or None for unknown
    """

    text: str
    root: Node
    names: frozenset[str]
    test: Test = field(repr=False, compare=False)


def evaluate(expression: Expression, envelope: Envelope) -> bool:
    """True if the candidate matches."""
    return expression.test(envelope) is True


_RELATIONS: dict[Relation, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def compile_test(node: Node) -> Test:
    """The test that a tree stands for."""
    match node:
        case Comparison():
            return _compile_comparison(node)
        case Known(name, known):
            return _compile_known(getter(name), known)
        case TextMatch():
            return _compile_text(node)
        case Has():
            return _compile_has(node)
        case Length(_, relation, number):
            return _compile_length(_RELATIONS[relation], number)
        case Not(part):
            return _compile_not(compile_test(part))
        case And(parts):
            return _compile_joined(tuple(compile_test(part) for part in parts), decided=False)
        case Or(parts):
            return _compile_joined(tuple(compile_test(part) for part in parts), decided=True)


def _compile_joined(tests: tuple[Test, ...], *, decided: bool) -> Test:
    """AND is decided by the first False, OR by the first True; else by whether all are known."""

    def joined(envelope: Envelope) -> bool | None:
        result: bool | None = not decided
        for test in tests:
            answer = test(envelope)
            if answer is decided:
                return decided
            if answer is None:
                result = None
        return result

    return joined


def _compile_not(test: Test) -> Test:
    def negated(envelope: Envelope) -> bool | None:
        answer = test(envelope)
        return None if answer is None else not answer

    return negated


def _compile_comparison(node: Comparison) -> Test:
    relation = _RELATIONS[node.relation]
    if isinstance(node.left, Constant):
        assert isinstance(node.right, Constant)
        answer = _related(relation, node.left.value, node.right.value)
        return lambda _: answer
    get = getter(node.left.name)
    if isinstance(node.right, Constant):
        return _compile_against(relation, get, node.right)
    get_other = getter(node.right.name)
    return lambda envelope: _related(relation, get(envelope), get_other(envelope))


def _compile_against(relation: Callable[[Any, Any], bool], get: Getter, constant: Constant) -> Test:
    value = constant.value

    def against_number(envelope: Envelope) -> bool | None:
        mine = get(envelope)
        if (type(mine) is float or type(mine) is int) and -inf < mine < inf:
            return relation(mine, value)
        return None

    def against_other(envelope: Envelope) -> bool | None:
        mine = get(envelope)
        return relation(mine, value) if type(mine) is type(value) else None

    return against_number if constant.kind is ValueKind.NUMBER else against_other


def _related(relation: Callable[[Any, Any], bool], one: Scalar, other: Scalar) -> bool | None:
    kind = kind_of(one)
    if kind is None or kind is not kind_of(other):
        return None
    if kind is ValueKind.FLAG and relation not in (operator.eq, operator.ne):
        return None
    return relation(one, other)


def _compile_known(get: Getter, known: bool) -> Test:
    return lambda envelope: (kind_of(get(envelope)) is not None) is known


def _compile_text(node: TextMatch) -> Test:
    matches: Callable[[str, Any], bool] = {
        "CONTAINS": operator.contains,
        "STARTS": str.startswith,
        "ENDS": str.endswith,
    }[node.where]
    get, get_part = getter(node.name), _value_getter(node.part)

    def test(envelope: Envelope) -> bool | None:
        text, part = get(envelope), get_part(envelope)
        return matches(text, part) if isinstance(text, str) and isinstance(part, str) else None

    return test


def _compile_has(node: Has) -> Test:
    if all(relation == "=" for relation, _ in node.entries):
        wanted = frozenset(text for _, text in node.entries)
        match node.mode:
            case "ALL":
                return lambda envelope: wanted <= _elements(envelope.formula)
            case "ANY":
                return lambda envelope: not wanted.isdisjoint(_elements(envelope.formula))
            case "ONLY":
                return lambda envelope: _elements(envelope.formula) <= wanted
    tests = tuple((_RELATIONS[relation], text) for relation, text in node.entries)

    def has(envelope: Envelope) -> bool:
        elements = _elements(envelope.formula)
        if node.mode == "ALL":
            return all(any(fits(symbol, text) for symbol in elements) for fits, text in tests)
        each = (any(fits(symbol, text) for fits, text in tests) for symbol in elements)
        return any(each) if node.mode == "ANY" else all(each)

    return has


def _compile_length(relation: Callable[[Any, Any], bool], number: float) -> Test:
    return lambda envelope: relation(len(_elements(envelope.formula)), number)


Getter = Callable[[Envelope], Scalar]


def getter(name: str) -> Getter:
    """What gives a candidate's value of that name, a built-in or a property; None without one."""
    match name:
        case "id":
            return lambda envelope: envelope.candidate_id
        case "formula" | "chemical_formula_reduced":
            return lambda envelope: envelope.formula
        case "nelements":
            return lambda envelope: len(_elements(envelope.formula))
        case "nsites" | "n_atoms":
            return lambda envelope: envelope.n_atoms
        case "elements":  # the chemical system
            return lambda envelope: "-".join(sorted(_elements(envelope.formula)))
        case _:
            return lambda envelope: envelope.properties.get(name)


def _value_getter(value: Name | Constant) -> Getter:
    if isinstance(value, Name):
        return getter(value.name)
    constant = value.value
    return lambda _: constant


@lru_cache(maxsize=65536)
def _elements(formula: str) -> frozenset[str]:
    return frozenset(formula_elements(formula))
