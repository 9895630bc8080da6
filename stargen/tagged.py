"""Tagged dataclasses as msgpack arrays: how messages and records are written and evolve.

A class takes part by the decorator `Tags.add`; its form is ``[tag, field, field, ...]`` in the
order of its fields. A reader ignores fields that it does not know (they come last) and fills
absent ones from their defaults, so both sides of a minor version understand each other. Rows
inside a field are NamedTuples, and evolve by the same rule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, Generic, TypeVar, cast, get_args, get_origin, get_type_hints

from stargen.codec import pack, unpack
from stargen.errors import RemoteProtocolError

T = TypeVar("T")
C = TypeVar("C")


class Tags(Generic[T]):
    """One family of tagged dataclasses (the messages, or the records)."""

    def __init__(self, family: str) -> None:
        self.family = family
        self._class_of: dict[int, type[Any]] = {}
        self._tag_of: dict[type[Any], int] = {}
        self._names: dict[type[Any], tuple[str, ...]] = {}
        self._rows: dict[type[Any], tuple[tuple[int, Callable[[Any], Any]], ...]] = {}

    def add(self, tag: int) -> Callable[[type[C]], type[C]]:
        """Class decorator: `cls` is written under `tag`."""

        def register(cls: type[C]) -> type[C]:
            if tag in self._class_of:
                raise ValueError(f"{self.family} tag {tag} is taken by {self._class_of[tag]}")
            self._class_of[tag] = cls
            self._tag_of[cls] = tag
            return cls

        return register

    @property
    def classes(self) -> dict[int, type[Any]]:
        return dict(self._class_of)

    def encode(self, value: T) -> bytes:
        """The bytes of one message or record."""
        cls = type(value)
        names = self._names.get(cls)
        if names is None:
            names = self._names[cls] = tuple(f.name for f in fields(cls))  # pyright: ignore[reportArgumentType] - T is a dataclass by construction
        return pack([self._tag_of[cls], *(getattr(value, name) for name in names)])

    def decode(self, data: bytes | memoryview) -> T:
        """The inverse of `encode`.

        Raises
        ------
        RemoteProtocolError : if the bytes are no message of this family
        """
        try:
            tag, *values = unpack(data)
            cls = self._class_of[tag]
        except (ValueError, TypeError, KeyError) as error:
            raise RemoteProtocolError(f"not a {self.family}: {error!r}") from error
        rows = self._rows.get(cls)
        if rows is None:
            rows = self._learn(cls)
        try:
            for index, build in rows:
                if index < len(values):
                    values[index] = build(values[index])
            return cls(*values[: len(self._names[cls])])
        except (ValueError, TypeError) as error:
            raise RemoteProtocolError(f"bad {self.family} {cls.__name__}: {error}") from error

    def _learn(self, cls: type[Any]) -> tuple[tuple[int, Callable[[Any], Any]], ...]:
        self._names[cls] = tuple(f.name for f in fields(cls))
        hints = get_type_hints(cls)
        builders: list[tuple[int, Callable[[Any], Any]]] = []
        for index, field in enumerate(fields(cls)):
            build = _builder(hints[field.name])
            if build is not None:
                builders.append((index, build))
        self._rows[cls] = tuple(builders)
        return self._rows[cls]


def _builder(hint: Any) -> Callable[[Any], Any] | None:
    """How to turn what msgpack gives into `hint`; None if it is right as it is."""
    if _is_row(hint):
        return _row_builder(hint)
    if get_origin(hint) in (list, tuple):
        (inner, *_) = get_args(hint)
        if _is_row(inner):
            return _rows_builder(inner)
        if get_origin(hint) is tuple:
            return tuple
    return None


def _is_row(hint: Any) -> bool:
    return isinstance(hint, type) and hasattr(cast("type[object]", hint), "_fields")


def _row_builder(row_type: Any) -> Callable[[Any], Any]:
    width = len(row_type._fields)

    def build(row: list[Any]) -> Any:
        return row_type(*row) if len(row) <= width else row_type(*row[:width])

    return build


def _rows_builder(row_type: Any) -> Callable[[Any], Any]:
    """For a list of rows, of which nearly all are as wide as expected: those skip the checks."""
    width, build = len(row_type._fields), _row_builder(row_type)
    new = cast("Callable[[Any, list[Any]], Any]", tuple.__new__)

    def build_all(rows: list[list[Any]]) -> list[Any]:
        return [new(row_type, row) if len(row) == width else build(row) for row in rows]

    return build_all
