"""Small drawings in text: bars, sparklines, curves, and pictures in braille."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stargen.tui.ink import Line

LEVELS = " ▁▂▃▄▅▆▇█"
_PARTS = " ▏▎▍▌▋▊▉█"
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


def bar(share: float, width: int, style: str = "good") -> Line:
    """How much of the whole."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    full, part = divmod(eighths, 8)
    done = "█" * full + (_PARTS[part] if part else "")
    return [(done, style), ("░" * (width - len(done)), "rule")]


def centred(share: float, width: int, style: str) -> Line:
    """A stage of a funnel: the wider, the more has come so far."""
    size = max(1 if share > 0 else 0, round(max(0.0, min(1.0, share)) * width))
    left = (width - size) // 2
    return [(" " * left, ""), ("█" * size, style), (" " * (width - size - left), "")]


def heat(percent: float) -> str:
    """The style of a load: thresholds where people begin to care."""
    bounds = (10.0, 40.0, 75.0, 92.0)
    return f"heat{sum(percent >= bound for bound in bounds)}"


def sparkline(values: Sequence[float], width: int, top: float | None = None) -> str:
    """The last values, one character each; `top` is the height of the highest."""
    return sparklines(values, width, 1, top)[0]


def sparklines(
    values: Sequence[float], width: int, rows: int, top: float | None = None
) -> list[str]:
    """As `sparkline`, so many rows high, the upper one first."""
    shown = list(values)[-width:]
    most = top if top is not None else max(shown, default=0.0)
    heights = [_eighths(value, most, 8 * rows) for value in shown]
    return [
        "".join(LEVELS[max(0, min(8, height - 8 * row))] for height in heights).rjust(width)
        for row in reversed(range(rows))
    ]


def _eighths(value: float, most: float, tall: int) -> int:
    if most <= 0:
        return 1
    return min(tall, max(1 if value > 0 else 0, round(value / most * tall)))


class Braille:
    """A canvas of dots, two by four to a character."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._cells = [[0] * width for _ in range(height)]
        self._styles = [[""] * width for _ in range(height)]

    def dot(self, x: int, y: int, style: str = "") -> None:
        """One dot; x to the right, y downwards, in dots."""
        column, row = x // 2, y // 4
        if 0 <= column < self.width and 0 <= row < self.height and x >= 0 and y >= 0:
            self._cells[row][column] |= _DOTS[y % 4][x % 2]
            if style:
                self._styles[row][column] = style

    def line(self, x0: float, y0: float, x1: float, y1: float, style: str = "") -> None:
        steps = max(1, round(max(abs(x1 - x0), abs(y1 - y0))))
        for step in range(steps + 1):
            t = step / steps
            self.dot(round(x0 + (x1 - x0) * t), round(y0 + (y1 - y0) * t), style)

    def disc(self, x: float, y: float, radius: float, style: str) -> None:
        reach = int(radius) + 1
        for dx in range(-reach, reach + 1):
            for dy in range(-reach, reach + 1):
                if dx * dx + dy * dy <= radius * radius + 0.5:
                    self.dot(round(x) + dx, round(y) + dy, style)

    def lines(self) -> list[Line]:
        return [
            [
                (chr(0x2800 + cell) if cell else " ", style)
                for cell, style in zip(cells, styles, strict=True)
            ]
            for cells, styles in zip(self._cells, self._styles, strict=True)
        ]


def curve(values: Sequence[float], width: int, height: int, style: str = "accent") -> list[Line]:
    """Values from left to right, the lowest at the bottom, with both ends of the scale beside."""
    low, high = min(values), max(values)
    labels = [f"{high:.6g}", f"{low:.6g}"]
    margin = max(map(len, labels)) + 1
    canvas = Braille(max(2, width - margin), height)
    wide, tall = canvas.width * 2 - 1, height * 4 - 1
    scale = tall / (high - low) if high > low else 0.0
    points = [
        (i * wide / max(1, len(values) - 1), tall - (v - low) * scale) for i, v in enumerate(values)
    ]
    for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[-1]], strict=True):
        canvas.line(x0, y0, x1, y1, style)
    made: list[Line] = []
    for row, line in enumerate(canvas.lines()):
        label = labels[0] if row == 0 else labels[1] if row == height - 1 else ""
        made.append([(label.rjust(margin - 1) + " ", "dim"), *line])
    return made


def numbers(values: object) -> list[float] | None:
    """A list of at least two numbers as floats, None if it is something else."""
    if not isinstance(values, Iterable) or isinstance(values, (str, bytes, dict)):
        return None
    found: list[float] = []
    for value in values:  # pyright: ignore[reportUnknownVariableType] - whatever was stored
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
            return None
        found.append(float(value))
    return found if len(found) > 1 else None
