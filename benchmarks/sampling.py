"""What a network call and a sampled crystal cost: `python benchmarks/sampling.py`.

The network as the paper writes it (`plugins/diffusion/tests/plain.py`) beside the same function by
factorised edges, and with tabulated Fourier layers: time and largest difference, 64 crystals of ten
atoms, one thread. Then the reference sampler, 1,000 predictor-corrector steps of the plain network,
beside the few steps that `diffusion.sample` takes by default. A thousand steps of the plain network
would last for hours, and one costs what another costs: some are timed, and counted a thousandfold.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from common import ROOT, median, save, table, verdict
from stargen_diffusion.config import N_TYPES, PAPER, PRESETS, NetConfig
from stargen_diffusion.data import Statistics
from stargen_diffusion.info import SampleParams
from stargen_diffusion.lattices import LatticeCode
from stargen_diffusion.making import Order, Workshop
from stargen_diffusion.model import Model
from stargen_diffusion.network import Network, Noisy
from stargen_diffusion.revealing import Palette
from stargen_diffusion.sampling import Plan, Sampler

NETWORKS = {
    "4x128": replace(PAPER, layers=4, hidden=128),
    "6x512": PAPER,
    "small": PRESETS["small"],
}
LEAST = {"4x128": 3.0, "6x512": 2.4}
REFERENCE = Plan(steps=1000, correctors=1)


def plain_class() -> Any:
    file = ROOT / "plugins" / "diffusion" / "tests" / "plain.py"
    spec = importlib.util.spec_from_file_location("plain", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PlainNetwork


class Plain:
    """The plain network in the place of the fast one."""

    def __init__(self, network: Network) -> None:
        self.config, self.numbers, self.parameters = (
            network.config,
            network.numbers,
            network.parameters,
        )
        self._function = plain_class()(network)

    def __call__(self, noisy: Noisy) -> Any:
        return self._function(noisy)


def noisy(network: Network, crystals: int, n: int) -> Noisy:
    generator = torch.Generator().manual_seed(0)
    types = torch.randint(0, N_TYPES, (crystals, n), generator=generator)
    if network.config.types == "onehot":
        types = torch.randn(crystals, n, N_TYPES, generator=generator)
    return Noisy(
        torch.rand(crystals, n, 3, generator=generator),
        torch.randn(crystals, network.numbers, generator=generator),
        types,
        torch.randint(1, 1001, (crystals,), generator=generator),
    )


def seconds(function: Callable[[], Any], repeats: int) -> float:
    """CPU seconds of a call: the median."""
    found = []
    for _ in range(repeats):
        began = time.process_time()
        function()
        found.append(time.process_time() - began)
    return median(found)


@torch.no_grad()
def calls(repeats: int, crystals: int) -> list[dict[str, Any]]:
    """Each network by three ways, in turn."""
    rows = []
    for name, config in NETWORKS.items():
        torch.manual_seed(0)
        network = Network(config)
        what = noisy(network, crystals, 10)
        plain = Plain(network)
        wanted = plain(what)
        slow_s = seconds(partial(plain, what), repeats)
        ways = {"factorised": network, "tabulated": network}
        for way in ways:
            if way == "tabulated":
                network.tabulate()
            differ = max(
                float((a - b).abs().max())
                for a, b in zip(network(what), wanted, strict=True)
                if a.numel()
            )
            fast_s = seconds(partial(network, what), repeats)
            rows.append(
                {
                    "network": name,
                    "way": way,
                    "plain_s": slow_s,
                    "fast_s": fast_s,
                    "times": slow_s / fast_s,
                    "difference": differ,
                }
            )
    return rows


def random_model(config: NetConfig) -> Model:
    """Weights by chance; what a step costs does not depend on them."""
    torch.manual_seed(0)
    code = LatticeCode(config.lattice, np.zeros(6), np.ones(6))
    return Model(Network(config), Statistics([0] * 20 + [1], [1] * N_TYPES, code))


def orders(crystals: int) -> list[Order]:
    palette = Palette(np.ones(N_TYPES, dtype=bool))

    def draw(at: int, *key: int | str) -> np.random.Generator:
        return np.random.default_rng([at, *(len(k) if isinstance(k, str) else k for k in key)])

    return [Order(10, partial(draw, at), palette) for at in range(crystals)]


def samplers(crystals: int, timed_steps: int) -> dict[str, float]:
    """CPU seconds a crystal."""
    params = SampleParams()
    few = Plan(params.steps, params.correctors, params.gamma)
    model = random_model(PRESETS["small"])
    slow = Sampler(replace(model, network=Plain(model.network)), REFERENCE)
    wanted = orders(crystals)
    chunk = slow.begin(10, [o.draw for o in wanted], [o.palette for o in wanted])
    slow.step(chunk)
    began = time.process_time()
    for _ in range(timed_steps):
        slow.step(chunk)
    reference_s = (time.process_time() - began) / timed_steps * REFERENCE.steps / crystals
    fast = Workshop(Sampler(model.for_sampling(), few))
    fast.make(wanted[:4])
    began = time.process_time()
    fast.make(wanted)
    few_s = (time.process_time() - began) / crystals
    return {
        "steps": few.steps,
        "correctors": few.correctors,
        "reference_s": reference_s,
        "few_steps_s": few_s,
        "times": reference_s / few_s,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that it runs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    crystals = 4 if options.quick else 64
    rows = calls(options.repeats, crystals)
    heads = ["network", "way", "plain ms", "fast ms", "times", "difference"]
    table(
        heads,
        [
            [r["network"], r["way"], 1e3 * r["plain_s"], 1e3 * r["fast_s"], r["times"],
             f"{r['difference']:.1e}"]
            for r in rows
        ],
    )  # fmt: skip
    found = samplers(crystals, 2 if options.quick else 20)
    heads = ["sampler", "steps", "network calls", "CPU s a crystal", "crystals per core-hour"]
    each = (("plain, reference", REFERENCE, found["reference_s"]),)
    few = Plan(int(found["steps"]), int(found["correctors"]))
    each += (("default", few, found["few_steps_s"]),)
    table(
        heads,
        [[name, p.steps, p.steps * (1 + p.correctors), s, 3600 / s] for name, p, s in each],
    )
    for row in rows:
        if row["way"] == "tabulated" and row["network"] in LEAST:
            verdict(f"{row['network']} against plain, times", row["times"], LEAST[row["network"]])
    verdict("largest difference", max(row["difference"] for row in rows), most=1e-5)
    verdict("few steps against the reference, times", found["times"], least=30)
    save("sampling", {"calls": rows, "samplers": found})


if __name__ == "__main__":
    main()
