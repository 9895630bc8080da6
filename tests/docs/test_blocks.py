"""TOML and Python on the pages is right as far as that can be seen without running it."""

from __future__ import annotations

import ast
import importlib
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from support.markdown import ROOT, blocks, pages

from stargen.calculators.registry import Registry

PAGES = [pytest.param(page, id=str(page.relative_to(ROOT))) for page in pages()]


def documents(page: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The TOML blocks of a page: line and content, but for the one that shows mistakes."""
    for block in blocks(page):
        if block.language == "toml" and block.notes.get("file") != "wrong.toml":
            yield block.line, tomllib.loads(block.text)


@pytest.mark.parametrize("page", PAGES)
def test_jobs_on_a_page_use_calculators_and_parameters_that_there_are(page: Path):
    registry = Registry.installed()
    for line, document in documents(page):
        jobs = document.get("job", [])
        for job in jobs if isinstance(jobs, list) else []:
            steps = job.get("step", [])
            used = [(job.get("use"), job.get("params", {}))]
            used += [(step["use"], {k: v for k, v in step.items() if k != "use"}) for step in steps]
            for use, params in used:
                if use is None:
                    continue
                known = {each.name.rstrip("_") for each in fields(registry.calculator(use).params)}
                assert set(params) <= known, f"{page.name}:{line}: {use}"


@pytest.mark.parametrize("page", PAGES)
def test_python_on_a_page_imports_what_there_is(page: Path):
    for block in blocks(page):
        if block.language == "python":
            for node in ast.walk(ast.parse(block.text)):
                if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                    module = importlib.import_module(node.module)
                    lacking = [name.name for name in node.names if not hasattr(module, name.name)]
                    assert lacking == [], f"{page.name}:{block.line}: {node.module}"
