"""How a program behaves: its input is written, and it runs if its command is installed here."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from shutil import which
from typing import Any

from stargen.calculators.conformance.trial import Flaw, LocalContext, failure
from stargen.calculators.contract import CalculatorInfo, Command, Finding, Program, Progress
from stargen.calculators.registry import make
from stargen.calculators.steps import LoadedStep, settle
from stargen.crystal import Candidate

_LONGEST_S = 60.0


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
    except subprocess.TimeoutExpired:
        yield Flaw("run", f"did not end within {_LONGEST_S:g} s on {sample.candidate_id}")
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
    code = subprocess.run(
        command.argv,
        cwd=folder,
        capture_output=True,
        check=False,
        timeout=_LONGEST_S,
        env={**os.environ, **command.env},
    ).returncode
    if code in command.ok_codes and not isinstance(program.watch(folder), Finding):
        step = LoadedStep(info, "trial", program, context)
        settle(step, [sample], [program.collect(sample, folder, context)])
