"""For terminals that do not speak UTF-8: every character becomes ASCII of the same width."""

from __future__ import annotations

import codecs
import locale
from functools import lru_cache

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

_ALIKE = str.maketrans(
    {
        "─": "-", "━": "-", "═": "=", "│": "|", "┃": "|", "║": "|",
        "┌": "+", "┐": "+", "└": "+", "┘": "+", "├": "+", "┤": "+", "┬": "+", "┴": "+", "┼": "+",
        "╭": "+", "╮": "+", "╰": "+", "╯": "+",
        "█": "#", "▉": "#", "▊": "#", "▋": "#", "▌": "=", "▍": "=", "▎": "-", "▏": "-", "▐": "#",
        "▇": "#", "▆": "*", "▅": "*", "▄": "+", "▃": "=", "▂": "-", "▁": "_", "▀": "\"",
        "░": ".", "▒": ":", "▓": "#",
        "■": "#", "□": "o", "●": "*", "○": "o", "◌": ".", "◆": "*", "◀": "<", "▶": ">",
        "▲": "^", "▼": "v", "▽": "v", "△": "^", "▸": ">", "›": ">", "‹": "<",
        "×": "x", "…": ".", "·": ".", "•": "*", "–": "-", "—": "-", "−": "-",
        "↑": "^", "↓": "v", "←": "<", "→": ">", "Å": "A", "°": "o", "³": "3", "²": "2",
        "α": "a", "β": "b", "γ": "g", "Γ": "G", "µ": "u", "✓": "+", "✗": "x",
    }
)  # fmt: skip


def speaks_utf8() -> bool:
    """Whether the terminal's locale is one of UTF-8."""
    try:
        return codecs.lookup(locale.getpreferredencoding(do_setlocale=False)).name == "utf-8"
    except LookupError:
        return False


@lru_cache(4096)
def plain(text: str) -> str:
    """The same number of columns in ASCII."""
    if text.isascii():
        return text
    return "".join(
        character if character.isascii() else _dots(character)
        for character in text.translate(_ALIKE)
    )


def _dots(character: str) -> str:
    """Braille by how full it is; anything else as question marks."""
    code = ord(character) - 0x2800
    if 0 <= code < 256:
        return " .:+#"[(code.bit_count() + 1) // 2]
    return "?" * cell_len(character)


class AsciiOnly(LineFilter):
    """The last thing that happens to a line on its way to the terminal."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [Segment(plain(text), style, control) for text, style, control in segments]
