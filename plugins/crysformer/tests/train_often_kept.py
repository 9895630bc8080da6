"""Trains one network with a checkpoint at every step; for the test that kills it."""

import sys
from pathlib import Path

import torch
from stargen_crysformer.config import Config
from stargen_crysformer.sets import read
from stargen_crysformer.training import Plan, train_ensemble
from stargen_training.options import Options

TARGETS = ("formation_energy_per_atom", "band_gap")


def main():
    file, folder = (Path(argument) for argument in sys.argv[1:])
    torch.set_num_threads(1)
    config = Config(
        irreps="16x0e+8x1e", blocks=1, basis=16, radial=(16,), dropout=0.1, targets=TARGETS
    )
    options = Options(
        steps=90, batch=16, validate_every=30, checkpoint_every_s=0.0, average=0.9, device="cpu"
    )
    train_ensemble(Plan(config, options, folder, [0], 1), read([file], TARGETS), quiet=True)


if __name__ == "__main__":
    main()
