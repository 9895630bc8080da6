"""How a program behaves: its input is written, and it runs if its command is installed here."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import which
from typing import Any

from stargen.calculators.conformance.trial import Flaw, LocalContext, failure
from stargen.calculators.contract import CalculatorInfo, Command, Finding, Program, Progress
from stargen.calculators.registry import make
from stargen.calculators.steps import LoadedStep, settle
from stargen.crystal import Candidate
from stargen.processes import end_session

_LONGEST_S = 60.0
"""Whoever is still at work then has shown what can be seen in a trial."""


def program_flaws(
    info: CalculatorInfo, sample: Candidate, new_context: Callable[[], LocalContext]
) -> Iterator[Flaw]:
    """Prepare one candidate, and run the program on it if that can be done here."""
    context = new_context()
    try:
        program: Any = make(info)
        if isinstance(program, Program):
            yield from _run_flaws(info, program, sample, context)
        else:
            yield Flaw("factory", f"{type(program).__name__} lacks a method of stargen.Program")
    except Exception as error:
        yield failure(error)
    finally:
        context.clear()


def _run_flaws(
    info: CalculatorInfo, program: Any, sample: Candidate, context: LocalContext
) -> Iterator[Flaw]:
    folder = context.folder
    seen = program.watch(folder)
    if seen is not None and not isinstance(seen, Progress | Finding):
        yield Flaw("watch", f"answered {seen!r} for an empty folder")
    command = program.prepare(sample, folder, context)
    if not isinstance(command, Command) or not command.argv:
        yield Flaw("prepare", f"gave {command!r} instead of a command")
        return
    if which(command.argv[0]) is None:
        return
    code = _code_of(command, folder)
    if code in command.ok_codes and not isinstance(program.watch(folder), Finding):
        step = LoadedStep(info, "trial", program, context)
        settle(step, [sample], [program.collect(sample, folder, context)])


def _code_of(command: Command, folder: Path) -> int | None:
    """The return code of one run; None if it was still at work and had to be ended."""
    with subprocess.Popen(
        command.argv,
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **command.env},
        start_new_session=True,
    ) as process:
        try:
            process.communicate((command.stdin or "").encode(), timeout=_LONGEST_S)
        except subprocess.TimeoutExpired:
            end_session(process.pid, grace_s=0.0)
            return None
    return process.returncode
