"""TOML tables become frozen dataclasses by their type hints; every problem is found in one pass.

Understood: bool, int, float, str, Path, Literal, StrEnum, dataclasses, tuple and list, Mapping and
dict with text keys, unions of these, None as a default, Any, and `Annotated[..., Bounds(...)]`. A
field whose name is a Python keyword is written with a trailing underscore (``or_`` for ``or``). A
dataclass may refuse what the hints allow by raising ValueError in ``__post_init__``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from difflib import get_close_matches
from enum import StrEnum
from functools import cache
from math import isfinite
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from stargen.errors import Problems, UserError
from stargen.toml import Document, KeyPath

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of a number, for `Annotated`; `above` is not allowed itself."""

    least: float | None = None
    above: float | None = None
    most: float | None = None

    def broken_by(self, value: float) -> str | None:
        """What is asked for, if `value` is outside."""
        if self.least is not None and value < self.least:
            return f"at least {self.least:g}"
        if self.above is not None and value <= self.above:
            return f"more than {self.above:g}"
        if self.most is not None and value > self.most:
            return f"at most {self.most:g}"
        return None


class _Bad:
    """What a reading gives that went wrong; the problem is noted already."""


_BAD: Final = _Bad()


@cache
def _hints(cls: type[Any]) -> dict[str, Any]:
    """Evaluating them takes far longer than reading a small table."""
    return get_type_hints(cls, include_extras=True)


class Reader:
    """Turns the tables of one document into dataclasses and collects what is wrong."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[UserError] = []

    def note(self, path: KeyPath, problem: str, hint: str | None = None) -> None:
        """Remember a problem at `path`."""
        self.problems.append(self.document.problem(path, problem, hint))

    def table(
        self,
        cls: type[T],
        values: Mapping[str, Any],
        path: KeyPath = (),
        ignore: Sequence[str] = (),
    ) -> T | None:
        """The dataclass `cls` from a table at `path`, or None after noting why not.

        Parameters
        ----------
        ignore : keys of the table that belong to somebody else
        """
        result = self._table(cls, values, path, ignore)
        return None if isinstance(result, _Bad) else cast("T", result)

    def finish(self) -> None:
        """Raise what was found: the problem itself, or all of them as `Problems`."""
        raise_problems(self.problems)

    def _table(
        self, cls: type[Any], values: Mapping[str, Any], path: KeyPath, ignore: Sequence[str]
    ) -> Any:
        hints = _hints(cls)
        known = {key_of(field): field for field in fields(cls) if field.init}
        for key in values:
            if key not in known and key not in ignore:
                self.note((*path, key), "unknown key", unknown_hint(key, [*known, *ignore]))
        arguments: dict[str, Any] = {}
        good = True
        for key, field in known.items():
            if key in values:
                value = self._value(hints[field.name], values[key], (*path, key))
                good = good and not isinstance(value, _Bad)
                arguments[field.name] = value
            elif field.default is MISSING and field.default_factory is MISSING:
                self.note(path, f"the key `{key}` is missing", _how_to_add(key, hints[field.name]))
                good = False
        if not good:
            return _BAD
        try:
            return cls(**arguments)
        except ValueError as error:
            self.note(path, str(error))
            return _BAD

    def _value(self, hint: Any, value: Any, path: KeyPath) -> Any:
        origin = get_origin(hint)
        if origin is Annotated:
            return self._bounded(hint, value, path)
        if origin in (Union, UnionType):
            if value is None and NoneType in get_args(hint):
                return None  # TOML cannot say it, what comes over a link can
            return self._union(_members(hint), value, path)
        if not _accepts(hint, value):
            self._wrong_type((hint,), value, path)
            return _BAD
        if origin is Literal or _is_enum(hint):
            return self._choice(hint, value, path)
        if origin in (tuple, list, Sequence):
            return self._list(hint, value, path)
        if origin in (dict, Mapping):
            inner = get_args(hint)[1]
            return self._all({key: self._value(inner, v, (*path, key)) for key, v in value.items()})
        if hint is float:
            return self._number(float(value), path)
        if hint is Path:
            return Path(value)
        return self._table(hint, value, path, ()) if _is_table(hint) else value

    def _bounded(self, hint: Any, value: Any, path: KeyPath) -> Any:
        inner, *notes = get_args(hint)
        result = self._value(inner, value, path)
        for bounds in notes:
            if isinstance(bounds, Bounds) and isinstance(result, int | float):
                wanted = bounds.broken_by(result)
                if wanted:
                    self.note(path, f"is {value}, must be {wanted}")
                    return _BAD
        return result

    def _union(self, members: Sequence[Any], value: Any, path: KeyPath) -> Any:
        """The first member that takes the value; what the others would have said is forgotten."""
        fitting = [hint for hint in members if _accepts(hint, value)]
        if not fitting:
            self._wrong_type(members, value, path)
            return _BAD
        before = len(self.problems)
        for hint in fitting:
            tried = len(self.problems)
            result = self._value(hint, value, path)
            if not isinstance(result, _Bad):
                del self.problems[before:tried]
                return result
        return _BAD

    def _choice(self, hint: Any, value: Any, path: KeyPath) -> Any:
        choices = _choices(hint)
        if value not in choices:
            suggestion = near(str(value), map(str, choices))
            self.note(path, f"{_found(value)} is not one of {_listed(choices)}", suggestion)
            return _BAD
        return hint(value) if _is_enum(hint) else value

    def _list(self, hint: Any, value: list[Any], path: KeyPath) -> Any:
        inner = get_args(hint)
        if get_origin(hint) is tuple and inner[-1] is not ...:
            if len(value) != len(inner):
                self.note(path, f"has {len(value)} values, must have {len(inner)}")
                return _BAD
            each = inner
        else:
            each = (inner[0],) * len(value)
        read = [
            self._value(h, v, (*path, i)) for i, (h, v) in enumerate(zip(each, value, strict=True))
        ]
        if any(isinstance(v, _Bad) for v in read):
            return _BAD
        return read if get_origin(hint) is list else tuple(read)

    def _all(self, read: dict[str, Any]) -> Any:
        return _BAD if any(isinstance(v, _Bad) for v in read.values()) else read

    def _number(self, value: float, path: KeyPath) -> Any:
        if isfinite(value):
            return value
        self.note(path, f"is {value}, must be a finite number")
        return _BAD

    def _wrong_type(self, hints: Sequence[Any], value: Any, path: KeyPath) -> None:
        wanted = " or ".join(dict.fromkeys(_wanted(hint) for hint in hints))
        key = next((part for part in reversed(path) if isinstance(part, str)), "")
        self.note(path, f"found {_found(value)}, expected {wanted}", _rewrite(key, hints, value))


def read_plain(cls: type[T], table: Mapping[str, Any]) -> T:
    """The dataclass from plain values that stand in no file.

    Raises
    ------
    UserError, Problems : they do not fit
    """
    reader = Reader(Document(""))
    value = reader.table(cls, table)
    reader.finish()
    assert value is not None
    return value


def raise_problems(problems: Sequence[UserError]) -> None:
    """Raise one problem as itself, several as `Problems` in order of lines, none not at all."""
    if len(problems) == 1:
        raise problems[0]
    if problems:
        files = list(dict.fromkeys(problem.file for problem in problems))
        raise Problems(sorted(problems, key=lambda p: (files.index(p.file), p.line or 0)))


def key_of(field: Field[Any]) -> str:
    """The key that a field is written under."""
    return field.name.rstrip("_")


def near(word: str, known: Iterable[str]) -> str | None:
    """A suggestion if one of `known` looks like `word`."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else None


def unknown_hint(word: str, known: Iterable[str]) -> str:
    """The nearest of `known`, or all of them."""
    names = list(known)
    listed = ", ".join(names) if names else "none"
    return near(word, names) or f"known here: {listed}"


def plain(value: Any) -> Any:
    """A dataclass, or anything in one, as lists, dicts, numbers and text, for JSON and digests."""
    if is_dataclass(value) and not isinstance(value, type):
        return {key_of(f): plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in cast("Sequence[Any]", value)]
    return value if isinstance(value, bool | int | float | NoneType) else str(value)


_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text in quotes",
    Path: "a path in quotes",
}
_UNITS: dict[str, tuple[str, dict[str, float]]] = {
    "_s": ("seconds", {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400}),
    "_gib": ("GiB", {"mib": 2**-10, "gib": 1, "tib": 1024, "mb": 1e6 / 2**30, "gb": 1e9 / 2**30}),
    "_ang": ("Å", {"å": 1, "a": 1, "ang": 1, "nm": 10, "bohr": 0.529177}),
    "_ev": ("eV", {"ev": 1, "mev": 1e-3, "ry": 13.605693, "ha": 27.211386}),
}


def _members(hint: Any) -> list[Any]:
    return [member for member in get_args(hint) if member is not NoneType]


def _is_enum(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, StrEnum)


def _is_table(hint: Any) -> bool:
    return isinstance(hint, type) and is_dataclass(hint)


def _choices(hint: Any) -> list[Any]:
    return [str(member) for member in hint] if _is_enum(hint) else list(get_args(hint))


def _how_to_add(key: str, hint: Any) -> str:
    if _is_table(hint):
        return f"add a table [{key}]"
    if get_origin(hint) is tuple and _is_table(get_args(hint)[0]):
        return f"add a table [[{key}]]"
    return f"add {key} = ..."


def _accepts(hint: Any, value: Any) -> bool:
    """Whether a value is of the right kind, seen from outside."""
    origin = get_origin(hint)
    if origin is Annotated:
        return _accepts(get_args(hint)[0], value)
    if origin in (Union, UnionType):
        return any(_accepts(member, value) for member in _members(hint))
    if origin in (tuple, list, Sequence):
        return isinstance(value, list)
    if origin in (dict, Mapping) or _is_table(hint):
        return isinstance(value, dict)
    if origin is Literal:
        return any(type(choice) is type(value) for choice in get_args(hint))
    if hint is Path or _is_enum(hint):
        return isinstance(value, str)
    if isinstance(value, bool):
        return hint in (bool, Any)
    if hint is float:
        return isinstance(value, int | float)
    return hint is Any or isinstance(value, hint)


def _wanted(hint: Any) -> str:
    origin = get_origin(hint)
    if origin is Annotated:
        return _wanted(get_args(hint)[0])
    if origin in (Union, UnionType):
        return " or ".join(_wanted(member) for member in _members(hint))
    if origin in (tuple, list, Sequence):
        return "a list"
    if origin is Literal or _is_enum(hint):
        return f"one of {_listed(_choices(hint))}"
    return _WORDS.get(hint, "a table")


def _listed(choices: Iterable[Any]) -> str:
    return ", ".join(_found(choice) for choice in choices)


def _found(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(value if len(value) < 60 else value[:57] + "...", ensure_ascii=False)
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            return str(value)


def _rewrite(key: str, hints: Sequence[Any], value: Any) -> str | None:
    """What to write instead, where the value shows what was meant."""
    wanted = {get_args(hint)[0] if get_origin(hint) is Annotated else hint for hint in hints}
    if isinstance(value, str) and wanted & {int, float}:
        unit = next((u for suffix, u in _UNITS.items() if key.endswith(suffix)), None)
        match = re.fullmatch(r"\s*([-+]?[\d_.]+(?:[eE][-+]?\d+)?)\s*(\D*?)\s*", value)
        if match is None:
            return f"{key} is in {unit[0]}" if unit else None
        number, suffix = float(match[1].replace("_", "")), match[2].lower()
        if not suffix:
            return f"write {key} = {number:g}"
        factor = unit[1].get(suffix) if unit else None
        if factor is not None:
            return f"write {key} = {number * factor:g}"
        return f"{key} is in {unit[0]}" if unit else "write the number without a unit"
    if isinstance(value, float) and int in wanted and value.is_integer():
        return f"write {key} = {int(value)}"
    if isinstance(value, int | float | bool) and str in wanted:
        return f'write {key} = "{_found(value)}"'
    if any(get_origin(hint) in (tuple, list) for hint in wanted) and not isinstance(value, dict):
        return f"write {key} = [{_found(value)}]"
    return None
