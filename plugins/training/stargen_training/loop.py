"""The training loop: steps, averages, validations, checkpoints, and an end that can be taken up.

Step n is a function of the state after step n-1 and of (seed, n): the batch, the random numbers
and the learning rate are all made from these. A training that was killed and goes on from its last
checkpoint therefore takes the steps that it would have taken. Only with `minutes` does the learning
rate also depend on the clock.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stargen.errors import UserError
from stargen_training.checkpoints import Checkpoint
from stargen_training.metrics import Metrics
from stargen_training.optimization import Average, adamw, set_rate
from stargen_training.options import Options
from stargen_training.order import Order
from stargen_training.processes import Processes, joined
from stargen_training.screen import Screen
from stargen_training.task import Task

_REPORTS = 50
"""Steps from one line of the training loss to the next."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a training ended.

    Parameters
    ----------
    model : the averaged network, the best by validation, on the CPU
    finished : whether the schedule came to its end; else the same command goes on
    steps, elapsed_s : taken so far, over all runs
    best_step : where `model` is from
    metrics : of its validation
    first : whether this process is the one that writes files
    """

    model: nn.Module
    finished: bool
    steps: int
    elapsed_s: float
    best_step: int
    metrics: Mapping[str, float]
    first: bool = True


def train(
    task: Task, options: Options, folder: Path, *, title: str = "training", quiet: bool = False
) -> Outcome:
    """Train, or go on with the training that `folder` holds.

    Raises
    ------
    UserError : if the folder holds another training, or the loss is no longer finite
    """
    with joined(options.device) as processes, _told_to_stop() as stop:
        training = _Training(task, options, folder, processes)
        with Screen(title, quiet=quiet or not processes.first) as screen:
            return training.run(screen, stop)


@dataclass(slots=True)
class _Best:
    step: int = -1
    metrics: dict[str, float] = field(default_factory=dict[str, float])
    weights: dict[str, torch.Tensor] = field(default_factory=dict[str, torch.Tensor])


class _Training:
    def __init__(self, task: Task, options: Options, folder: Path, processes: Processes) -> None:
        self.task, self.options, self.processes = task, options, processes
        torch.manual_seed(options.seed)
        self.model = task.model().to(processes.device)
        self.optimizer = adamw(self.model, options.learning_rate, options.weight_decay)
        self.average = Average(self.model, options.average)
        self.order = Order(task.size, options.batch, options.seed)
        if processes.world > self.order.batch:
            raise UserError(f"{processes.world} processes for {self.order.batch} examples a step")
        self.best = _Best()
        self.step, self.earlier_s, self.validated = 0, 0.0, -1
        self.checkpoint = Checkpoint(folder, {**task.identity, **options.identity()})
        self._restore(self.checkpoint.load(processes.device))
        self.began = time.monotonic()
        self.metrics = Metrics(folder, self.step) if processes.first else None

    @property
    def elapsed_s(self) -> float:
        return self.earlier_s + time.monotonic() - self.began

    def run(self, screen: Screen, stop: _Stop) -> Outcome:
        if self.step:
            screen.say(f"going on after step {self.step:,} of {self.options.steps:,}")
        kept_at = time.monotonic()
        try:
            while True:
                progress = self._progress()
                if progress >= 1 or self.processes.any(stop.asked):
                    break
                told = self._take_step(progress)
                self._tell(told, progress, screen)
                if self.step % self.options.validate_every == 0:
                    self._validate(screen)
                due = time.monotonic() - kept_at >= self.options.checkpoint_every_s
                if self.processes.first and due:
                    self._save()
                    kept_at = time.monotonic()
            return self._end(progress >= 1, screen)
        finally:
            if self.metrics is not None:
                self.metrics.close()

    def _progress(self) -> float:
        """By the clock of the first process, so that all take the same steps."""
        (elapsed_s,) = self.processes.agree(self.elapsed_s)
        return self.options.progress(self.step, elapsed_s)

    def _take_step(self, progress: float) -> Mapping[str, float]:
        rank, world = self.processes.rank, self.processes.world
        torch.manual_seed(hash((self.options.seed, self.step, rank)) & 0x7FFF_FFFF_FFFF)
        indices = self.order.indices(self.step, rank, world)
        batch = self.task.batch(indices, self.order.rng(self.step, rank))
        if hasattr(batch, "to"):
            batch = batch.to(self.processes.device)
        self.model.train()
        set_rate(self.optimizer, self.options.rate_at(progress))
        self.optimizer.zero_grad(set_to_none=True)
        loss, told = self.task.loss(self.model, batch)
        loss.backward()
        self.processes.average_gradients(self.model)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.options.clip)
        values = {"train/loss": loss.item(), "train/gradient_norm": norm.item(), **told}
        if not (math.isfinite(values["train/loss"]) and math.isfinite(norm.item())):
            raise UserError(
                f"step {self.step + 1}: the loss is {values['train/loss']}, the gradient's norm "
                f"{norm.item()}",
                hint="lower the learning rate; the last checkpoint is from before",
            )
        self.optimizer.step()
        self.step += 1
        self.average.update(self.model, self.step)
        return values

    def _tell(self, values: Mapping[str, float], progress: float, screen: Screen) -> None:
        note = f"step {self.step:,}  loss {values['train/loss']:.4f}"
        if self.best.metrics:
            objective = self.task.objective
            note += f"  best {objective} {self.best.metrics[objective]:.4g}"
        screen.show(progress, note)
        if self.metrics is not None and (self.step % _REPORTS == 0 or self.step == 1):
            rate = self.optimizer.param_groups[0]["lr"]
            told = {**values, "train/learning_rate": rate}
            self.metrics.add(self.step, self.elapsed_s, told)

    def _validate(self, screen: Screen) -> None:
        self.validated = self.step
        if not self.processes.first:
            return
        with torch.no_grad():
            found = dict(self.task.validate(self.average.model, self.processes.device))
        if self.metrics is not None:
            self.metrics.add(self.step, self.elapsed_s, found)
        screen.validated(self.step, self.elapsed_s, found)
        objective = found[self.task.objective]
        if not self.best.metrics or objective < self.best.metrics[self.task.objective]:
            weights = {k: v.detach().clone() for k, v in self.average.model.state_dict().items()}
            self.best = _Best(self.step, found, weights)

    def _end(self, finished: bool, screen: Screen) -> Outcome:
        if self.step != self.validated:
            self._validate(screen)
        if self.processes.first:
            self._save()
            self.average.model.load_state_dict(self.best.weights)
        if not finished:
            screen.say(f"stopped after step {self.step:,}; the same command goes on from here")
        return Outcome(
            self.average.model.cpu(),
            finished,
            self.step,
            self.elapsed_s,
            self.best.step,
            self.best.metrics,
            self.processes.first,
        )

    def _save(self) -> None:
        self.checkpoint.save(
            {
                "step": self.step,
                "elapsed_s": self.elapsed_s,
                "validated": self.validated,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "average": self.average.model.state_dict(),
                "best": [self.best.step, self.best.metrics, self.best.weights],
            }
        )

    def _restore(self, state: Mapping[str, Any] | None) -> None:
        if state is None:
            return
        self.step, self.earlier_s = state["step"], state["elapsed_s"]
        self.validated = state["validated"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.model.load_state_dict(state["average"])
        self.best = _Best(*state["best"])


@dataclass(slots=True)
class _Stop:
    asked: bool = False


@contextmanager
def _told_to_stop() -> Generator[_Stop]:
    """SIGINT and SIGTERM end the training after the step at hand; a second one at once."""
    stop = _Stop()

    def note(number: int, _: object) -> None:
        stop.asked = True
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
