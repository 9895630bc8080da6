"""The master's side of files that travel: input files that it gives, checkpoints that it keeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from stargen.carrying import (
    CHECKPOINT_NAMES,
    Piece,
    files_of,
    forget,
    pieces_of,
    read_piece,
    take_piece,
)
from stargen.errors import RemoteProtocolError
from stargen.messages import FilePart, KeptPart, WantFile
from stargen.scheduling.plan import Plan


class CarriedFiles:
    """For the nodes that do not see the master's folders.

    Parameters
    ----------
    input_folder : what input files are named relative to
    checkpoints : where the checkpoints of their tasks are kept
    """

    def __init__(self, plan: Plan, *, input_folder: Path, checkpoints: Path) -> None:
        self._input_folder = input_folder
        self._checkpoints = checkpoints
        self._names = [job.name for job in plan.jobs]
        self._inputs = [
            sorted(
                {
                    str(name)
                    for info, params in zip(job.infos, job.params, strict=True)
                    if info.reads is not None
                    for name in info.reads(params)
                    if self._travels(str(name or ""))
                }
            )
            for job in plan.jobs
        ]

    def _travels(self, name: str) -> bool:
        """Whether there is such an input; one that holds the campaign's own folder is none."""
        path = self._path(name)
        whole = self._input_folder.resolve().is_relative_to(path.resolve())
        return bool(name) and not whole and bool(files_of(path))

    def _path(self, name: str) -> Path:
        return self._input_folder / Path(name).expanduser()

    # --- inputs -----------------------------------------------------------------------------------

    def inputs(self, job: int) -> list[Any]:
        """Rows of [name, its files] of all that the job reads."""
        return [
            [name, [list(row) for row in files_of(self._path(name))]] for name in self._inputs[job]
        ]

    def piece(self, want: WantFile) -> FilePart:
        """What an agent asks for. Blocks.

        Raises
        ------
        RemoteProtocolError : it is none of what the job reads
        OSError : it cannot be read
        """
        known = 0 <= want.job < len(self._inputs) and want.name in self._inputs[want.job]
        below = want.below
        if not known or below not in {row.below for row in files_of(self._path(want.name))}:
            raise RemoteProtocolError(f"an agent asks for {want.name}/{below}, which no job reads")
        path = self._path(want.name)
        piece = read_piece(path / below if below else path, want.offset)
        return FilePart(want.name, below, piece.offset, piece.data, piece.last)

    # --- checkpoints ------------------------------------------------------------------------------

    def _place(self, job: int, ordinal: int) -> Path:
        return self._checkpoints / self._names[job] / str(ordinal)

    def keep(self, part: KeptPart) -> None:
        """A part of a checkpoint has come. Blocks.

        Raises
        ------
        RemoteProtocolError : it is of no job, or under a name that no checkpoint has
        OSError : it cannot be written
        """
        if not 0 <= part.job < len(self._names) or part.name not in CHECKPOINT_NAMES:
            raise RemoteProtocolError(f"an agent keeps {part.name} for job {part.job}")
        path = self._place(part.job, part.ordinal) / part.name
        take_piece(path, Piece(part.offset, part.data, part.last))

    def kept(self, job: int, ordinal: int) -> Iterator[KeptPart]:
        """The checkpoint of a task, if there is one."""
        place = self._place(job, ordinal)
        if place.is_dir():
            for name in CHECKPOINT_NAMES:
                for piece in pieces_of(place / name):
                    yield KeptPart(job, ordinal, name, *piece)

    def forget(self, job: int, ordinals: Sequence[int]) -> None:
        """These tasks have their results."""
        folder = self._checkpoints / self._names[job]
        if folder.is_dir():
            for ordinal in ordinals:
                forget(folder / str(ordinal))
