"""Trains a line; as a program for the tests that kill it or start it twice."""

from __future__ import annotations

import argparse
import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from stargen_training.loop import train
from stargen_training.options import Options
from torch import nn


@dataclass
class Points:
    x: torch.Tensor
    y: torch.Tensor

    def to(self, device):
        return Points(self.x.to(device), self.y.to(device))


class Line:
    """y = x·w with noise; dropout and noise on the input, so that chance plays its part."""

    objective = "val/mae"

    def __init__(self, size=100, noise=0.01, dropout=0.1, die_at=None):
        rng = np.random.default_rng(5)
        self._x = rng.normal(size=(size, 4))
        self._y = self._x @ [1.0, -2.0, 3.0, 0.5] + 0.1
        self._noise, self._dropout, self._die_at = noise, dropout, die_at
        self.size = size
        self.identity = {"network": "line"}
        self._batches = 0

    def model(self):
        return nn.Sequential(
            nn.Linear(4, 16), nn.Tanh(), nn.Dropout(self._dropout), nn.Linear(16, 1)
        )

    def batch(self, indices, rng):
        self._batches += 1
        if self._batches == self._die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        x = self._x[indices] + self._noise * rng.normal(size=(len(indices), 4))
        return Points(
            torch.tensor(x, dtype=torch.float32),
            torch.tensor(self._y[indices], dtype=torch.float32),
        )

    def loss(self, model, batch):
        error = (model(batch.x)[:, 0] - batch.y).abs()
        return error.mean(), {"train/worst": error.max().item()}

    def validate(self, model, device):
        x = torch.tensor(self._x, dtype=torch.float32, device=device)
        error = model(x)[:, 0].cpu().numpy() - self._y
        return {"val/mae": float(np.abs(error).mean())}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--die-at", type=int)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--certain", action="store_true", help="no noise, no dropout")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    chance = {"noise": 0.0, "dropout": 0.0} if asked.certain else {}
    options = Options(
        steps=asked.steps,
        batch=8,
        learning_rate=0.05,
        validate_every=20,
        average=0.9,
        checkpoint_every_s=0.0,
        device="cpu",
    )
    found = train(Line(die_at=asked.die_at, **chance), options, asked.folder)
    if found.first:
        weights = {name: value.tolist() for name, value in found.model.state_dict().items()}
        told = {"steps": found.steps, "finished": found.finished, "weights": weights}
        (asked.folder / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
