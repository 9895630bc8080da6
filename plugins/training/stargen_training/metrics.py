"""What a training says of itself: a CSV file, and TensorBoard if that is installed."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from stargen.files import write_atomically

COLUMNS = ("step", "elapsed_s", "name", "value")


class Metrics:
    """``metrics.csv``, one line for each value, so that any value may join at any time.

    Parameters
    ----------
    folder : of the training
    from_step : lines from behind this step are dropped: their steps are about to be taken again
    """

    def __init__(self, folder: Path, from_step: int) -> None:
        path = folder / "metrics.csv"
        kept = [row for row in read_metrics(path) if row[0] <= from_step]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([COLUMNS, *kept])
        write_atomically(path, text.getvalue().encode())
        self._file = path.open("a", newline="", encoding="utf-8")
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._board = _tensorboard(folder, from_step)

    def add(self, step: int, elapsed_s: float, values: Mapping[str, float]) -> None:
        """Values as they are after `step` steps."""
        for name, value in values.items():
            self._rows.writerow((step, round(elapsed_s, 3), name, repr(float(value))))
            if self._board is not None:
                self._board.add_scalar(name, value, step)
        self._file.flush()

    def close(self) -> None:
        """No more will come."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def read_metrics(path: Path) -> list[tuple[int, float, str, float]]:
    """The lines of a metrics file; one that a crash cut short is left out."""
    rows: list[tuple[int, float, str, float]] = []
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.reader(file):
                with suppress(ValueError):  # the heading, and a last line that was cut short
                    step, elapsed_s, name, value = row
                    rows.append((int(step), float(elapsed_s), name, float(value)))
    return rows


def _tensorboard(folder: Path, from_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=from_step + 1)
