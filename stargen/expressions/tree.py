"""The nodes of a parsed filter, and the names that every candidate answers to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import inf
from typing import Literal

from stargen.crystal import Scalar


class ValueKind(StrEnum):
    """The types of values; those of one kind can be compared."""

    NUMBER = "number"
    TEXT = "text"
    FLAG = "flag"
    LIST = "list"


def kind_of(value: Scalar) -> ValueKind | None:
    """The kind of a value; None if it is absent, which a number that is not finite is too."""
    if isinstance(value, bool):
        return ValueKind.FLAG
    if isinstance(value, str):
        return ValueKind.TEXT
    if value is None or not -inf < value < inf:
        return None
    return ValueKind.NUMBER


BUILTINS: dict[str, ValueKind] = {
    "id": ValueKind.TEXT,
    "formula": ValueKind.TEXT,
    "chemical_formula_reduced": ValueKind.TEXT,
    "elements": ValueKind.LIST,
    "nelements": ValueKind.NUMBER,
    "nsites": ValueKind.NUMBER,
    "n_atoms": ValueKind.NUMBER,
}
"""Names that every candidate answers to, whatever its properties."""

Relation = Literal["=", "!=", "<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True)
class Name:
    """A built-in or a property."""

    name: str


@dataclass(frozen=True, slots=True)
class Constant:
    """A number, a text, or TRUE or FALSE."""

    value: float | int | str | bool

    @property
    def kind(self) -> ValueKind:
        kind = kind_of(self.value)
        assert kind is not None
        return kind


@dataclass(frozen=True, slots=True)
class Comparison:
    """``left relation right``; a lone name is always on the left."""

    left: Name | Constant
    relation: Relation
    right: Name | Constant


@dataclass(frozen=True, slots=True)
class Known:
    """``name IS KNOWN``, or IS UNKNOWN."""

    name: str
    known: bool


@dataclass(frozen=True, slots=True)
class TextMatch:
    """``name CONTAINS part``, STARTS WITH, ENDS WITH."""

    name: str
    where: Literal["CONTAINS", "STARTS", "ENDS"]
    part: Name | Constant


@dataclass(frozen=True, slots=True)
class Has:
    """``elements HAS ALL entries``: each entry is (relation, text)."""

    name: str
    mode: Literal["ALL", "ANY", "ONLY"]
    entries: tuple[tuple[Relation, str], ...]


@dataclass(frozen=True, slots=True)
class Length:
    """``elements LENGTH relation number``."""

    name: str
    relation: Relation
    number: float | int


@dataclass(frozen=True, slots=True)
class Not:
    """NOT."""

    part: Node


@dataclass(frozen=True, slots=True)
class And:
    """AND of two or more."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """OR of two or more."""

    parts: tuple[Node, ...]


Node = Comparison | Known | TextMatch | Has | Length | Not | And | Or
