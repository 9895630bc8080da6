"""Crysformer, CGCNN and composition alone, trained alike: `benchmarks/accuracy.py DATA.npz`.

Same data and split, same budget of CPU minutes, same loop, same machine. How many steps fit into
the budget is measured before each training by the CPU time of a few. Errors are of the test split,
by the step that was best on validation. What is trained already is read, so that a second run
prints the table at once; `--only NAME` trains one, for several processes. `--minutes 0.1` shows
that it works.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cgcnn import CGCNN, Composition, Other, parameters
from common import HERE, save, table
from stargen_crysformer.config import preset
from stargen_crysformer.learning import Learning, outputs
from stargen_crysformer.scaling import bounded, errors
from stargen_crysformer.sets import Labelled, read
from stargen_training.loop import train
from stargen_training.optimization import adamw
from stargen_training.options import Options
from stargen_training.order import Order

TARGETS = ("formation_energy_per_atom", "band_gap")
NAMES = ("crysformer", "cgcnn", "composition")
BATCH = 32
_PROBES = 40


def task_of(name: str, data: Labelled) -> Learning:
    config = preset("small", targets=TARGETS)
    if name == "crysformer":
        return Learning(config, data)
    return Other(name, {"cgcnn": CGCNN, "composition": Composition}[name], config, data)


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
    """Train, if that is not done yet, and read off the errors on test."""
    kept = folder / f"{name}.json"
    if kept.is_file():
        return json.loads(kept.read_text())
    task = task_of(name, data)
    budget = folder / f"{name}.steps"
    if not budget.is_file():
        budget.write_text(str(max(int(minutes * 60 / step_cpu_s(task)), 10)))
    steps = int(budget.read_text())
    options = Options(steps=steps, batch=BATCH, validate_every=max(steps // 20, 10), device="cpu")
    began = time.process_time()
    found = train(task, options, folder / name, title=name)
    if not found.finished:
        raise SystemExit("stopped; the same command goes on")
    rows = data.of_split("test")
    rows = rows[task.graphs.usable[rows]]
    given, _, _ = outputs(found.model, task.graphs, rows, torch.device("cpu"))
    values = bounded(task.scaling.values(task.fractions[rows], given), TARGETS)
    told = {
        "model": name,
        "weights": parameters(found.model),
        "epochs": round(steps * BATCH / task.size, 1),
        "cpu_min": round((time.process_time() - began) / 60, 1),
        "errors": errors(values, data.labels[rows]),
    }
    kept.write_text(json.dumps(told))
    return told


def simple(data: Labelled) -> list[dict[str, Any]]:
    """What needs no training: the linear fit that all build on, and a constant."""
    task = task_of("composition", data)
    test, learnt = data.of_split("test"), data.labels[data.of_split("train")]
    base = bounded(task.scaling.base(task.fractions[test]), TARGETS)
    constant = np.tile(np.nanmedian(learnt, axis=0), (len(test), 1))
    return [
        {"model": name, "weights": None, "errors": errors(values, data.labels[test])}
        for name, values in (("linear in composition", base), ("median", constant))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="labelled crystals, .npz with a split")
    parser.add_argument("--minutes", type=float, default=15.0, help="CPU minutes of each training")
    parser.add_argument("--only", choices=NAMES, help="train this one, print no table")
    parser.add_argument("--folder", type=Path, help="of the trainings")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    folder = asked.folder or HERE / "results" / f"accuracy-{asked.minutes:g}min"
    folder.mkdir(parents=True, exist_ok=True)
    data = read([asked.data], TARGETS)
    if asked.only:
        measure(asked.only, data, asked.minutes, folder)
        return
    rows = [measure(name, data, asked.minutes, folder) for name in NAMES]
    rows += simple(data)
    print(f"{asked.minutes:g} CPU minutes each; {len(data.of_split('test')):,} test crystals")
    columns = ("weights", "epochs", "cpu_min")
    cells = [
        [row["model"], *(row.get(c) or "" for c in columns)]
        + [f"{each[what]:.4f}" for each in row["errors"] for what in ("mae", "rmse", "r2")]
        for row in rows
    ]
    heads = [f"{short} {what}" for short in ("E_f", "gap") for what in ("MAE", "RMSE", "R2")]
    table(["model", "weights", "epochs", "CPU min", *heads], cells)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    save("accuracy", {"minutes": asked.minutes, "rows": rows, "peak_mib": peak_mib})


if __name__ == "__main__":
    main()
