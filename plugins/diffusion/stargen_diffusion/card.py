"""The model card: what weights are, where they come from, what they can do, what they cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from stargen_diffusion.measures import Interval
from stargen_diffusion.model import Model

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

## Figures

Settings: {settings}.

| figure | value | 95 % interval |
| --- | --- | --- |
{figures}

Shares count everything that was asked for. Compositional validity by two rules: smact14 with
Pauling's test and alloys allowed, as published tables have it, and the default of `filters.charge`.
Coverage is defined in `stargen_diffusion/measures.py` and is not CDVAE's COV.

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
) -> str:
    """Markdown from weights and their evaluation; `statement` says whose the data are."""
    config, notes, statistics = model.config, model.notes, model.statistics
    metrics = notes.get("metrics", {})
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
        settings=", ".join(f"{key} {value}" for key, value in settings.items()),
        figures="\n".join(_row(key, *value) for key, value in figures.items()),
        max_atoms=len(statistics.n_atoms) - 1,
        elements=np.count_nonzero(statistics.elements),
    )


def _row(name: str, value: float, low: float, high: float) -> str:
    return f"| {name} | {value:.4g} | {'' if np.isnan(low) else f'{low:.4g} to {high:.4g}'} |"
