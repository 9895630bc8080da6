"""What people see of a training: a bar on a terminal, a line per validation elsewhere."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn


class Screen:
    """The bar shows how far the schedule is; the note beside it what the network is worth."""

    def __init__(self, title: str, *, quiet: bool) -> None:
        self._console = Console(stderr=True, quiet=quiet, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
            refresh_per_second=2,
        )
        self._task = self._progress.add_task(title, total=1.0, note="")

    def __enter__(self) -> Screen:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, done: float, note: str) -> None:
        """How far it is, from 0 to 1."""
        self._progress.update(self._task, completed=done, note=note)

    def validated(self, step: int, elapsed_s: float, values: Mapping[str, float]) -> None:
        """A line that stays."""
        told = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        self._console.print(f"step {step:,}  {elapsed_s / 60:.1f} min  {told}")

    def say(self, text: str) -> None:
        """A sentence."""
        self._console.print(text)
