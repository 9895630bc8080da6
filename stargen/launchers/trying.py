"""Calculators tried on a node before a campaign needs them: is all there that they need?

Each trial is a process of its own: it finds the calculator, lets it check its parameters, imports
what it is made of, and opens it, which loads weights and tables. Nothing is computed, for that it
keeps its contract does not differ from node to node; libraries, processors and files do. A library
built for another processor ends its process by a signal, which is then the answer.

    python -m stargen.launchers.trying TRIAL
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from stargen.calculators.registry import Registry, make
from stargen.errors import StargenError
from stargen.model import Chemistry
from stargen.typed import read_plain

if TYPE_CHECKING:
    from stargen.calculators.contract import Calculator
    from stargen.scheduling.plan import Plan

LONGEST_S = 120.0
_MARK = "stargen-trial "
_SAID = 300


@dataclass(frozen=True, slots=True)
class Trial:
    """A step of a campaign, as far as a node can try it.

    Parameters
    ----------
    params, chemistry : plain values, as the campaign file has them
    folder : of the campaign file; empty for nodes that do not see it
    """

    use: str
    params: dict[str, Any]
    chemistry: dict[str, Any]
    folder: str


def trials_of(plan: Plan, pool: str, folder: Path | None) -> list[Trial]:
    """The different steps of the jobs that may run in a pool."""
    chemistry = asdict(plan.campaign.chemistry)
    found: list[Trial] = []
    for job in plan.jobs:
        if job.spec.pool in (None, pool):
            for step in job.spec.steps:
                params = {name: value for name, value in step.params.items() if name != "use"}
                trial = Trial(step.use, params, chemistry, str(folder or ""))
                found += [] if trial in found else [trial]
    return found


def try_all(trials: Sequence[Trial]) -> dict[str, list[str]]:
    """{calculator: what is wrong with it on this machine}."""
    found: dict[str, list[str]] = {}
    for trial in trials:
        problems = found.setdefault(trial.use, [])
        problems += [each for each in _apart(trial) if each not in problems]
    return found


def _apart(trial: Trial) -> list[str]:
    """The trial's problems, found by another process."""
    words = [sys.executable, "-m", "stargen.launchers.trying", json.dumps(asdict(trial))]
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=LONGEST_S, errors="replace", check=False
        )
    except subprocess.TimeoutExpired:
        return [f"it is not ready after {LONGEST_S:g} s"]
    for line in reversed(done.stdout.splitlines()):
        if line.startswith(_MARK):
            return json.loads(line.removeprefix(_MARK))
    said = done.stderr.strip()[-_SAID:]
    if done.returncode < 0:
        return [f"it ends by {signal.Signals(-done.returncode).name}; {said}".rstrip("; ")]
    return [f"it ends with exit status {done.returncode}: {said}"]


def problems_of(trial: Trial) -> list[str]:
    """What is wrong, found in this process."""
    try:
        return list(_problems(trial))
    except StargenError as error:
        return [str(error)]
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]


def _problems(trial: Trial) -> Iterable[str]:
    from stargen.calculators.conformance import LocalContext  # every agent's start loads this file

    info = Registry.installed().calculator(trial.use)
    params = read_plain(info.params, trial.params)
    if trial.folder and info.check is not None:
        yield from info.check(params, Path(trial.folder))
    calculator = make(info)
    if info.program or not trial.folder:
        return
    context = LocalContext(
        params,
        use=trial.use,
        chemistry=read_plain(Chemistry, trial.chemistry),
        input_folder=Path(trial.folder),
    )
    opened = cast("Calculator", calculator)
    try:
        opened.open(context)
        opened.close()
    finally:
        context.clear()


if __name__ == "__main__":
    print(f"\n{_MARK}{json.dumps(problems_of(Trial(**json.loads(sys.argv[1]))))}", flush=True)
