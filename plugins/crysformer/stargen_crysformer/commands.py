"""`stargen train crysformer` and `stargen eval crysformer`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from stargen.cli.words import AsJson, show_json, show_table
from stargen.errors import UserError

train = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
evaluate = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

DEFAULT_TARGETS = "formation_energy_per_atom,band_gap"

Data = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[DATA]...",
        help="Labelled crystals: .npz, or .csv and .csv.gz with a column cif.",
        show_default=False,
    ),
]
Targets = Annotated[str, typer.Option("--target", help="Properties to learn, by comma.")]
Device = Annotated[str, typer.Option(help="Torch device; auto takes CUDA where there is some.")]


@train.command()
def train_crysformer(
    data: Data = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the weights; begun ones go on.")
    ] = Path("crysformer"),
    target: Targets = DEFAULT_TARGETS,
    database: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Learn from the materials of a Star-gen database."),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option("--from", help="Weights to begin with: a folder of members, or one file."),
    ] = None,
    corrections: Annotated[
        str | None,
        typer.Option(
            help="That the energies of DATA carry, mp2020 say: predictions name them, and share a "
            "hull with none that carry others."
        ),
    ] = None,
    model: Annotated[str, typer.Option(help="tiny, small, medium or paper.")] = "small",
    irreps: Annotated[
        str | None, typer.Option(help='Features, "64x0e+16x1e"; else the model\'s.')
    ] = None,
    blocks: Annotated[int | None, typer.Option(help="Blocks; else the model's.")] = None,
    dropout: Annotated[
        float | None, typer.Option(help="Of attention, in training; else the model's.")
    ] = None,
    members: Annotated[int, typer.Option(min=1, help="Networks of the ensemble.")] = 4,
    member: Annotated[
        int | None,
        typer.Option(min=0, help="Train this one alone (0, 1, ...), beside other processes."),
    ] = None,
    epochs: Annotated[
        float, typer.Option(help="Passes over the training data, unless --steps.")
    ] = 60,
    steps: Annotated[int | None, typer.Option(help="Steps of a member.")] = None,
    minutes: Annotated[
        float | None, typer.Option(help="End a member's training at this time at the latest.")
    ] = None,
    batch: Annotated[int, typer.Option(help="Crystals a step.")] = 32,
    learning_rate: Annotated[
        float | None, typer.Option(help="At its highest. [1e-3; a fifth of it with --from]")
    ] = None,
    weight_decay: Annotated[float, typer.Option(help="Of AdamW.")] = 1e-3,
    seed: Annotated[int, typer.Option(help="Of the first member.")] = 0,
    sizes: Annotated[
        str | None,
        typer.Option(help="Learning curve instead: numbers of training crystals, by comma."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of this process.")] = 1,
    device: Device = "auto",
) -> None:
    """Train an ensemble on labelled crystals; run again, it goes on where it was.

    What the data call train is learnt, val chooses and calibrates, test stays unseen. Where they do
    not say, a hash of the composition decides.
    """
    import torch
    from stargen_training.options import Options

    from stargen_crysformer.config import preset
    from stargen_crysformer.training import Plan, config_of, learning_curve, train_ensemble

    torch.set_num_threads(threads)
    targets = _targets(target)
    changes = {"irreps": irreps, "blocks": blocks, "dropout": dropout, "targets": targets}
    config = preset(model, **changes) if start is None else config_of(start)
    if start is not None:
        targets = config.targets
    labelled = _read(data, database, targets, corrections)
    n_train = len(labelled.of_split("train"))
    options = Options(
        steps=steps or max(round(epochs * n_train / min(batch, max(n_train, 1))), 1),
        batch=batch,
        learning_rate=learning_rate or (1e-3 if start is None else 2e-4),
        weight_decay=weight_decay,
        seed=seed,
        validate_every=max(min(n_train // batch * 2, 2000), 50),
        minutes=minutes,
        device=device,
    )
    typer.echo(
        f"{len(labelled):,} crystals, {n_train:,} to learn from; {options.steps:,} steps a member",
        err=True,
    )
    if sizes is not None:
        rows = learning_curve(config, options, output, labelled, _numbers(sizes))
        headings = [">crystals", ">steps", *(f">test MAE {t}" for t in targets)]
        show_table(headings, [[_cell(value) for value in row.values()] for row in rows])
        return
    wanted = range(members) if member is None else [member]
    plan = Plan(config, options, output, wanted, members, start)
    done = train_ensemble(plan, labelled)
    if int(os.environ.get("RANK", "0")) == 0:
        typer.echo(
            f"{output}: an ensemble of {members}, calibrated"
            if done
            else f"{output}: not all {members} members are trained; the same command goes on"
        )


@evaluate.command()
def eval_crysformer(
    data: Data = None,
    weights: Annotated[
        Path, typer.Option("--weights", "-w", help="Folder that a training made.")
    ] = Path("crysformer"),
    split: Annotated[
        str, typer.Option(help="train, val, test, or all, for data that were never learnt.")
    ] = "test",
    card: Annotated[
        Path | None, typer.Option(help="Write a model card here, plots beside it.")
    ] = None,
    beyond: Annotated[
        Path | None,
        typer.Option(help="Labelled crystals of another kind, none of them learnt: measured too."),
    ] = None,
    about: Annotated[
        Path | None, typer.Option(help="Text for the card: whence the data, on what terms.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Measure an ensemble: errors by kind of crystal, coverage of intervals, worth of doubts."""
    import torch

    from stargen_crysformer.ensemble import Ensemble
    from stargen_crysformer.evaluation import assess, summary, tables
    from stargen_crysformer.modelcard import write_card

    torch.set_num_threads(threads)
    ensemble = Ensemble.load(weights)
    ensemble.to(device)
    labelled = _read(data, None, ensemble.targets, None)
    assessment = assess(ensemble, labelled, split)
    other = None
    if beyond is not None:
        other = assess(ensemble, _read([beyond], None, ensemble.targets, None), "all")
    if card is not None:
        text = "" if about is None else about.read_text("utf-8")
        write_card(card, ensemble, assessment, other, text)
    if as_json:
        show_json(assessment.plain() | ({"beyond": other.plain()} if other else {}))
        return
    more = [] if other is None else [summary(other)]
    for title, headings, rows in [*tables(assessment), *more]:
        typer.secho(f"\n{title}", bold=True)
        show_table(headings, rows)


def _read(
    data: list[Path] | None,
    database: str | None,
    targets: tuple[str, ...],
    corrections: str | None,
) -> Any:
    from stargen_crysformer.materials import read_materials
    from stargen_crysformer.sets import joined, read

    if not data and database is None:
        raise UserError(
            "give files with labelled crystals, or --database, or both",
            hint="stargen train crysformer data.npz --output FOLDER",
        )
    found = read(data, targets, corrections) if data else None
    if database is None:
        return found
    materials = read_materials(database, targets)
    return materials if found is None else joined(found, materials)


def _targets(text: str) -> tuple[str, ...]:
    targets = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not targets:
        raise UserError("names no property", key="--target")
    return targets


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"{text!r} is not numbers by comma", key="--sizes") from None


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
