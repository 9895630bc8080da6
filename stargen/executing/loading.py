"""A job's calculators, loaded into this process."""

from __future__ import annotations

import logging
from copy import copy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import cast

from stargen.calculators.contract import CalculatorInfo, Program
from stargen.calculators.registry import Registry, make
from stargen.calculators.steps import LoadedStep
from stargen.codec import unpack
from stargen.executing.attempt import Attempt, TaskContext
from stargen.executing.inputs import stamp_of
from stargen.executing.sharing import SharedStore
from stargen.messages import DefineJob, StepDef
from stargen.model import Chemistry, Resources, Shape
from stargen.typed import read_plain

log = logging.getLogger(__name__)


class LoadedJob:
    """The steps of one job, opened on first use and closed once.

    Parameters
    ----------
    store : the data that the workers of this node share
    """

    def __init__(self, job: DefineJob, store: SharedStore) -> None:
        self.job = job
        self._store = store
        self.is_source = job.shape == Shape.SOURCE
        self.is_keyed = job.shape == Shape.KEYED
        self._steps: list[LoadedStep] = []
        self._contexts: list[TaskContext] = []
        self._steered: tuple[bytes, list[LoadedStep]] = (b"", [])

    @property
    def is_open(self) -> bool:
        return bool(self._steps)

    def open(self, attempt: Attempt, resources: Resources, devices: tuple[int, ...]) -> None:
        """Import, make and open the calculators, for the first attempt that needs them.

        Raises
        ------
        UserError : a calculator is missing, cannot be imported, or its parameters do not fit
        Exception : whatever a calculator raises on opening
        """
        try:
            for step in self.job.steps:
                context = self._context(step)
                self._contexts.append(context)
                self.enter(attempt, resources, devices)
                self._steps.append(_load(step, context))
        except BaseException:
            self.close()
            raise

    def enter(
        self, attempt: Attempt, resources: Resources, devices: tuple[int, ...]
    ) -> list[LoadedStep]:
        """The steps, whose contexts from here on speak of this attempt and its grant."""
        for context in self._contexts:
            context.attempt = attempt
            context.hosts = attempt.hosts
            context.resources = resources
            context.devices = devices
        return self._steps

    def steered(self, steps: list[LoadedStep], table: bytes) -> list[LoadedStep]:
        """The steps with other parameters for the source; the calculator reads them in `run`.

        Raises
        ------
        UserError : the parameters do not fit
        """
        if table != self._steered[0]:
            source, *others = steps
            params = {**self.job.steps[0].params, **unpack(table)}
            context = copy(source.context)
            context.params = read_plain(source.info.params, params)
            self._steered = (table, [replace(source, context=context), *others])
            self._contexts[len(self.job.steps) :] = [cast("TaskContext", context)]
        return self._steered[1]

    def close(self) -> None:
        """Let every calculator go; an error of one does not keep the others."""
        steps, self._steps, self._contexts = self._steps, [], []
        self._steered = (b"", [])
        for step in reversed(steps):
            if isinstance(step.calculator, Program):
                continue
            try:
                step.calculator.close()
            except Exception:
                log.exception("%s did not close", step.info.name)

    def _context(self, step: StepDef) -> TaskContext:
        job = self.job
        context = TaskContext(
            job=job.name,
            use=step.use,
            params=read_plain(_find(step.use)[0].params, step.params),
            seed=job.seed,
            chemistry=read_plain(Chemistry, job.chemistry),
            input_folder=Path(job.input_folder),
        )
        context.store = self._store
        context.files = {name: stamp_of(files) for name, files in job.files}
        return context


def _load(step: StepDef, context: TaskContext) -> LoadedStep:
    info, version = _find(step.use)
    calculator = make(info)
    if not isinstance(calculator, Program):
        calculator.open(context)
    return LoadedStep(info, version, calculator, context)


@cache
def _find(use: str) -> tuple[CalculatorInfo, str]:
    """What is installed under this name, and the version of the distribution that brought it."""
    registry = _registry()
    return registry.calculator(use), registry.find("calculators", use).version


@cache
def _registry() -> Registry:
    return Registry.installed()
