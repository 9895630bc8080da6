"""JSON Schemas of the files that people write, from the dataclasses that read them.

Source: JSON Schema, draft 7, which editors of TOML understand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import EnumType, StrEnum
from inspect import cleandoc
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from stargen.typed import Bounds, key_of, plain

Schema = dict[str, Any]

_DIALECT = "http://json-schema.org/draft-07/schema#"
_PLAIN: dict[Any, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    Path: {"type": "string"},
    Any: {},
}


def document_schema(cls: type[Any], title: str) -> Schema:
    """The schema of a whole file that is read into the dataclass `cls`."""
    return {"$schema": _DIALECT, "title": title, **table_schema(cls)}


def table_schema(cls: type[Any]) -> Schema:
    """The schema of a table; descriptions come from the dataclass's documentation."""
    hints = get_type_hints(cls, include_extras=True)
    described = descriptions(cls)
    known = [field for field in fields(cls) if field.init]
    properties = {key_of(f): _property(f, hints[f.name], described) for f in known}
    required = [key_of(f) for f in known if f.default is MISSING and f.default_factory is MISSING]
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    if described.get(""):
        schema["description"] = described[""]
    return schema | ({"required": required} if required else {})


def descriptions(cls: type[Any]) -> dict[str, str]:
    """{key: what its dataclass says of it}; "" is the summary. NumPy's layout is understood."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if is_dataclass(base) and not str(base.__doc__).startswith(f"{base.__name__}("):
            found |= _read_description(str(base.__doc__))  # the others' is what dataclass writes
    return found


def _read_description(doc: str) -> dict[str, str]:
    summary, _, rest = cleandoc(doc).partition("\n\n")
    found = {"": " ".join(summary.split())}
    _, _, section = f"{rest}\n\n".partition("Parameters\n----------\n")
    for match in re.finditer(r"^(\w[\w, ]*?) : (.*(?:\n +.*)*)", section.split("\n\n")[0], re.M):
        for name in match[1].split(","):
            found[name.strip()] = " ".join(match[2].split())
    return found


def _property(field: Field[Any], hint: Any, described: Mapping[str, str]) -> Schema:
    schema = dict(_hint_schema(hint))
    text = described.get(key_of(field))
    if text:
        schema["description"] = text
    default = field.default
    if default is not MISSING and default is not None and not is_dataclass(default):
        schema["default"] = plain(default)
    elif field.default_factory is not MISSING and field.default_factory() == {}:
        schema["default"] = {}
    return schema


def _hint_schema(hint: Any) -> Schema:
    origin = get_origin(hint)
    if origin is Annotated:
        inner, *notes = get_args(hint)
        return _hint_schema(inner) | _bounds(notes)
    if origin in (Union, UnionType):
        members = [_hint_schema(m) for m in get_args(hint) if m is not NoneType]
        return members[0] if len(members) == 1 else {"anyOf": members}
    if origin is Literal:
        return {"enum": list(get_args(hint))}
    if origin in (tuple, list, Sequence):
        return _list_schema(hint)
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": _hint_schema(get_args(hint)[1])}
    if isinstance(hint, EnumType):
        return {"enum": [str(member) for member in cast("type[StrEnum]", hint)]}
    return _PLAIN[hint] if hint in _PLAIN else table_schema(hint)


def _list_schema(hint: Any) -> Schema:
    inner = get_args(hint)
    if get_origin(hint) is tuple and inner[-1] is not ...:
        n = len(inner)
        each = [_hint_schema(member) for member in inner]
        return {"type": "array", "items": each, "minItems": n, "maxItems": n}
    return {"type": "array", "items": _hint_schema(inner[0])}


def _bounds(notes: Sequence[Any]) -> Schema:
    schema: Schema = {}
    for note in notes:
        if isinstance(note, Bounds):
            limits = {
                "minimum": note.least,
                "exclusiveMinimum": note.above,
                "maximum": note.most,
            }
            schema |= {key: limit for key, limit in limits.items() if limit is not None}
    return schema
