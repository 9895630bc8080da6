"""From the text of a filter to its tree, with errors that say what belongs where."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard, cast

from stargen.elements import ATOMIC_NUMBERS, reduced_formula
from stargen.errors import ExpressionError
from stargen.expressions.matching import Expression, compile_test
from stargen.expressions.tree import (
    BUILTINS,
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
)

if TYPE_CHECKING:
    from lark import Lark, Token, Tree
    from lark.exceptions import UnexpectedInput

_MAX_DEPTH = 50
_MIRRORED: dict[Relation, Relation] = {
    "=": "=",
    "!=": "!=",
    "<": ">",
    "<=": ">=",
    ">": "<",
    ">=": "<=",
}


def parse(text: str, known: Iterable[str] | None = None) -> Expression:
    """An expression from its text.

    Parameters
    ----------
    text : OPTIMADE filter
    known : property names that may occur, beside the built-ins; None allows any

    Raises
    ------
    ExpressionError : with the column, what was found there and what belongs there
    """
    from lark.exceptions import UnexpectedCharacters, UnexpectedToken

    try:
        tree = _parser().parse(text)
    except UnexpectedToken as error:
        raise _syntax_error(text, error, str(cast("object", error.token))) from None
    except UnexpectedCharacters as error:  # they start no word of the language
        strange = re.match(r"\w+|<>|.", text[error.pos_in_stream :], re.DOTALL)
        raise _syntax_error(text, error, strange[0] if strange else "") from None
    reader = _Reader(text, None if known is None else frozenset(known) | BUILTINS.keys())
    root = reader.node(cast("Tree[Token]", tree.children[0]), 0)
    return Expression(text, root, frozenset(reader.names - BUILTINS.keys()), compile_test(root))


@cache
def _parser() -> Lark:
    from lark import Lark

    grammar = Path(__file__).with_name("filter.lark")
    return Lark(grammar.read_text("utf-8"), parser="lalr", propagate_positions=True)


class _Reader:
    """Turns lark's tree into ours, and refuses what is grammatical but means nothing."""

    def __init__(self, text: str, known: frozenset[str] | None) -> None:
        self._text = text
        self._known = known
        self.names: set[str] = set()

    def node(self, tree: Tree[Token], depth: int) -> Node:
        if depth > _MAX_DEPTH:
            raise self._error(tree, f"brackets nested more than {_MAX_DEPTH} deep", "")
        parts = cast("list[Any]", tree.children)
        match tree.data:
            case "any_of":
                return Or(tuple(self.node(part, depth + 1) for part in parts))
            case "all_of":
                return And(tuple(self.node(part, depth + 1) for part in parts))
            case "negation":
                return Not(self.node(parts[0], depth + 1))
            case "compare":
                return self._comparison(*parts)
            case "known":
                return Known(self._name(parts[0]), str(parts[1]) == "KNOWN")
            case "text":
                return self._text_match(*parts)
            case "has":
                return self._has(parts)
            case _:
                return self._length(parts)

    def _comparison(self, left: Tree[Token], sign: Token, right: Tree[Token]) -> Comparison:
        one, relation, other = self._value(left), cast("Relation", str(sign)), self._value(right)
        if isinstance(one, Constant) and isinstance(other, Name):
            left, right = right, left
            one, relation, other = other, _MIRRORED[relation], one
        for value, tree in ((one, left), (other, right)):
            if isinstance(value, Name) and BUILTINS.get(value.name) is ValueKind.LIST:
                raise self._error(
                    tree, f"`{value.name}` is a list", f'write {value.name} HAS "Li", for instance'
                )
        if isinstance(one, Name) and isinstance(other, Constant):
            self._check_kind(right, one.name, other.kind)
            other = _canonical(one.name, relation, other)
        return Comparison(one, relation, other)

    def _text_match(self, left: Tree[Token], where: Token, right: Tree[Token]) -> TextMatch:
        name = self._name(left)
        self._check_kind(left, name, ValueKind.TEXT)
        value = self._value(right)
        if isinstance(value, Name):
            self._check_kind(right, value.name, ValueKind.TEXT)
        return TextMatch(name, cast("Any", str(where)), value)

    def _has(self, parts: list[Any]) -> Has:
        name = self._list_name(parts[0])
        mode = "ANY" if not _is_token(parts[1]) else str(parts[1])
        entries: list[tuple[Relation, str]] = []
        for entry in parts[1:]:
            if _is_token(entry):
                continue
            *sign, value = entry.children
            constant = self._value(value)
            if not isinstance(constant, Constant) or not isinstance(constant.value, str):
                raise self._error(value, f"`{name}` holds texts", 'write "Li", for instance')
            entries.append((cast("Relation", str(sign[0]) if sign else "="), constant.value))
        return Has(name, cast("Any", mode), tuple(entries))

    def _length(self, parts: list[Any]) -> Length:
        name = self._list_name(parts[0])
        relation = str(parts[1]) if len(parts) == 3 else "="
        constant = cast("Constant", self._value(parts[-1]))
        return Length(name, cast("Relation", relation), cast("float", constant.value))

    def _value(self, tree: Tree[Token]) -> Name | Constant:
        raw = str(tree.children[0])
        match tree.data:
            case "property":
                return Name(self._name(tree))
            case "string":
                return Constant(re.sub(r"\\(.)", r"\1", raw[1:-1]))
            case "boolean":
                return Constant(raw == "TRUE")
            case _:
                return self._number(tree, raw)

    def _number(self, tree: Tree[Token], raw: str) -> Constant:
        if raw.lstrip("+-").isdigit() and len(raw) < 18:
            return Constant(int(raw))
        value = float(raw)
        if not -inf < value < inf:
            raise self._error(tree, f"{raw} is too large a number", "")
        return Constant(value)

    def _name(self, tree: Tree[Token]) -> str:
        name = str(tree.children[0])
        if self._known is not None and name not in self._known:
            near = get_close_matches(name, sorted(self._known), 1, 0.6)
            names = ", ".join(sorted(self._known))
            hint = f"did you mean `{near[0]}`?" if near else f"known here: {names}"
            raise self._error(tree, f"`{name}` is not known here", hint)
        self.names.add(name)
        return name

    def _list_name(self, tree: Tree[Token]) -> str:
        name = self._name(tree)
        if BUILTINS.get(name) is not ValueKind.LIST:
            raise self._error(
                tree, f"`{name}` is not a list", "HAS and LENGTH are for lists: elements"
            )
        return name

    def _check_kind(self, tree: Tree[Token], name: str, kind: ValueKind) -> None:
        is_kind = BUILTINS.get(name, kind)
        if is_kind is not kind:
            raise self._error(tree, f"`{name}` is a {is_kind}, not a {kind}", "")

    def _error(self, tree: Tree[Token], problem: str, hint: str) -> ExpressionError:
        return _error(self._text, tree.meta.start_pos, problem, hint)


def _is_token(part: Any) -> TypeGuard[Token]:
    return isinstance(part, str)


def _canonical(name: str, relation: Relation, constant: Constant) -> Constant:
    """A formula as candidates state it, so that ``formula = "TiO2"`` finds O2Ti."""
    text = constant.value
    if relation not in ("=", "!=") or name not in ("formula", "chemical_formula_reduced"):
        return constant
    if not isinstance(text, str) or not re.fullmatch(r"([A-Z][a-z]?[0-9]{0,4})+", text):
        return constant
    atoms = b""
    for symbol, count in re.findall(r"([A-Z][a-z]?)([0-9]*)", text):
        if symbol not in ATOMIC_NUMBERS:
            return constant
        atoms += bytes([ATOMIC_NUMBERS[symbol]]) * int(count or 1)
    return Constant(reduced_formula(atoms))


_EXPECTED = {
    "$END": "the end",
    "PROPERTY": "a property's name",
    "STRING": 'a "text"',
    "NUMBER": "a number",
    "LPAR": "(",
    "RPAR": ")",
    "COMMA": "a comma",
    "EQUALITY": "= or !=",
    "RELATION": "<, <=, > or >=",
}
"""What the grammar's terminals are to a reader; the others are keywords and name themselves."""

_INSTEAD = {
    "'": 'texts stand in double quotes: "Li"',
    "==": "equality is written =",
    "=": "equality is written =",
    "<>": "inequality is written !=",
    '"': "this text is not closed",
    "&": "write AND",
    "|": "write OR",
    "!": "write NOT before a comparison, or != within one",
}


def _syntax_error(text: str, error: UnexpectedInput, found: str) -> ExpressionError:
    at = error.pos_in_stream if found and error.pos_in_stream is not None else len(text)
    accepted: set[str] = cast("Any", error).interactive_parser.accepts()
    words = sorted(_EXPECTED.get(word, word) for word in accepted)
    expected = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
    problem = f"found {f'`{found}`' if found else 'the end'}, expected {expected}"
    written = "<>" if text[at - 1 : at + 1] == "<>" else found
    return _error(text, at, problem, _advice(written))


def _advice(found: str) -> str:
    if found.upper() in _keywords() and found not in _keywords():
        return f"keywords are written in capitals: {found.upper()}"
    if found[:1].isalpha() and found != found.lower() and found not in _keywords():
        return "names are written in lower case"
    return _INSTEAD.get(found, "")


@cache
def _keywords() -> frozenset[str]:
    return frozenset(str(t.name) for t in _parser().terminals if t.pattern.value == t.name)


def _error(text: str, at: int, problem: str, hint: str) -> ExpressionError:
    return ExpressionError(problem, text=text, column=at + 1, hint=hint or None)
