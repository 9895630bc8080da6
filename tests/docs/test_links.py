from __future__ import annotations

from pathlib import Path

import pytest
from support.markdown import ROOT, links, pages


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path):
    for target in links(page):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), f"{page.name} links to {target}"
        if anchor and file.suffix == ".md":
            assert anchor in _anchors(file), f"{page.name} links to {target}"


def _anchors(page: Path) -> set[str]:
    """The names that headings get: lower case, blanks as dashes, no punctuation."""
    headings = [
        line.lstrip("#").strip() for line in page.read_text().splitlines() if line.startswith("#")
    ]
    kept = (
        "".join(c for c in heading.lower() if c.isalnum() or c in " -_") for heading in headings
    )
    return {name.replace(" ", "-") for name in kept}


def test_every_page_of_docs_can_be_reached():
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop().resolve()
        if page in reached or page.suffix != ".md" or not page.exists():
            continue
        reached.add(page)
        waiting += [
            page.parent / target.partition("#")[0]
            for target in links(page)
            if not target.startswith("#")
        ]
    missing = {page for page in pages() if page.is_relative_to(ROOT / "docs")} - reached
    assert not missing, f"no link leads to {sorted(missing)}"
