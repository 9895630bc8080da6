"""The pages of reference name what the code knows: all of it, and nothing else."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import Any

import pytest
import typer
from support.markdown import ROOT

from stargen.calculators.contract import CalculatorInfo, Context
from stargen.cli.main import build
from stargen.expressions import parse

REFERENCE = ROOT / "docs" / "reference"


def page(name: str) -> str:
    """The text of a page without its fenced blocks."""
    text = (REFERENCE / name).read_text()
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def rows(text: str) -> Iterator[list[str]]:
    """The cells of every table row whose first cell is one or more names in code style."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and re.fullmatch(r"`\w+`(, `\w+`)*", cells[0]):
            yield cells


def names(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


# --- commands -------------------------------------------------------------------------------------


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """{"stargen up": command} of the core, without the commands of plugins."""
    monkeypatch.setenv("STARGEN_PLUGINS", "none")
    return dict(_walk("stargen", typer.main.get_command(build())))


def _walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    inner: dict[str, Any] = getattr(command, "commands", {})
    if not inner:
        yield name, command
    for each, child in inner.items():
        yield from _walk(f"{name} {each}", child)


def options(command: Any) -> set[str]:
    return {opt for param in command.params for opt in param.opts if opt.startswith("--")}


def test_every_command_is_told(commands: dict[str, Any]):
    text = page("cli.md")
    assert [name for name in commands if f"`{name}" not in text] == []


def test_every_option_is_told_and_none_that_does_not_exist(commands: dict[str, Any]):
    known = set().union(*(options(command) for command in commands.values()))
    told = set(re.findall(r"--[a-z][a-z-]*", page("cli.md"))) - {"--help"}
    assert told == known


# --- the two files --------------------------------------------------------------------------------


def schema(of: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "stargen.cli", "schema", of]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


def keys(node: Any, inside: str = "") -> Iterator[tuple[str, Any]]:
    """(key, its schema) of a document and all tables in it, but not of calculators' parameters."""
    if isinstance(node, list):
        for each in node:
            yield from keys(each, inside)
    elif isinstance(node, dict):
        for name, each in node.get("properties", {}).items():
            yield name, each
            if name not in ("params", "step"):
                yield from keys(each, name)
        for part in ("items", "additionalProperties", "anyOf", "oneOf"):
            yield from keys(node.get(part), inside)


@pytest.mark.parametrize("of", ["campaign", "site"])
def test_every_key_of_a_file_is_told_with_its_default(of: str):
    text = page(f"{of}.md")
    known: dict[str, list[Any]] = {}
    for name, each in keys(schema(of)):
        known.setdefault(name, []).append(each.get("default"))
    assert [name for name in known if f"`{name}`" not in text and f"`[{name}" not in text] == []
    told = [(name, cells) for cells in rows(text) for name in names(cells[0])]
    assert [name for name, _ in told if name not in known] == []
    for name, cells in told:
        if len(cells) == 3 and (default := _value(cells[2])) is not None:
            assert default in known[name], f"{of}.md: {name} has the default {known[name]}"


def _value(cell: str) -> Any:
    """A cell as TOML; None if it is prose."""
    try:
        return tomllib.loads(f"x = {cell.strip('`')}")["x"]
    except tomllib.TOMLDecodeError:
        return None


# --- the contract ---------------------------------------------------------------------------------


def chapter(title: str) -> str:
    return page("plugins.md").partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_every_field_of_an_info_is_told():
    told = [(name, cells) for cells in rows(chapter("CalculatorInfo")) for name in names(cells[0])]
    assert sorted(name for name, _ in told) == sorted(each.name for each in fields(CalculatorInfo))
    needed = {each.name for each in fields(CalculatorInfo) if each.default is MISSING}
    assert {name for name, cells in told if cells[-1] == "required"} == needed


def test_every_member_of_the_context_is_told():
    text = chapter("Context")
    members = [name for name in vars(Context) if not name.startswith("_")]
    assert [name for name in members if not re.search(rf"`{name}\b", text)] == []
    told = re.findall(r"`(\w+)[^`]*`", "\n".join(re.findall(r"^\| (.*?) \|", text, re.MULTILINE)))
    assert [name for name in told if name not in members] == []


# --- the filter language --------------------------------------------------------------------------


def test_every_form_of_a_filter_is_one():
    text = (ROOT / "docs" / "how-to" / "write-filters.md").read_text()
    table = text.partition("## Forms\n")[2].partition("\n## ")[0]
    forms = [line.split("|")[2] for line in table.splitlines()[3:] if line.startswith("|")]
    examples = [example for cell in forms for example in re.findall(r"`([^`]+)`", cell)]
    assert len(examples) > 12
    for example in examples:
        parse(example)
