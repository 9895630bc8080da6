"""One task of a job of external programs: through all its steps, with corrections on the way."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar, cast

from stargen.calculators.contract import Change, Command, Finding, Program, Progress
from stargen.calculators.steps import Batch, LoadedStep, settle
from stargen.crystal import Candidate, Drop
from stargen.errors import CalculationFailed
from stargen.executing.attempt import LONG_TASK_S, Attempt, Stopped
from stargen.executing.checkpoints import folder_pack
from stargen.executing.outputs import Outputs
from stargen.executing.packing import DamagedArchive, pack_folder, unpack_folder
from stargen.executing.supervision import Supervised, Surroundings
from stargen.messages import DefineJob, TaskDone

log = logging.getLogger(__name__)

T = TypeVar("T")


class Workplace(NamedTuple):
    """Where a program runs.

    Parameters
    ----------
    folder : what its calculator is told
    cwd : the same; None where the calculator uses no files, and `folder` does not exist
    outputs : where it prints
    """

    folder: Path
    cwd: Path | None
    outputs: Outputs


class ProgramTask:
    """What one attempt needs while it goes through the steps.

    Parameters
    ----------
    job, steps : of which job, loaded
    attempt : of which task
    around : what its programs find when they start
    plain : the place of programs that use no files
    run : starts a program by calling what it is given, and waits until it has ended
    """

    def __init__(
        self,
        job: DefineJob,
        steps: Sequence[LoadedStep],
        attempt: Attempt,
        *,
        around: Surroundings,
        plain: Workplace,
        run: Callable[[Callable[[], Supervised]], tuple[Supervised, int]],
    ) -> None:
        self._job = job
        self._steps = steps
        self._attempt = attempt
        self._around = around
        self._plain = plain
        self._run = run

    def go(self, given: Callable[[], list[Candidate]]) -> Callable[[], TaskDone]:
        """Take the given candidates through the steps, from the last checkpoint on.

        Returns what writes the result. That can wait: written many at a time, right after another,
        results cost a third of what each costs between two programs, which leave nothing of ours in
        the processor's caches.

        Raises
        ------
        TaskError, or any exception of the program's class : the attempt failed
        Stopped : the agent asked to
        """
        batch = self._attempt.batch(given, range(0))
        self._restore_files()
        while batch.done < len(self._steps) and batch.candidates:
            step = self._steps[batch.done]
            outputs: list[Candidate | Drop] = []
            notes: dict[str, list[Change]] = {}
            for index, candidate in enumerate(batch.candidates):
                step.context.begin(range(0))
                output, changes = self._compute(step, candidate, index)
                outputs.append(output)
                if changes:
                    notes[candidate.candidate_id] = changes
            if batch.done + 1 == len(self._steps):
                self._attempt.end(len(self._steps))
                return partial(self._result, step, batch, outputs, notes)
            _settle(step, batch, outputs, notes)
            if time.monotonic() - self._attempt.began >= LONG_TASK_S:
                self.save_files()
            self._attempt.after_step(batch)
        return partial(self._attempt.result, batch)

    def _result(
        self,
        step: LoadedStep,
        batch: Batch,
        outputs: list[Candidate | Drop],
        notes: dict[str, list[Change]],
    ) -> TaskDone:
        _settle(step, batch, outputs, notes)
        return self._attempt.result(batch)

    def save_files(self) -> None:
        """Keep the folder for another attempt, if the calculator goes on from files."""
        if self._job.checkpoint == "files" and self._attempt.has_folder:
            packed = folder_pack(self._job, self._attempt.ref.ordinal)
            with suppress(OSError):  # without, a retry begins further back
                self._staged(lambda: pack_folder(self._attempt.folder, packed))

    def _restore_files(self) -> None:
        if self._job.checkpoint == "files":
            packed = folder_pack(self._job, self._attempt.ref.ordinal)
            if packed.exists():
                self._staged(lambda: self._unpack(packed))

    def _unpack(self, packed: Path) -> None:
        try:
            unpack_folder(packed, self._attempt.folder)
        except DamagedArchive as error:
            log.warning("%s; the task begins from the start", error)
            shutil.rmtree(self._attempt.folder)
            self._attempt.folder.mkdir()

    def _staged(self, work: Callable[[], T]) -> T:
        """Do what moves files and computes nothing."""
        began = time.monotonic()
        done = work()
        self._attempt.costs.staged(time.monotonic() - began)
        return done

    def _compute(
        self, step: LoadedStep, candidate: Candidate, index: int
    ) -> tuple[Candidate | Drop, list[Change]]:
        """One step of one candidate: run, mend the input and run again if need be."""
        program, context = cast("Program", step.calculator), step.context
        place = self._workplace(step, program, index)
        command = self._staged(lambda: program.prepare(candidate, place.folder, context))
        changes: list[Change] = []
        while True:
            running, code = self._run(lambda: self._start(program, command, place))
            self._attempt.costs.ran(running.usage, max(1, context.resources.cores))
            if self._attempt.stopping:
                raise Stopped("asked to stop")
            finding = running.finding or _last_look(program, place.folder, code)
            if not isinstance(finding, Finding):
                running.check(code)
                collect = partial(program.collect, candidate, place.folder, context)
                return self._staged(collect), changes
            changes.append(self._mend(program, finding, place.folder, len(changes)))

    def _start(self, program: Program, command: Command, place: Workplace) -> Supervised:
        if self._attempt.stopping:
            raise Stopped("asked to stop")
        return Supervised(program, command, *place, self._around)

    def _workplace(self, step: LoadedStep, program: Program, index: int) -> Workplace:
        needs_folder = getattr(program, "needs_folder", None)
        if needs_folder is not None and not needs_folder(step.context):
            return self._plain
        folder = self._attempt.folder
        if index:
            folder = folder / str(index)
            folder.mkdir(exist_ok=True)
        outputs = Outputs(folder / "stdout.txt", folder / "stderr.txt")
        return Workplace(folder, folder, outputs)

    def _mend(self, program: Program, finding: Finding, folder: Path, mended: int) -> Change:
        problem = f"{finding.fault}: {finding.message}"
        if mended >= self._job.corrections:
            raise CalculationFailed(f"{problem} (after {mended} corrections)")
        change = program.correct(finding, folder)
        if change is None:
            raise CalculationFailed(problem)
        return change


def _last_look(program: Program, folder: Path, code: int) -> Progress | Finding | None:
    """What its end tells; a program that can diagnose learns the return code."""
    diagnose = getattr(program, "diagnose", None)
    return program.watch(folder) if diagnose is None else diagnose(folder, code)


def _settle(
    step: LoadedStep,
    batch: Batch,
    outputs: Sequence[Candidate | Drop],
    notes: Mapping[str, list[Change]],
) -> None:
    """The step is done; corrections, by candidate, become part of the provenance."""
    candidates, drops = settle(step, batch.candidates, outputs)
    if notes:
        candidates = [_noted(c, notes.get(c.candidate_id)) for c in candidates]
    batch.candidates = candidates
    batch.drops += drops
    batch.done += 1


def _noted(candidate: Candidate, changes: list[Change] | None) -> Candidate:
    if not changes:
        return candidate
    corrections = [
        {
            "fault": change.fault,
            "changes": {key: list(pair) for key, pair in change.changes.items()},
        }
        for change in changes
    ]
    *past, last = candidate.provenance
    last = replace(last, note={**last.note, "corrections": corrections})
    return replace(candidate, provenance=(*past, last))
