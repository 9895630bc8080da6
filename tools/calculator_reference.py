#!/usr/bin/env python3
"""Write docs/reference/calculators.md from what the installed calculators say of themselves."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from stargen.calculators.contract import CalculatorInfo

ROOT = Path(__file__).parents[1]

HEAD = """\
# Calculators

Every calculator that comes with Star-gen, and its parameters, as `tools/calculator_reference.py`
finds them. How a plugin's numbers are found, and what they mean, is in its README; how a campaign
file is written in [campaign.md](campaign.md); how to add a calculator in [plugins.md](plugins.md).

Shapes: a *source* makes candidates, a *map* takes each and keeps, changes or drops it, a *keyed*
one sees all candidates of one key in order, a *gather* sees all at once.
"""


def shipped() -> dict[str, list[EntryPoint]]:
    """Entry points of the core and of `plugins/`, by distribution."""
    known = {"stargen"}
    for manifest in ROOT.glob("plugins/*/pyproject.toml"):
        known.add(re.search(r'^name = "(.+)"', manifest.read_text(), re.MULTILINE)[1])
    found: dict[str, list[EntryPoint]] = {}
    for point in sorted(entry_points(group="stargen.calculators"), key=lambda point: point.name):
        if point.dist is not None and point.dist.name in known:
            found.setdefault(point.dist.name, []).append(point)
    return dict(sorted(found.items()))


def page() -> str:
    return "\n".join([HEAD, *(line for item in shipped().items() for line in chapter(*item))])


def chapter(distribution: str, points: list[EntryPoint]) -> Iterator[str]:
    readme = ROOT / "plugins" / distribution.removeprefix("stargen-") / "README.md"
    yield f"## {distribution}\n"
    if readme.exists():
        yield f"[README](../../{readme.relative_to(ROOT)})\n"
    for point in points:
        yield from section(point.load())


def section(info: CalculatorInfo) -> Iterator[str]:
    kind = "program" if info.program else info.shape.value
    yield f"### {info.name}\n"
    yield f"{info.summary[:1].upper()}{info.summary[1:].rstrip('.')}. Shape: {kind}."
    if info.properties == ("*",):
        yield "Adds the numbers and texts that it reads, under their own names."
    elif info.properties:
        yield f"Adds {', '.join(f'`{name}`' for name in info.properties)}."
    if info.source:
        yield f"Source: {info.source}."
    yield ""
    if fields(info.params):
        yield "| parameter | type | default | meaning |"
        yield "| --- | --- | --- | --- |"
        told = meanings(info.params)
        hints = get_type_hints(info.params)
        for field in fields(info.params):
            name = field.name.rstrip("_")
            cells = (f"`{name}`", words(hints[field.name]), default(field), told.get(name, ""))
            yield f"| {' | '.join(cells)} |"
        yield ""


def words(hint: Any) -> str:
    """A type hint for readers of TOML."""
    if get_origin(hint) is not None and get_origin(hint).__name__ == "Literal":
        return " or ".join(f'`"{value}"`' for value in get_args(hint))
    if get_args(hint):
        inner = [arg for arg in get_args(hint) if arg is not type(None) and arg is not Ellipsis]
        if get_origin(hint) in (tuple, list):
            return f"list of {words(inner[0])}"
        if get_origin(hint) is dict or "Mapping" in str(get_origin(hint)):
            return "table"
        return " or ".join(dict.fromkeys(words(arg) for arg in inner))
    return {"str": "text", "bool": "flag", "int": "integer", "float": "number"}.get(
        hint.__name__, hint.__name__
    )


def default(field: Field[Any]) -> str:
    if field.default is MISSING and field.default_factory is MISSING:
        return "required"
    value = field.default_factory() if field.default is MISSING else field.default
    match value:
        case None | () | {} | []:
            return ""
        case bool():
            return f"`{str(value).lower()}`"
        case str():
            return f'`"{value}"`'
        case tuple():
            return f"`{list(value)}`"
    return f"`{value}`"


def meanings(params: type[Any]) -> dict[str, str]:
    """{name: text} from the sections `Parameters` of a class and its bases."""
    told: dict[str, str] = {}
    for cls in reversed(params.__mro__):
        section = inspect.cleandoc(cls.__doc__ or "").partition("Parameters\n----------\n")[2]
        section = re.split(r"\n\w+\n-{3,}\n", section)[0]
        for entry in re.split(r"\n(?=\S)", section):
            names, colon, text = " ".join(entry.replace("``", "`").split()).partition(" : ")
            if colon:
                told |= dict.fromkeys((name.strip("` ") for name in names.split(",")), text)
    return told


if __name__ == "__main__":
    target = ROOT / "docs" / "reference" / "calculators.md"
    if sys.argv[1:] == ["--print"]:
        sys.stdout.write(page())
    else:
        target.write_text(page())
