"""`stargen train diffusion`: data in, weights out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from stargen_training.loop import Outcome
from stargen_training.loop import train as run_training
from stargen_training.options import Options

from stargen.errors import UserError
from stargen.toml import Document, read_document
from stargen.typed import Bounds, Reader, plain
from stargen_diffusion.cells import Variant
from stargen_diffusion.config import PRESETS, NetConfig
from stargen_diffusion.data import GROUP_PAIRS, cleaned
from stargen_diffusion.learning import DiffusionTask, LossWeights
from stargen_diffusion.model import Model, load_model, save_model
from stargen_diffusion.sources import Rows, read, read_database
from stargen_diffusion.weights import weights_file


@dataclass(frozen=True, slots=True)
class DataOptions:
    """Which crystals of a file are learnt from.

    Parameters
    ----------
    max_atoms : larger cells are left out
    max_e_above_hull : eV/atom; crystals without the label pass
    augment : standard cells that are added where they differ in size
    group_pairs : pairs of atoms in a group; a GPU wants some 30,000
    """

    max_atoms: Annotated[int, Bounds(least=1)] = 20
    max_e_above_hull: float | None = 0.1
    augment: tuple[Variant, ...] = ()
    group_pairs: Annotated[int, Bounds(least=1)] = GROUP_PAIRS


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """A configuration file, over the preset.

    `batch` of `training` counts groups: sets of crystals of one size, equally expensive.
    """

    network: NetConfig = field(default_factory=NetConfig)
    loss: LossWeights = field(default_factory=LossWeights)
    data: DataOptions = field(default_factory=DataOptions)
    training: Options = field(default_factory=lambda: TRAINING)


TRAINING = Options(steps=300_000, batch=4, warm_up=0.01, weight_decay=0.0, validate_every=2000)

train = typer.Typer(pretty_exceptions_enable=False)


@train.command()
def train_diffusion(
    data: Annotated[Path, typer.Argument(help="CSV or Parquet with a column cif, or npz")],
    out: Annotated[Path, typer.Option(help="folder of checkpoints, metrics and weights")],
    preset: Annotated[str, typer.Option(help=", ".join(PRESETS))] = "small",
    config: Annotated[Path | None, typer.Option(help="TOML over the preset")] = None,
    minutes: Annotated[float | None, typer.Option(help="end the schedule after these")] = None,
    steps: Annotated[int | None, typer.Option(help="end the schedule after these")] = None,
    start: Annotated[str | None, typer.Option("--from", help="weights to start from")] = None,
    database: Annotated[
        str | None, typer.Option(help="URL of a campaign's database to learn from as well")
    ] = None,
    where: Annotated[str, typer.Option(help="SQL: which of its materials")] = "stage = 'relax'",
    quiet: Annotated[bool, typer.Option(help="no progress bar")] = False,
) -> None:
    """Train a network on crystals. The same command goes on with a training that was stopped."""
    console = Console(stderr=True, soft_wrap=True)
    settings = configuration(preset, config)
    changes = {k: v for k, v in (("minutes", minutes), ("steps", steps)) if v is not None}
    training = replace(settings.training, **changes)
    earlier = None if start is None else load_model(weights_file(start, Path.cwd()))
    rows = read(data)
    if database is not None:
        own = read_database(database, where)
        console.print(f"{len(own.rows):,} materials of {database}")
        rows.rows += own.rows
        rows.skipped += own.skipped
    task = prepared(rows, settings, earlier, console)
    outcome = run_training(task, training, out, title="diffusion", quiet=quiet)
    if outcome.first:
        path = out / "weights.npz"
        save_model(path, trained(task, outcome, data))
        console.print(f"weights of step {outcome.best_step:,}: {path}")


def configuration(preset: str, file: Path | None) -> TrainConfig:
    """The preset, with what the file says otherwise.

    Raises
    ------
    UserError : if there is no such preset, or the file is wrong
    """
    if preset not in PRESETS:
        raise UserError(f"there is no preset {preset}", hint=f"one of {', '.join(PRESETS)}")
    network = PRESETS[preset]
    loss = LossWeights(types=20.0) if network.types == "onehot" else LossWeights()
    base = TrainConfig(network, loss)
    document = Document("") if file is None else read_document(file, UserError)
    reader = Reader(document)
    values = _over(plain(base), document.values)
    found = reader.table(TrainConfig, values)
    reader.finish()
    assert found is not None
    return found


def prepared(
    rows: Rows, settings: TrainConfig, earlier: Model | None, console: Console
) -> DiffusionTask:
    """The task, after telling what was read and what was not."""
    limits = settings.data
    skipped: Counter[str] = Counter(rows.skipped)
    parts = {}
    for split in ("train", "val"):
        crystals = rows.of(split, limits.max_e_above_hull)
        augment = limits.augment if split == "train" else ()
        parts[split], left_out = cleaned(crystals, limits.max_atoms, augment)
        skipped += left_out
    console.print(f"{len(parts['train']):,} crystals to learn, {len(parts['val']):,} to validate")
    for reason, count in sorted(skipped.items()):
        console.print(f"left out: {count:,} {reason}")
    return DiffusionTask(
        settings.network,
        parts["train"],
        parts["val"],
        settings.loss,
        earlier=earlier,
        group_pairs=limits.group_pairs,
    )


def trained(task: DiffusionTask, outcome: Outcome, data: Path) -> Model:
    """What a training came to, with notes for the card."""
    notes = {
        "data_file": data.name,
        "crystals": len(task.train),
        "steps": outcome.steps,
        "best_step": outcome.best_step,
        "hours": round(outcome.elapsed_s / 3600, 2),
        "metrics": dict(outcome.metrics),
        "loss_weights": asdict(task.weights),
    }
    return Model(outcome.model, task.statistics, task.digest, notes)


def _over(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Tables joined; keys that `base` lacks stay, to be complained about by their reader."""
    joined = dict(base)
    for key, value in changes.items():
        old = base.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        joined[key] = _over(old, value) if both else value
    return {key: value for key, value in joined.items() if value is not None}
