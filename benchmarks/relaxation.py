"""What a step and a relaxation with CHGNet cost: `python benchmarks/relaxation.py`.

Each prototype of pymatgen's AFLOW collection, noise added, is evaluated by `stargen_mlip` and by
`CHGNet.predict_structure`, the results compared, and relaxed with both optimizers. One thread.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from chgnet.model.model import CHGNet
from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY
from stargen_mlip.optimizers import OPTIMIZERS
from stargen_mlip.potential import Chgnet, NotEvaluableError
from stargen_mlip.relaxation import Relaxation

from stargen import Crystal

RESULTS = Path(__file__).parent / "results" / "relaxation.json"
FMAX, STEPS = 0.05, 300


def crystals(count: int) -> list[Crystal]:
    rng = np.random.default_rng(0)
    found = []
    for entry in AFLOW_PROTOTYPE_LIBRARY:
        structure = entry["snl"].structure
        if structure.is_ordered and 2 <= len(structure) <= 20:
            noise = rng.normal(0, 0.05, (len(structure), 3))
            clean = Crystal.from_pymatgen(structure)
            shift = noise @ np.linalg.inv(clean.lattice)
            found.append(Crystal.of(clean.lattice * 1.03, clean.frac_coords + shift, clean.numbers))
    return found[:: max(1, len(found) // count)][:count]


def relax(potential: Chgnet, crystal: Crystal, optimizer: str) -> tuple[int, bool]:
    relaxation = Relaxation.start(crystal, optimizer, cell=True)
    while True:
        try:
            forces = relaxation.forces(potential.evaluate(relaxation.crystal))
        except NotEvaluableError:
            return relaxation.steps, False
        converged = np.linalg.norm(forces, axis=1).max() < FMAX
        if converged or relaxation.steps >= STEPS:
            return relaxation.steps, bool(converged)
        relaxation.move(forces)


def timed(evaluate, things) -> tuple[float, float, list]:
    """Wall and CPU milliseconds each, and the results."""
    results, wall, cpu = [], time.perf_counter(), time.process_time()
    for thing in things:
        results.append(evaluate(thing))
    each = 1000 / len(things)
    return (time.perf_counter() - wall) * each, (time.process_time() - cpu) * each, results


def main(count: int = 24) -> None:
    potential = Chgnet("0.3.0", device="cpu", threads=1)
    net = CHGNet.load(verbose=False, use_device="cpu")
    sample = crystals(count)
    structures = [crystal.to_pymatgen() for crystal in sample]
    potential.evaluate(sample[0])
    net.predict_structure(structures[0], task="efs")
    ours_ms, ours_cpu_ms, ours = timed(potential.evaluate, sample)
    theirs_ms, theirs_cpu_ms, theirs = timed(
        lambda structure: net.predict_structure(structure, task="efs"), structures
    )
    worst = max(abs(a.forces - b["f"]).max() for a, b in zip(ours, theirs, strict=True))
    sizes = [crystal.n_atoms for crystal in sample]
    table = {
        "crystals": len(sample),
        "median_atoms": float(np.median(sizes)),
        "step_ms": ours_ms,
        "step_cpu_ms": ours_cpu_ms,
        "predict_structure_ms": theirs_ms,
        "predict_structure_cpu_ms": theirs_cpu_ms,
        "step_ratio": ours_cpu_ms / theirs_cpu_ms,
        "largest_force_difference_ev_per_ang": float(worst),
    }
    for name in OPTIMIZERS:
        wall_ms, _, ends = timed(lambda crystal, name=name: relax(potential, crystal, name), sample)
        table[f"{name}_s_per_crystal"] = wall_ms / 1000
        table[f"{name}_mean_steps"] = float(np.mean([steps for steps, _ in ends]))
        table[f"{name}_converged"] = sum(converged for _, converged in ends)
    for name, value in table.items():
        print(f"{name:40} {value:12.4g}")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
