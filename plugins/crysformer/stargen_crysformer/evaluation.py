"""How good an ensemble is on crystals that it has not learnt from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stargen.elements import ATOMIC_NUMBERS
from stargen.errors import UserError
from stargen_crysformer.ensemble import Ensemble, hear, told_of
from stargen_crysformer.graphs import Graphs
from stargen_crysformer.scaling import bounded, errors, fractions_of
from stargen_crysformer.sets import SPLITS, Labelled

Floats = NDArray[np.float64]

COVERAGES = (0.5, 0.68, 0.8, 0.9, 0.95)
_PROMISED = 0.9
_BATCH = 512
_FEW = 20
_ANIONS = (
    ("fluoride", "F"),
    ("oxide", "O"),
    ("chloride", "Cl"),
    ("nitride", "N"),
    ("bromide", "Br"),
    ("iodide", "I"),
    ("sulfide", "S"),
    ("selenide", "Se"),
    ("telluride", "Te"),
    ("other pnictide", "P As Sb Bi"),
)


@dataclass(frozen=True, slots=True)
class TargetReport:
    """Of one target.

    Parameters
    ----------
    ensemble, first_member, composition_fit, mean : errors of the ensemble, one network, the linear
        fit that it builds on, and a constant
    groups : errors of kinds of crystals, with the kind as `group`
    coverage : promised and found share of true values inside intervals
    kept_half : MAE of the half with the smallest expected errors; `kept_gain` its improvement
    """

    target: str
    ensemble: dict[str, float]
    first_member: dict[str, float]
    composition_fit: dict[str, float]
    mean: dict[str, float]
    groups: list[dict[str, Any]]
    coverage: list[tuple[float, float]]
    mean_width: float
    kept_half: float
    kept_gain: float


@dataclass(frozen=True, slots=True)
class Assessment:
    """All targets; arrays of the crystals for plots: labels, values, scales (n, targets)."""

    split: str
    n: int
    doubtful: float
    doubtful_mae: dict[str, float]
    targets: list[TargetReport]
    labels: Floats
    values: Floats
    scales: Floats

    def plain(self) -> dict[str, Any]:
        """For JSON: without the arrays."""
        return {
            "split": self.split,
            "n": self.n,
            "doubtful": self.doubtful,
            "doubtful_mae": self.doubtful_mae,
            "targets": [asdict(each) for each in self.targets],
        }


def assess(ensemble: Ensemble, data: Labelled, split: str) -> Assessment:
    """Predict the crystals of a split, and compare.

    Raises
    ------
    UserError : if the split has no crystal
    """
    if split not in (*SPLITS, "all"):
        raise UserError(f"there is no split {split}", hint=f"one of {[*SPLITS, 'all']}")
    rows = np.arange(len(data)) if split == "all" else data.of_split(split)
    if not len(rows):
        raise UserError(f"the data have no crystal in the split {split}")
    crystals = [data.crystals[i] for i in rows]
    graphs = ensemble.graphs(crystals)
    sound = np.flatnonzero(graphs.usable)
    graphs, labels = graphs.take(sound), data.labels[rows][sound]
    crystals = [crystals[i] for i in sound]
    opinion = ensemble.consult(graphs)
    single = (
        hear(ensemble.members[:1], graphs, ensemble.device)
        .weighed(np.zeros(len(ensemble.targets)))
        .values
    )
    fractions = fractions_of(graphs.numbers, graphs.atoms)
    base = bounded(ensemble.members[0].scaling.base(fractions), ensemble.targets)
    scales = np.stack(
        [each.scale(told_of(opinion, t)) for t, each in enumerate(ensemble.calibration)], axis=1
    )
    shortest = graphs.shortest_ang
    doubtful = np.array(
        [
            bool(ensemble.doubts(crystal, float(near), bool(far <= 1.0)))
            for crystal, near, far in zip(crystals, shortest, opinion.distance, strict=True)
        ]
    )
    members = _groups(graphs, labels)
    reports = [
        _report(ensemble, t, labels, opinion.values, single, base, scales[:, t], members)
        for t in range(len(ensemble.targets))
    ]
    doubts = (
        {
            target: each["mae"]
            for target, each in zip(
                ensemble.targets,
                errors(opinion.values[doubtful], labels[doubtful]),
                strict=True,
            )
        }
        if doubtful.any()
        else {}
    )
    return Assessment(
        split,
        len(sound),
        float(doubtful.mean()),
        doubts,
        reports,
        labels,
        opinion.values,
        scales,
    )


def _report(
    ensemble: Ensemble,
    t: int,
    labels: Floats,
    values: Floats,
    single: Floats,
    base: Floats,
    scale: Floats,
    groups: Sequence[tuple[str, NDArray[np.bool_]]],
) -> TargetReport:
    have = np.isfinite(labels[:, t])
    y = labels[have, t]
    column = slice(t, t + 1)

    def of(found: Floats, rows: NDArray[np.bool_] = have) -> dict[str, float]:
        return errors(found[rows, column], labels[rows, column])[0]

    error = np.abs(values[have, t] - y)
    calibration = ensemble.calibration[t]
    coverage = [
        (level, float((error <= scale[have] * calibration.times(level)).mean()))
        for level in COVERAGES
    ]
    half = np.argsort(scale[have])[: max(len(y) // 2, 1)]
    kept = float(error[half].mean())
    told = [
        {"group": name, **of(values, have & rows)}
        for name, rows in groups
        if (have & rows).sum() >= _FEW
    ]
    constant = np.full_like(labels, np.median(y))
    return TargetReport(
        ensemble.targets[t],
        of(values),
        of(single),
        of(base),
        of(constant),
        told,
        coverage,
        float(2 * (scale[have] * calibration.times(_PROMISED)).mean()),
        kept,
        1 - kept / float(error.mean()),
    )


def _groups(graphs: Graphs, labels: Floats) -> list[tuple[str, NDArray[np.bool_]]]:
    fractions = fractions_of(graphs.numbers, graphs.atoms)
    n_elements = (fractions > 0).sum(axis=1)
    found = [
        (f"{n} element{'s' if n > 1 else ''}" + (" or more" if n == 5 else ""), rows)
        for n in range(1, 6)
        for rows in [n_elements >= n if n == 5 else n_elements == n]
    ]
    left = np.ones(len(fractions), dtype=bool)
    for name, symbols in _ANIONS:
        columns = [ATOMIC_NUMBERS[symbol] for symbol in symbols.split()]
        mine = left & (fractions[:, columns].sum(axis=1) > 0) & (n_elements > 1)
        found.append((name, mine))
        left &= ~mine
    found.append(("intermetallic and other", left))
    return found


def tables(assessment: Assessment) -> Iterable[tuple[str, list[str], list[list[str]]]]:
    """What people read: titles, headings, rows."""
    names = ("n", "mae", "rmse", "r2")
    for each in assessment.targets:
        rows = [
            [what, *(_cell(found[name]) for name in names)]
            for what, found in (
                (f"ensemble on {assessment.split}", each.ensemble),
                ("one network", each.first_member),
                ("linear in composition", each.composition_fit),
                ("median", each.mean),
                *((group["group"], group) for group in each.groups),
            )
        ]
        yield each.target, ["", *(f">{name}" for name in names)], rows
        yield (
            f"{each.target}: intervals",
            [">promised", ">found"],
            [[f"{100 * a:.0f} %", f"{100 * b:.1f} %"] for a, b in each.coverage],
        )
        yield (
            f"{each.target}: uncertainty",
            ["", ">"],
            [
                ["mean width at 90 %", _cell(each.mean_width)],
                ["MAE of the more certain half", _cell(each.kept_half)],
                ["which is smaller by", f"{100 * each.kept_gain:.0f} %"],
            ],
        )
    doubtful = [[target, _cell(mae)] for target, mae in assessment.doubtful_mae.items()]
    share = f"{100 * assessment.doubtful:.1f} % of {assessment.n:,} crystals are doubtful"
    yield share, ["target", ">their MAE"], doubtful


def summary(assessment: Assessment) -> tuple[str, list[str], list[list[str]]]:
    """One line for each target: for crystals of another kind, which need no detail."""
    names = ("n", "mae", "bias", "rmse", "r2")
    headings = ["", *(f">{n}" for n in names), ">in 90 % intervals", ">mae, more certain half"]
    rows = [
        [each.target]
        + [_cell(each.ensemble[name]) for name in names]
        + [f"{100 * dict(each.coverage)[_PROMISED]:.1f} %", _cell(each.kept_half)]
        for each in assessment.targets
    ]
    share = f"{100 * assessment.doubtful:.1f} % of {assessment.n:,} crystals are doubtful"
    return f"Crystals of another kind: {share}", headings, rows


def _cell(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
