"""Ensembles: several trainings that differ by their seed, then their calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stargen_training.loop import train
from stargen_training.options import Options

from stargen.errors import UserError
from stargen_crysformer.config import Config, preset
from stargen_crysformer.ensemble import calibrate, hear, read_members
from stargen_crysformer.info import COMPOSITION_FILE
from stargen_crysformer.learning import Learning, Member, read_member, write_member
from stargen_crysformer.scaling import errors
from stargen_crysformer.sets import Labelled

COMPOSITION_EPOCHS = 120
"""Passes over the training data after which a network that sees composition alone begins to learn
them by heart (benchmarks/accuracy.py). A step of it costs a thirtieth of a structure's network."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be trained.

    Parameters
    ----------
    config : of each member
    options : of each member's training; a member's number is added to the seed
    folder : gets ``member-N.npz`` and ``composition.npz``, the trainings in folders of these names,
        and the calibration
    members : numbers of those to train now
    of : how many the ensemble has
    start : the folder of an ensemble whose members are to learn on
    """

    config: Config
    options: Options
    folder: Path
    members: Sequence[int]
    of: int
    start: Path | None = None


@dataclass(frozen=True, slots=True)
class _Training:
    """One network's; `name` is that of its file without the ending, and of its folder."""

    name: str
    config: Config
    options: Options
    start: Member | None


def train_ensemble(plan: Plan, data: Labelled, *, quiet: bool = False) -> bool:
    """Train the members that are asked for, and calibrate when all are there; whether they are.

    With the first one goes a network that sees composition alone, unless there is none among the
    weights to begin with.
    """
    trainings = _trainings(plan, len(data.of_split("train")))
    if not all(_train(plan.folder, training, data, quiet=quiet) for training in trainings):
        return False
    names = [f"member-{number}.npz" for number in range(plan.of)]
    if _with_composition(plan):
        names.append(COMPOSITION_FILE)
    if not all((plan.folder / name).is_file() for name in names):
        return False
    start = None if plan.start is None else _starting_point(plan.start, 0, plan.config)
    learning = Learning(plan.config, data, start=start)
    calibrate(plan.folder, learning, plan.start)
    return True


def _trainings(plan: Plan, n_train: int) -> list[_Training]:
    """Those of the members that are asked for."""
    found: list[_Training] = []
    for number in plan.members:
        start = None if plan.start is None else _starting_point(plan.start, number, plan.config)
        options = replace(plan.options, seed=plan.options.seed + number)
        found.append(_Training(f"member-{number}", plan.config, options, start))
    if 0 in plan.members and _with_composition(plan):
        start = None if plan.start is None else read_member(plan.start / COMPOSITION_FILE)
        config = preset("composition", targets=plan.config.targets)
        steps = min(COMPOSITION_EPOCHS * n_train // plan.options.batch, 10 * plan.options.steps)
        options = replace(plan.options, steps=max(steps, 1))
        found.append(_Training(Path(COMPOSITION_FILE).stem, config, options, start))
    return found


def _with_composition(plan: Plan) -> bool:
    """Whether the ensemble gets a network that sees composition alone."""
    if not plan.config.blocks:
        return False
    return plan.start is None or (plan.start / COMPOSITION_FILE).is_file()


def _train(folder: Path, training: _Training, data: Labelled, *, quiet: bool) -> bool:
    """Whether it came to its end, now or earlier."""
    start, options = training.start, training.options
    learning = Learning(training.config, data, start=start)
    outcome = train(learning, options, folder / training.name, title=training.name, quiet=quiet)
    if outcome.first and outcome.finished:
        notes = {
            "validation": dict(outcome.metrics),
            "steps": outcome.steps,
            "best_step": outcome.best_step,
            "minutes": round(outcome.elapsed_s / 60, 1),
            "options": options.identity(),
            "start": None if start is None else start.digest,
            "torch": torch.__version__,
        }
        write_member(folder / f"{training.name}.npz", learning.member(outcome.model, notes))
    return outcome.finished


def _starting_point(folder: Path, number: int, config: Config) -> Member:
    paths = sorted(folder.glob("member-*.npz")) if folder.is_dir() else [folder]
    if not paths:
        raise UserError("holds no member-*.npz", file=folder, key="--from")
    member = read_member(paths[number % len(paths)])
    if member.network.config != config:
        raise UserError(
            f"predicts {', '.join(member.targets)}", file=folder, key="--from", hint="as --target"
        )
    return member


def config_of(start: Path) -> Config:
    """The architecture of weights that a training goes on from."""
    if start.is_file():
        return read_member(start).network.config
    return read_members(start)[0].network.config


def learning_curve(
    config: Config, options: Options, folder: Path, data: Labelled, sizes: Sequence[int]
) -> list[dict[str, Any]]:
    """Train one network for each number of training crystals; its errors on the test split."""
    rows: list[dict[str, Any]] = []
    for size in sizes:
        learning = Learning(config, data, part=size, draw=options.seed)
        outcome = train(learning, options, folder / f"size-{size}", title=f"{size} crystals")
        if not outcome.finished or not outcome.first:
            break
        path = folder / f"size-{size}.npz"
        write_member(path, learning.member(outcome.model, {"size": learning.size}))
        test = data.of_split("test")
        test = test[learning.graphs.usable[test]]
        voices = hear([read_member(path)], learning.graphs.take(test), torch.device("cpu"))
        found = errors(voices.values[0], np.asarray(data.labels)[test])
        rows.append(
            {"size": learning.size, "steps": outcome.steps}
            | {t: e["mae"] for t, e in zip(config.targets, found, strict=True)}
        )
    return rows
