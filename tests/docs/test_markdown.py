"""The reader of pages, tested on a page of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.markdown import Shown, agrees, blocks, commands, links

PAGE = """\
# Title

Text with a [link](other.md#part), a ![picture](p.svg) and [one outside](https://example.org/x).

<!-- file: a/b.toml -->
```toml
x = 1
```

<!-- slow -->
<!-- exit: 2 -->

```console
$ stargen up x
a ... b
$ stargen down
```

<!-- slow -->
Text between: the note is for nothing.
```console
$ ls
[not](a-link.md)
```
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    return path


def test_blocks_and_their_notes(page: Path):
    first, second, third = blocks(page)
    assert (first.language, first.text, first.notes) == ("toml", "x = 1\n", {"file": "a/b.toml"})
    assert second.notes == {"slow": "", "exit": "2"}
    assert third.notes == {}
    assert PAGE.splitlines()[second.line - 1] == "$ stargen up x"


def test_commands_and_their_output(page: Path):
    second = blocks(page)[1]
    assert commands(second) == [
        Shown("stargen up x", "a ... b\n", second.line),
        Shown("stargen down", "", second.line + 2),
    ]


def test_links_into_the_repository(page: Path):
    assert links(page) == ["other.md#part", "p.svg"]


@pytest.mark.parametrize(
    ("shown", "real", "same"),
    [
        ("", "anything", True),
        ("12 kept\n", "so\n  12   kept\n", True),
        ("12 kept\n", "13 kept\n", False),
        ("... kept, ... dropped", "12 kept, 3 dropped", True),
        ("a ... c", "a\nb\nc", True),
        ("a ... c", "c a", False),
        ("1.5 (s)", "1x5 (s)", False),
    ],
)
def test_agrees(shown: str, real: str, same: bool):
    assert agrees(shown, real) is same
