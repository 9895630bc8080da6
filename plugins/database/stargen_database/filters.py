"""OPTIMADE filters as SQL conditions, equal in verdict to `stargen.expressions.evaluate`.

SQL's NULL is the filters' unknown, so NOT, AND and OR need no care. What does is types: SQL would
compare a text with a number, the filters say unknown, so each value is asked for by its kind.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from stargen.expressions import BUILTINS, Expression, ValueKind
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
)
from stargen_database.schema import WELL_KNOWN, material, material_element, run

Condition = sa.ColumnElement[bool]
Value = sa.ColumnElement[Any]

OWN_NAMES = ("campaign", "stage", "status", "reason")
"""Names beyond those of `stargen.expressions`: what the database knows of a candidate's way."""

_COLUMNS: dict[str, Value] = {
    "id": material.c.candidate_id,
    "formula": material.c.formula,
    "chemical_formula_reduced": material.c.formula,
    "nelements": material.c.n_elements,
    "nsites": material.c.n_atoms,
    "n_atoms": material.c.n_atoms,
    "stage": material.c.stage,
    "status": material.c.status,
    "reason": material.c.reason,
    "campaign": sa.select(run.c.campaign)
    .where(run.c.id == material.c.run_id)
    .correlate(material)
    .scalar_subquery(),
}
_RELATIONS: dict[Relation, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_SCALARS = (ValueKind.NUMBER, ValueKind.TEXT, ValueKind.FLAG)
_UNKNOWN: Condition = sa.cast(sa.null(), sa.Boolean)


class Translator:
    """From trees to conditions on `material`, in the dialect of one server.

    Parameters
    ----------
    dialect : "sqlite" or "postgresql"
    """

    def __init__(self, dialect: str) -> None:
        self._postgresql = dialect == "postgresql"

    def condition(self, expression: Expression) -> Condition:
        """True for the materials that match, false or NULL for the others."""
        return self._node(expression.root)

    def value(self, name: str, kind: ValueKind) -> Value | None:
        """A name's value if it is of that kind, else NULL; None if it can never be."""
        if name in BUILTINS or name in OWN_NAMES:
            known = BUILTINS.get(name, ValueKind.TEXT)
            return self._collated(_COLUMNS[name], kind) if known is kind else None
        if WELL_KNOWN.get(name) is kind:
            return self._collated(material.c[name], kind)
        return self._from_json(name, kind)

    def _node(self, node: Node) -> Condition:
        match node:
            case And(parts):
                return sa.and_(*(self._node(part) for part in parts))
            case Or(parts):
                return sa.or_(*(self._node(part) for part in parts))
            case Not(part):
                return sa.not_(self._node(part).self_group())
            case Known(name, known):
                there = self._known(name)
                return there if known else sa.not_(there)
            case Comparison():
                return self._comparison(node)
            case TextMatch():
                return self._text(node)
            case Has():
                return _has(node)
            case Length(_, relation, number):
                return _RELATIONS[relation](material.c.n_elements, _literal(number))

    def _comparison(self, node: Comparison) -> Condition:
        relation = _RELATIONS[node.relation]
        alternatives: list[Condition] = []
        for kind in _SCALARS:
            if kind is ValueKind.FLAG and node.relation not in ("=", "!="):
                continue
            left, right = self._operand(node.left, kind), self._operand(node.right, kind)
            if left is not None and right is not None:
                alternatives.append(relation(left, right))
        if not alternatives:
            return _UNKNOWN
        # At most one kind fits both sides, so at most one alternative is not NULL.
        return alternatives[0] if len(alternatives) == 1 else sa.func.coalesce(*alternatives)

    def _operand(self, operand: Name | Constant, kind: ValueKind) -> Value | None:
        if isinstance(operand, Name):
            return self.value(operand.name, kind)
        return self._collated(_literal(operand.value), kind) if operand.kind is kind else None

    def _known(self, name: str) -> Condition:
        if name in BUILTINS:
            return sa.true()
        if name in OWN_NAMES:
            return _COLUMNS[name].is_not(None)
        there = self._json_type(name).is_not(None)
        return sa.or_(material.c[name].is_not(None), there) if name in WELL_KNOWN else there

    def _text(self, node: TextMatch) -> Condition:
        text = self.value(node.name, ValueKind.TEXT)
        part = self._operand(node.part, ValueKind.TEXT)
        if text is None or part is None:
            return _UNKNOWN
        if node.where == "CONTAINS":
            find = sa.func.strpos if self._postgresql else sa.func.instr
            return find(text, part) > 0
        size = sa.func.length(part)  # where the text is shorter, no piece of it has this size
        start = 1 if node.where == "STARTS" else sa.func.length(text) - size + 1
        return sa.func.substr(text, start, size) == part

    def _from_json(self, name: str, kind: ValueKind) -> Value:
        found = self._json_type(name)
        if self._postgresql:
            types = {"number": sa.Double, "text": sa.Text, "flag": sa.Boolean}[kind]
            words = {"number": "number", "text": "string", "flag": "boolean"}[kind]
            text = sa.func.jsonb_extract_path_text(material.c.properties, name)
            return self._collated(sa.case((found == words, sa.cast(text, types))), kind)
        if kind is ValueKind.FLAG:
            return sa.case((found == "true", sa.true()), (found == "false", sa.false()))
        words = ("integer", "real") if kind is ValueKind.NUMBER else ("text",)
        extracted = sa.func.json_extract(material.c.properties, _path(name))
        return sa.case((found.in_(words), extracted))

    def _json_type(self, name: str) -> Value:
        if self._postgresql:
            return sa.func.jsonb_typeof(sa.func.jsonb_extract_path(material.c.properties, name))
        return sa.func.json_type(material.c.properties, _path(name))

    def _collated(self, value: Value, kind: ValueKind) -> Value:
        """Texts compare by code point, as in Python."""
        return sa.collate(value, "C") if self._postgresql and kind is ValueKind.TEXT else value


def _has(node: Has) -> Condition:
    el, of = material_element.c.el, material_element.c.material_id

    def holding(*fits: Condition) -> Condition:
        return material.c.id.in_(sa.select(of).where(sa.or_(*fits)))

    fits = [_RELATIONS[relation](el, text) for relation, text in node.entries]
    match node.mode:
        case "ALL":
            return sa.and_(*(holding(fit) for fit in fits))
        case "ANY":
            return holding(*fits)
        case "ONLY":
            return sa.not_(holding(sa.not_(sa.or_(*fits).self_group())))


def _literal(value: float | int | str | bool) -> Value:
    if isinstance(value, bool | str):
        return sa.literal(value)
    return sa.literal(float(value), sa.Double)


def _path(name: str) -> str:
    return f'$."{name}"'
