"""Crysformer, CGCNN and composition alone, trained alike: `benchmarks/accuracy.py DATA.npz`.

Same data and split, same budget of CPU minutes, same loop, same machine. How many steps fit into
the budget is measured before each training by the CPU time of a few. Errors are of the test split,
by the step that was best on validation. Crysformer is what `stargen train crysformer --members 1`
makes: a network that sees structures, with four fifths of the budget, and one that sees composition
alone; what that counts is read off the validation split. What is trained already is read, so that
a second run prints the table at once; `--only NAME` trains one, for several processes.
`--minutes 0.1` shows that it works.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cgcnn import Other, parameters
from common import HERE, peak_mib, save, table
from stargen_crysformer.config import preset
from stargen_crysformer.ensemble import Voices
from stargen_crysformer.learning import Learning, outputs
from stargen_crysformer.scaling import bounded, errors
from stargen_crysformer.sets import Labelled, read
from stargen_crysformer.training import COMPOSITION_EPOCHS
from stargen_training.loop import train
from stargen_training.optimization import adamw
from stargen_training.options import Options
from stargen_training.order import Order

TARGETS = ("formation_energy_per_atom", "band_gap")
SHARES = {"structure": 0.8, "own composition": 0.2, "cgcnn": 1.0, "composition": 1.0}
"""What is trained -> of the budget. The first two are Crysformer."""
BATCH = 32
_PROBES = 40


def task_of(name: str, data: Labelled) -> Learning:
    if name == "cgcnn":
        return Other(preset("small", targets=TARGETS), data)
    return Learning(
        preset("small" if name == "structure" else "composition", targets=TARGETS), data
    )


def most_steps(name: str, task: Learning) -> int:
    """Beyond which composition is learnt by heart."""
    return COMPOSITION_EPOCHS * task.size // BATCH if "composition" in name else 10**9


def step_cpu_s(task: Learning) -> float:
    """CPU seconds of a step, as the loop takes it, by the median of some."""
    torch.manual_seed(0)
    model = task.model().train()
    optimizer, order, seconds = adamw(model, 1e-3, 1e-3), Order(task.size, BATCH, 1), []
    for step in range(_PROBES):
        began = time.process_time()
        batch = task.batch(order.indices(step, 0, 1), order.rng(step, 0))
        loss, _ = task.loss(model, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seconds.append(time.process_time() - began)
    return float(np.median(seconds[_PROBES // 4 :]))


def measure(name: str, data: Labelled, minutes: float, folder: Path) -> dict[str, Any]:
    """Train, if that is not done yet; values on validation and test, and what they cost."""
    kept, values_file = folder / f"{name}.json", folder / f"{name}.npz"
    if kept.is_file():
        return json.loads(kept.read_text()) | dict(np.load(values_file))
    task = task_of(name, data)
    if not task.graphs.usable.all():
        raise SystemExit("some crystals have two atoms in one place; leave them out")
    budget = folder / f"{name}.steps"
    if not budget.is_file():
        fit = int(minutes * SHARES[name] * 60 / step_cpu_s(task))
        budget.write_text(str(max(min(fit, most_steps(name, task)), 10)))
    steps = int(budget.read_text())
    options = Options(steps=steps, batch=BATCH, validate_every=max(steps // 20, 10), device="cpu")
    began = time.process_time()
    found = train(task, options, folder / name, title=name)
    if not found.finished:
        raise SystemExit("stopped; the same command goes on")
    values: dict[str, Any] = {}
    for split in ("val", "test"):
        rows = data.of_split(split)
        given, _, _ = outputs(found.model, task.graphs, rows, torch.device("cpu"))
        values[split] = task.scaling.values(task.fractions[rows], given)
    told = {
        "weights": parameters(found.model),
        "epochs": round(steps * BATCH / task.size, 1),
        "cpu_min": round((time.process_time() - began) / 60, 1),
    }
    np.savez(values_file, **values)
    kept.write_text(json.dumps(told))
    return told | values


def together(found: dict[str, dict[str, Any]], data: Labelled) -> dict[str, Any]:
    """Crysformer's two networks, weighed as `calibrate` weighs them."""
    seeing, blind = found["structure"], found["own composition"]
    labels = data.labels[data.of_split("val")]
    voices = Voices(
        np.array([seeing["val"], blind["val"]]),
        np.ones((2, *labels.shape)),
        np.zeros(len(labels)),
        np.array([False, True]),
        TARGETS,
    )
    parts = voices.best_parts(labels)
    return {
        "weights": seeing["weights"] + blind["weights"],
        "cpu_min": seeing["cpu_min"] + blind["cpu_min"],
        "test": (1 - parts) * seeing["test"] + parts * blind["test"],
    }


def gain(lower: np.ndarray) -> tuple[float, float, float]:
    """Mean over the crystals with a label, and its 95 % interval by drawing crystals anew."""
    known = lower[np.isfinite(lower)]
    rng = np.random.default_rng(0)
    means = [rng.choice(known, len(known)).mean() for _ in range(2000)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(known.mean()), float(low), float(high)


def simple(data: Labelled) -> dict[str, dict[str, Any]]:
    """What needs no training: the linear fit that all build on, and a constant."""
    task = task_of("composition", data)
    test, learnt = data.of_split("test"), data.labels[data.of_split("train")]
    constant = np.tile(np.nanmedian(learnt, axis=0), (len(test), 1))
    return {
        "linear in composition": {"test": task.scaling.base(task.fractions[test])},
        "median": {"test": constant},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="labelled crystals, .npz with a split")
    parser.add_argument("--minutes", type=float, default=15.0, help="CPU minutes of each training")
    parser.add_argument("--only", choices=SHARES, help="train this one, print no table")
    parser.add_argument("--folder", type=Path, help="of the trainings")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    folder = asked.folder or HERE / "results" / f"accuracy-{asked.minutes:g}min"
    folder.mkdir(parents=True, exist_ok=True)
    data = read([asked.data], TARGETS)
    if asked.only:
        measure(asked.only, data, asked.minutes, folder)
        return
    trained = {name: measure(name, data, asked.minutes, folder) for name in SHARES}
    rows = {"crysformer": together(trained, data)} | trained | simple(data)
    labels = data.labels[data.of_split("test")]
    print(f"{asked.minutes:g} CPU minutes each; {len(labels):,} test crystals")
    columns = ("weights", "epochs", "cpu_min")
    found = {name: errors(bounded(row["test"], TARGETS), labels) for name, row in rows.items()}
    cells = [
        [name, *(row.get(c) or "" for c in columns)]
        + [f"{each[what]:.4f}" for each in found[name] for what in ("mae", "rmse", "r2")]
        for name, row in rows.items()
    ]
    heads = [f"{short} {what}" for short in ("E_f", "gap") for what in ("MAE", "RMSE", "R2")]
    table(["model", "weights", "epochs", "CPU min", *heads], cells)
    mine, gains = np.abs(bounded(rows["crysformer"]["test"], TARGETS) - labels), {}
    for name in ("cgcnn", "composition"):
        gained = np.abs(bounded(rows[name]["test"], TARGETS) - labels) - mine
        gains[name] = [gain(each) for each in gained.T]
        told = "; ".join(
            f"{target} {mean:.4f} ({low:.4f} to {high:.4f})"
            for target, (mean, low, high) in zip(TARGETS, gains[name], strict=True)
        )
        print(f"MAE lower than that of {name} by: {told}")
    save(
        "accuracy",
        {"minutes": asked.minutes, "errors": found, "gains": gains, "peak_mib": peak_mib()},
    )


if __name__ == "__main__":
    main()
