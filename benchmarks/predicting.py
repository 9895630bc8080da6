"""How fast properties are predicted: `python benchmarks/predicting.py`.

The network in three forms in the same run: by e3nn, in plain tensor algebra, and rewritten for
inference; neighbour lists against pymatgen's; and the shipped ensemble from crystals to calibrated
intervals. Answers are compared, not only timed. CPU time of one thread, the best of some repeats.
`--quick` takes fewer crystals and repeats.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from common import save, table, verdict
from stargen_crysformer.config import Config
from stargen_crysformer.ensemble import Ensemble
from stargen_crysformer.graphs import Batch, Graphs
from stargen_crysformer.inference import Inference
from stargen_crysformer.info import SHIPPED, PredictParams
from stargen_crysformer.neighbours import TIE_ANG
from stargen_crysformer.network import Crysformer
from stargen_crysformer.reference import Reference

from stargen import Crystal

IRREPS, BLOCKS, ATOMS, NEIGHBOURS, BATCH = "128x0e+32x1e", 6, 10, 12, 16


def best(function: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """The least CPU seconds that it took, and what it gave."""
    found, seconds = function(), []
    for _ in range(repeats):
        began = time.process_time()
        function()
        seconds.append(time.process_time() - began)
    return min(seconds), found


def crystals(count: int, least: int, most: int, seed: int = 0) -> list[Crystal]:
    """Atoms at random in triclinic cells, 17 Å^3 each."""
    rng = np.random.default_rng(seed)
    made = []
    while len(made) < count:
        n = int(rng.integers(least, most + 1))
        lattice = np.eye(3) + rng.uniform(-0.3, 0.3, (3, 3))
        lattice *= (17 * n / abs(np.linalg.det(lattice))) ** (1 / 3)
        crystal = Crystal.of(lattice, rng.random((n, 3)), rng.choice([3, 8, 14, 22, 26, 57], n))
        if Graphs.of([crystal], 1).shortest_ang[0] > 0.7:
            made.append(crystal)
    return made


def forms(repeats: int) -> list[dict[str, Any]]:
    """One network, the same numbers by all three."""
    torch.manual_seed(0)
    config = Config(
        irreps=IRREPS, blocks=BLOCKS, attention=16, basis=64, radial=(64,), targets=("a", "b")
    )
    network = Crysformer(config).eval().requires_grad_(False)
    batch = Graphs.of(crystals(BATCH, ATOMS, ATOMS), NEIGHBOURS).batch()
    kept: list[Callable[[Batch], Any]] = [Reference(network), network, Inference(network)]
    rows = []
    with torch.inference_mode():
        plain = network(batch)
        for name, form in zip(("e3nn", "plain", "rewritten"), kept, strict=True):
            seconds, found = best(lambda form=form: form(batch), repeats)
            off = max(float((a - b).abs().max()) for a, b in zip(found, plain, strict=True))
            rows.append({"form": name, "per_s": BATCH / seconds, "largest_difference": off})
    return rows


def graphs(count: int, repeats: int) -> list[dict[str, Any]]:
    """Against pymatgen's list, cut to the k nearest with their ties; a list that is long enough."""
    rows = []
    for least, most in ((2, 6), (10, 20)):
        some = crystals(count, least, most, seed=1)
        seconds, ours = best(lambda some=some: Graphs.of(some, NEIGHBOURS), repeats)
        structures = [crystal.to_pymatgen() for crystal in some[: count // 10]]
        began = time.process_time()
        theirs = [structure.get_neighbor_list(8.0, exclude_self=True) for structure in structures]
        theirs_s = time.process_time() - began
        lengths = np.linalg.norm(ours.vectors, axis=1)
        place, same = 0, 0
        for crystal, (centres, _, _, distances) in zip(some, theirs, strict=False):
            for atom in range(crystal.n_atoms):
                mine = np.sort(distances[centres == atom])
                near = mine[mine <= mine[NEIGHBOURS - 1] + TIE_ANG]
                found = np.sort(lengths[place : place + len(near)])
                place += len(near)
                same += len(found) == len(near) and np.allclose(found, near, atol=1e-4)
        atoms = sum(structure.num_sites for structure in structures)
        rows.append(
            {
                "atoms": f"{least}-{most}",
                "per_s": count / seconds,
                "pymatgen_per_s": len(structures) / theirs_s,
                "same": same / atoms,
            }
        )
    return rows


def shipped(count: int, repeats: int) -> dict[str, Any] | None:
    """From crystals to values, intervals and doubts, as `crysformer.predict` does it."""
    folder = SHIPPED / PredictParams().weights
    if not folder.is_dir():
        return None
    ensemble = Ensemble.load(folder)
    some = crystals(count, ATOMS, ATOMS, seed=2)

    def predict() -> Any:
        graphs = ensemble.graphs(some)
        found = ensemble.predict(graphs, 0.9)
        near = graphs.shortest_ang
        doubts = [ensemble.doubts(c, float(near[i]), True) for i, c in enumerate(some)]
        return found, doubts

    seconds, (found, _) = best(predict, repeats)
    assert np.isfinite(found.values).all()
    assert (found.low <= found.high).all()
    size = sum(path.stat().st_size for path in folder.iterdir())
    return {
        "members": len(ensemble.members),
        "network": ensemble.members[0].network.config.irreps,
        "mib": size / 2**20,
        "per_s": count / seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer crystals and repeats")
    parser.add_argument("--repeats", type=int, default=10)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    count, repeats = (200, 2) if asked.quick else (2000, asked.repeats)

    print(f"{IRREPS}, {BLOCKS} blocks, {ATOMS} atoms x {NEIGHBOURS} neighbours, one thread")
    networks = forms(repeats)
    table(["form", "structures/s", "largest difference"], [[*row.values()] for row in networks])
    lists = graphs(count, repeats)
    table(["atoms", "graphs/s", "pymatgen", "same"], [[*row.values()] for row in lists])
    whole = shipped(count // 10, repeats)
    print("the shipped ensemble, from crystals to intervals")
    if whole is None:
        print("no weights are shipped\n")
    else:
        table([*whole], [[*whole.values()]])

    e3nn, _, rewritten = networks
    verdict("structures/s", rewritten["per_s"], least=150)
    verdict("times e3nn", rewritten["per_s"] / e3nn["per_s"], least=2.5)
    verdict("difference of the forms", max(r["largest_difference"] for r in networks), most=1e-5)
    verdict("graphs/s of 10-20 atoms", lists[1]["per_s"], least=10_000)
    verdict("atoms with pymatgen's neighbours", min(row["same"] for row in lists), least=1.0)
    if whole is not None:
        verdict("structures/s by the ensemble", whole["per_s"], least=150)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak_mib:.0f} MiB")
    save(
        "predicting",
        {"networks": networks, "graphs": lists, "shipped": whole, "peak_mib": peak_mib},
    )


if __name__ == "__main__":
    main()
