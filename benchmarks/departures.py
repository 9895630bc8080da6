"""What each departure from the paper's network is worth: `python benchmarks/departures.py DATA`.

The small network is trained once as it is shipped and once without each departure, for equally many
steps on the same crystals in the same order, and sampled from with the same noise. Few steps: it
tells which form learns faster, not where each ends.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from common import save, table
from stargen_diffusion import judging
from stargen_diffusion.commands import TRAINING
from stargen_diffusion.config import PRESETS
from stargen_diffusion.data import cleaned
from stargen_diffusion.learning import DiffusionTask, LossWeights
from stargen_diffusion.measures import wasserstein
from stargen_diffusion.model import Model, save_model
from stargen_diffusion.sources import read
from stargen_training.loop import train

SHIPPED = PRESETS["small"]
FORMS = {
    "as shipped": SHIPPED,
    "one-hot types": replace(SHIPPED, types="onehot"),
    "raw lattice": replace(SHIPPED, lattice="raw"),
    "scaled lattice": replace(SHIPPED, lattice="scaled"),
    "targets with their mean": replace(SHIPPED, mean_free=False),
    "counts untold": replace(SHIPPED, counts=False),
}


def measured(name: str, task: DiffusionTask, steps: int, samples: int) -> dict[str, Any]:
    options = replace(TRAINING, steps=steps, validate_every=steps)
    with TemporaryDirectory() as folder:
        began = time.process_time()
        outcome = train(task, options, Path(folder), quiet=True)
        took = time.process_time() - began
        save_model(Path(folder) / "w.npz", Model(outcome.model, task.statistics))
        params = {"weights": "w.npz", "steps": 50}
        made = judging.sampled("diffusion.sample", samples, params, 0, Path(folder)).candidates
        neutral = judging.balanced(made, Path(folder))["smact14"]
    crystals = [candidate.crystal for candidate in made]
    sound = sum(map(judging.structurally_valid, crystals))
    densities = np.array([crystal.volume / crystal.n_atoms for crystal in crystals])
    truth = np.array([crystal.volume / crystal.n_atoms for crystal in task.val])
    return {
        "form": name,
        "train_cpu_s": took,
        "cells": len(made) / samples,
        "structurally_valid": sound / samples,
        "neutral": len(neutral) / samples,
        "elements": float(np.mean([len(set(crystal.symbols)) for crystal in crystals])),
        "volume_distance": wasserstein(densities, truth).value,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--samples", type=int, default=256)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = read(options.data)
    parts = [cleaned(rows.of(split, 0.1), 20).crystals for split in ("train", "val")]
    found = []
    for name, config in FORMS.items():
        weights = LossWeights(types=20.0 if config.types == "onehot" else 1.0)
        task = DiffusionTask(config, parts[0], parts[1], weights, samples=0)
        found.append(measured(name, task, options.steps, options.samples))
        print(found[-1], flush=True)
    table([*found[0]], [[*row.values()] for row in found])
    save("departures", found)


if __name__ == "__main__":
    main()
