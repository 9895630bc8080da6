"""A model card: what weights are, what they are worth, where they end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from stargen.files import make_folder, write_atomically
from stargen_crysformer.ensemble import Ensemble
from stargen_crysformer.evaluation import Assessment, summary, tables

_LIMITS = """## Limits

- Relaxed crystals were learnt. Of a crystal that is not at its minimum the energy of the minimum
  nearby is a guess.
- Band gaps are those of the functional of the data (PBE), which are too small by about 40 %.
- Energies are comparable with those of the data alone: the same functional and corrections.
- Disorder, charge, magnetism and pressure are unknown to it.
- Intervals hold what they promise for crystals like those of the data. `prediction_doubtful` marks
  elements that were never learnt, atoms closer than 0.7 Å, and crystals unlike those learnt.
"""


def write_card(
    path: Path,
    ensemble: Ensemble,
    assessment: Assessment,
    beyond: Assessment | None = None,
    about: str = "",
) -> None:
    """Write the card, and plots of predictions and calibration beside it if matplotlib is there.

    Parameters
    ----------
    beyond : of crystals of another kind
    about : what only people know: where the data are from, and on what terms
    """
    make_folder(path.parent)
    config = ensemble.members[0].network.config
    weights = sum(p.numel() for p in ensemble.members[0].network.parameters())
    seeing = [member for member in ensemble.members if member.network.config.blocks]
    lines = [
        f"# Crysformer: {', '.join(ensemble.targets)}",
        "",
        *([about.strip(), ""] if about else []),
        f"{len(seeing)} networks of {weights:,} weights: {config.irreps}, "
        f"{config.blocks} blocks, {config.heads} heads, {config.neighbours} nearest neighbours.",
        *_composition(ensemble),
        f"Data: digest {ensemble.notes['data']}. Measured on the split `{assessment.split}`, "
        f"{assessment.n:,} crystals.",
        "",
        *_training(ensemble),
    ]
    for title, headings, rows in tables(assessment):
        lines += [f"## {title}", "", *_markdown(headings, rows), ""]
    if beyond is not None:
        title, headings, rows = summary(beyond)
        lines += [f"## {title}", "", *_markdown(headings, rows), ""]
    plots = _plots(path, ensemble, assessment)
    lines += [f"![{name}]({name})" for name in plots] + ([""] if plots else [])
    lines.append(_LIMITS)
    write_atomically(path, "\n".join(lines).encode())


def _composition(ensemble: Ensemble) -> list[str]:
    """What the network counts that sees composition alone, if there is one."""
    last = ensemble.members[-1].network
    if last.config.blocks or len(ensemble.members) == 1:
        return []
    weights = sum(p.numel() for p in last.parameters())
    counts = ", ".join(
        f"{100 * part:.0f} % for {target}"
        for target, part in zip(ensemble.targets, ensemble.parts, strict=True)
    )
    return [f"A network of {weights:,} weights sees composition alone; it counts {counts}."]


def _training(ensemble: Ensemble) -> list[str]:
    rows = [
        [
            str(number) if member.network.config.blocks else "composition",
            f"{member.notes.get('steps', 0):,}",
            str(member.notes.get("minutes", "")),
            *(f"{member.notes['validation'][f'val/{t}']:.4f}" for t in ensemble.targets),
        ]
        for number, member in enumerate(ensemble.members)
    ]
    headings = ["member", ">steps", ">minutes", *(f">val MAE {t}" for t in ensemble.targets)]
    options = ensemble.members[0].notes.get("options", {})
    told = ", ".join(f"{name} {value}" for name, value in options.items())
    corrections = ensemble.notes.get("corrections") or "not stated"
    return [
        "## Training",
        "",
        *_markdown(headings, rows),
        "",
        f"Options of the first member: {told}. Corrections of the energies: {corrections}.",
        "",
    ]


def _markdown(headings: list[str], rows: list[list[str]]) -> list[str]:
    titles = [heading.lstrip(">") or " " for heading in headings]
    marks = ["---:" if heading.startswith(">") else "---" for heading in headings]
    return [f"| {' | '.join(cells)} |" for cells in (titles, marks, *rows)]


def _plots(path: Path, ensemble: Ensemble, assessment: Assessment) -> list[str]:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return []
    names: list[str] = []
    for t, report in enumerate(assessment.targets):
        figure = Figure(figsize=(9, 4), layout="constrained")
        left, right = figure.subplots(1, 2)
        have = np.isfinite(assessment.labels[:, t])
        _parity(left, assessment.labels[have, t], assessment.values[have, t], report.target)
        _coverage(right, assessment, ensemble, t, have)
        names.append(f"{path.stem}-{report.target}.svg")
        # without a date, the same content is the same file
        figure.savefig(path.with_name(names[-1]), metadata={"Date": None})
    return names


def _parity(axes: Any, labels: Any, values: Any, target: str) -> None:
    axes.scatter(labels, values, s=3, alpha=0.4, linewidths=0, rasterized=True)
    ends = [min(labels.min(), values.min()), max(labels.max(), values.max())]
    axes.plot(ends, ends, color="0.4", linewidth=0.8)
    axes.set_xlabel(f"{target}, data (eV)")
    axes.set_ylabel("predicted (eV)")


def _coverage(axes: Any, assessment: Assessment, ensemble: Ensemble, t: int, have: Any) -> None:
    error = np.abs(assessment.values[have, t] - assessment.labels[have, t])
    promised = np.arange(0.02, 0.99, 0.02)
    scores = error / assessment.scales[have, t]
    found = [(scores <= ensemble.calibration[t].times(level)).mean() for level in promised]
    axes.plot(promised, found)
    axes.plot([0, 1], [0, 1], color="0.4", linewidth=0.8)
    axes.set_xlabel("promised coverage")
    axes.set_ylabel("found")
