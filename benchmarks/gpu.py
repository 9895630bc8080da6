"""What a GPU does beside one core of its host: `python benchmarks/gpu.py`.

Crystals of ten atoms through what the calculators do: the diffusion networks with the default
steps, the shipped ensemble from graphs to intervals, CHGNet's energies, forces and stresses one
crystal at a time. Wall time, after one call to warm up. Without CUDA it says so and ends.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import save, table
from predicting import crystals
from sampling import orders
from stargen_crysformer.ensemble import Ensemble
from stargen_crysformer.info import PredictParams, folder_of
from stargen_diffusion.info import SampleParams
from stargen_diffusion.making import Workshop
from stargen_diffusion.model import load_model
from stargen_diffusion.sampling import Plan, Sampler
from stargen_diffusion.weights import weights_file
from stargen_mlip.potential import Chgnet

ATOMS = 10
DEVICES = ("cpu", "cuda")


def per_s(function: Callable[[], Any], count: int) -> float:
    """How many of `count` it does a second."""
    began = time.perf_counter()
    function()
    torch.cuda.synchronize()
    return count / (time.perf_counter() - began)


def sampled(name: str, counts: dict[str, int], folder: Path) -> list[float]:
    params = SampleParams()
    plan = Plan(params.steps, params.correctors, params.gamma)
    rates: list[float] = []
    for device in DEVICES:
        workshop = Workshop(
            Sampler(load_model(weights_file(name, folder)).for_sampling(device), plan)
        )
        workshop.make(orders(8))
        rates.append(per_s(partial(workshop.make, orders(counts[device])), counts[device]))
    return rates


def predicted(counts: dict[str, int], folder: Path) -> tuple[list[float], float]:
    """Rates, and by how much the answers differ."""
    some = crystals(max(counts.values()), ATOMS, ATOMS, seed=2)
    rates, values = list[float](), list[Any]()
    for device in DEVICES:
        ensemble = Ensemble.load(folder_of(PredictParams().weights, folder))
        ensemble.to(device)
        graphs = ensemble.graphs(some[: counts[device]])
        first = ensemble.predict(graphs.take(np.arange(min(counts.values()))), 0.9)
        values.append(first.values)
        rates.append(per_s(partial(ensemble.predict, graphs, 0.9), counts[device]))
    return rates, float(np.abs(values[0] - values[1]).max())


def evaluated(count: int) -> tuple[list[float], float]:
    """Rates, and by how much energies per atom differ."""
    some = crystals(count, ATOMS, ATOMS, seed=2)
    rates, energies = list[float](), list[Any]()
    for device in DEVICES:
        potential = Chgnet("0.3.0", device=device, threads=1)
        potential.evaluate(some[0])
        found = []
        rates.append(per_s(lambda f=found, p=potential: f.extend(map(p.evaluate, some)), count))
        energies.append(np.array([each.energy for each in found]) / ATOMS)
    return rates, float(np.abs(energies[0] - energies[1]).max())


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    if not torch.cuda.is_available():
        print("no CUDA device here")
        return
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("highest")
    rows: list[list[Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for weights, counts in (
            ("mp20-small", {"cpu": 64, "cuda": 4096}),
            ("mp20-medium", {"cpu": 32, "cuda": 2048}),
        ):
            rows.append([f"diffusion.sample {weights}", *sampled(weights, counts, folder), "-"])
        rates, differ = predicted({"cpu": 400, "cuda": 8000}, folder)
        rows.append(["crysformer.predict", *rates, f"{differ:.1e} eV"])
    rates, differ = evaluated(60)
    rows.append(["CHGNet, one by one", *rates, f"{differ:.1e} eV/atom"])
    print(f"crystals/s: one core, and {torch.cuda.get_device_name()}")
    table(
        ["what", "core", "GPU", "times", "differ"],
        [[what, cpu, gpu, gpu / cpu, differ] for what, cpu, gpu, differ in rows],
    )
    save("gpu", {"device": torch.cuda.get_device_name(), "rows": rows})


if __name__ == "__main__":
    main()
