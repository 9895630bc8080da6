"""The model card: what weights are, where they come from, what they can do, what they cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stargen_diffusion.measures import Interval
from stargen_diffusion.model import Model

_SHOWN = 10
"""Lines of the training curve."""

_CARD = """# {name}

A diffusion network for crystals (DiffCSP, arXiv:2309.04475, with the departures below), {what}.

| | |
| --- | --- |
| network | {layers} layers x {hidden}, {frequencies} frequencies, {parameters:,} parameters |
| lattice, types, targets | {lattice}, {types}, {targets} |
| trained on | {crystals:,} crystals of `{data_file}` (digest {digest}) |
| training | {steps:,} steps in {hours} h; weights of step {best_step:,} |
| validation | {metrics} |

## Data and licence

{statement}

## Training

{curve}

## Figures

{settings}

{figures}

Values with their 95 % intervals. Shares count everything that was asked for. Compositional validity
by two rules: smact14 with Pauling's test and alloys allowed, as published tables have it, and the
default of `filters.charge`. Coverage is defined in `stargen_diffusion/measures.py` and is not
CDVAE's COV.

## Limits

- Cells of at most {max_atoms} atoms and {elements} elements were seen; what is rare in the data is
  less sure.
- Samples are noisy: read symmetry at 0.1 Å, or after relaxation.
- Elements without oxidation states may be generated and fail `filters.charge`;
  `charged_only = true` keeps them out.
- Nothing here knows temperature, disorder or magnetism.
"""


def model_card(
    name: str,
    model: Model,
    settings: Mapping[str, Any],
    figures: Mapping[str, Interval],
    statement: str,
    curve: Sequence[tuple[int, float, str, float]] = (),
    beside: Mapping[str, Any] | None = None,
) -> str:
    """Markdown from weights and their evaluation.

    Parameters
    ----------
    statement : whose the data are
    curve : lines of the training's metrics
    beside : settings and figures of other evaluations, by name
    """
    config, notes, statistics = model.config, model.notes, model.statistics
    metrics = notes.get("metrics", {})
    others = beside or {}
    columns = {name: settings, **{title: each["settings"] for title, each in others.items()}}
    known = config.types == "known"
    return _CARD.format(
        name=name,
        what="for given compositions (CSP)" if known else "ab initio: elements, cell, positions",
        layers=config.layers,
        hidden=config.hidden,
        frequencies=config.frequencies,
        parameters=sum(p.numel() for p in model.network.parameters()),
        lattice=config.lattice,
        types=config.types,
        targets="mean-free" if config.mean_free else "as printed",
        crystals=notes.get("crystals", 0),
        data_file=notes.get("data_file", ""),
        digest=model.data,
        steps=notes.get("steps", 0),
        hours=notes.get("hours", 0),
        best_step=notes.get("best_step", 0),
        metrics=", ".join(f"{key} {value:.4g}" for key, value in metrics.items()),
        statement=statement,
        curve=_curve(curve),
        settings="\n".join(
            f"- {title}: {', '.join(f'{key} {value}' for key, value in each.items())}"
            for title, each in columns.items()
        ),
        figures=_figures([figures, *(each["figures"] for each in others.values())], [*columns]),
        max_atoms=len(statistics.n_atoms) - 1,
        elements=np.count_nonzero(statistics.elements),
    )


def _figures(columns: Sequence[Mapping[str, Sequence[float]]], titles: Sequence[str]) -> str:
    """One row for each figure, one column for each evaluation."""
    rows = [["figure", *titles], ["---"] * (len(titles) + 1)]
    for name in dict.fromkeys(name for column in columns for name in column):
        rows.append([name, *(_cell(*column.get(name, (np.nan,) * 3)) for column in columns)])
    return _lines(rows)


def _cell(value: float, low: float, high: float) -> str:
    if np.isnan(value):
        return ""
    return f"{value:.4g}" if np.isnan(low) else f"{value:.4g} ({low:.4g} to {high:.4g})"


def _curve(lines: Sequence[tuple[int, float, str, float]]) -> str:
    """Some of the validations: time, losses, early samples."""
    table: dict[int, dict[str, float]] = {}
    for step, elapsed_s, name, value in lines:
        if not name.startswith("train/"):
            table.setdefault(step, {"minutes": elapsed_s / 60})[name] = value
    if not table:
        return "No curve was kept."
    steps = sorted(table)
    shown = sorted({steps[round(at)] for at in np.linspace(0, len(steps) - 1, _SHOWN)})
    names = [*table[steps[0]]]
    rows = [["step", *names], ["---"] * (len(names) + 1)]
    rows += [[f"{s:,}", *(f"{table[s].get(name, np.nan):.4g}" for name in names)] for s in shown]
    return _lines(rows)


def _lines(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
