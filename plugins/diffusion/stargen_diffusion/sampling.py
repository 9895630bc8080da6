"""From noise to crystals: the reference sampler of 1,000 steps, and the same with steps left out.

Each crystal draws its noise from a generator of its own, in blocks of steps, so what comes out does
not depend on which crystals were computed together, nor on interruptions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stargen_diffusion.config import HIDDEN_TYPE, N_TYPES
from stargen_diffusion.mathematics import (
    ancestral_step,
    corrector_step,
    denoised,
    predictor_step,
)
from stargen_diffusion.model import Model
from stargen_diffusion.network import Guess, Noisy
from stargen_diffusion.revealing import Palette, reveal

Draw = Callable[..., np.random.Generator]
"""A crystal's chance: a key -> a generator."""

CHUNK_PAIRS = 6400
"""Pairs of atoms computed together: enough for the matrix products, few enough for the cache."""

GPU_CHUNK_PAIRS = 16 * CHUNK_PAIRS
"""On a GPU: so many that it computes for longer than it takes to be told what (an H100 makes four
times as many crystals a second as with CHUNK_PAIRS, and no more with four times as many)."""

SMALLEST_BATCH = 4
"""Below it matrix products take another path, with other rounding."""

_BLOCK_STEPS = 32
_LARGEST_ETA = 0.5
_LATTICE_BOUND = 6.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How to sample.

    Parameters
    ----------
    steps : of the predictor; T for the reference
    correctors : Langevin steps on the coordinates before each
    gamma : size of a corrector step, in the paper's sense
    temperature : of the choice of types; below 1 the likelier ones are taken more often
    anneal : scores are multiplied by 1 + anneal (1 - t/T): towards the end, less noise stays
    """

    steps: int
    correctors: int = 1
    gamma: float = 5e-6
    temperature: float = 1.0
    anneal: float = 0.0

    def grid(self, last: int) -> list[int]:
        """Times from the start down to 0.

        A short ladder starts a little below T, where the signal is 0.01 instead of 0.0001 and an
        error of the first guess is not blown up.
        """
        if self.steps >= last:
            return list(range(last, -1, -1))
        start = round(0.99 * last)
        return [round(start * (1 - k / self.steps)) for k in range(self.steps + 1)]


@dataclass
class Chunk:
    """Crystals of one size on their way; `at` steps lie behind them."""

    draws: list[Draw]
    coords: Tensor
    lattice: Tensor
    types: Tensor
    palettes: list[Palette]
    at: int = 0
    block: dict[str, Tensor] = field(default_factory=dict[str, Tensor])

    def state(self) -> dict[str, Any]:
        """Plain arrays for a checkpoint."""
        arrays = {name: getattr(self, name).numpy() for name in ("coords", "lattice", "types")}
        return {"at": self.at, **arrays}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up where `state` was taken."""
        self.at = int(state["at"])
        for name in ("coords", "lattice", "types"):
            setattr(self, name, torch.from_numpy(np.array(state[name])))


class Sampler:
    """Takes chunks through the steps of a plan."""

    def __init__(self, model: Model, plan: Plan) -> None:
        self.model, self.plan = model, plan
        self.times = plan.grid(model.config.steps)
        self._device = next(model.network.parameters()).device
        self.chunk_pairs = CHUNK_PAIRS if self._device.type == "cpu" else GPU_CHUNK_PAIRS

    def begin(
        self,
        n_atoms: int,
        draws: Sequence[Draw],
        palettes: Sequence[Palette],
        types: NDArray[np.int64] | None = None,
    ) -> Chunk:
        """Noise, in the place of crystals of `n_atoms` atoms.

        Parameters
        ----------
        draws : chance of each
        palettes : which elements each may and must hold
        types : (B, n_atoms) classes that are given (CSP)
        """
        form = self.model.config.types
        coords, lattice, noisy_types = [], [], []
        for draw in draws:
            rng = draw("start")
            coords.append(rng.random((n_atoms, 3), dtype=np.float32))
            lattice.append(rng.standard_normal(self.model.network.numbers, dtype=np.float32))
            if form == "onehot":
                noisy_types.append(rng.standard_normal((n_atoms, N_TYPES), dtype=np.float32))
        if form == "masked":
            start = [palette.start(n_atoms, HIDDEN_TYPE) for palette in palettes]
        elif form == "onehot":
            start = noisy_types
        else:
            assert types is not None
            start = list(types)
        stacked = (torch.from_numpy(np.array(each)) for each in (coords, lattice, start))
        return Chunk(list(draws), *stacked, list(palettes))

    def done(self, chunk: Chunk) -> bool:
        return chunk.at >= len(self.times) - 1

    @torch.no_grad()
    def step(self, chunk: Chunk) -> None:
        """From one time of the grid to the next."""
        schedule = self.model.schedule
        t, s = self.times[chunk.at], self.times[chunk.at + 1]
        z = self._noise(chunk)
        sigma = schedule.sigma[t], schedule.sigma[s]
        alpha_bar = schedule.alpha_bar[t], schedule.alpha_bar[s]
        sharp = schedule.lam[t].sqrt() * (1 + self.plan.anneal * (1 - t / self.model.config.steps))
        coords, lattice = chunk.coords.to(self._device), chunk.lattice.to(self._device)
        types = chunk.types.to(self._device)
        for k in range(self.plan.correctors):
            score = self._guess(coords, lattice, types, t).score * sharp
            eta = self._eta(t, s)
            kick = z["coords"][:, k] if s else torch.zeros_like(coords)
            coords = corrector_step(coords, score, eta, kick)
        guess = self._guess(coords, lattice, types, t)
        last = self.plan.correctors
        chunk.coords = predictor_step(
            coords, guess.score * sharp, sigma, z["coords"][:, last]
        ).cpu()
        y_0 = denoised(lattice, guess.lattice, alpha_bar[0])
        if self.model.config.lattice != "raw":
            y_0 = y_0.clamp(-_LATTICE_BOUND, _LATTICE_BOUND)
        chunk.lattice = ancestral_step(lattice, y_0, alpha_bar, z["lattice"]).cpu()
        chunk.types = self._next_types(chunk, types, guess, (t, s), z).cpu()
        chunk.at += 1

    def classes(self, chunk: Chunk) -> NDArray[np.int64]:
        """(B, n) classes at the end."""
        if self.model.config.types != "onehot":
            return chunk.types.numpy()
        allowed = torch.from_numpy(np.array([palette.allowed for palette in chunk.palettes]))
        return chunk.types.masked_fill(~allowed[:, None], -torch.inf).argmax(-1).numpy()

    def _next_types(
        self,
        chunk: Chunk,
        types: Tensor,
        guess: Guess,
        times: tuple[int, int],
        z: dict[str, Tensor],
    ) -> Tensor:
        schedule, (t, s) = self.model.schedule, times
        match self.model.config.types:
            case "known":
                return types
            case "onehot":
                alpha_bar = schedule.alpha_bar[t], schedule.alpha_bar[s]
                y_0 = denoised(types, guess.types, alpha_bar[0])
                return ancestral_step(types, y_0, alpha_bar, z["types"])
            case "masked":
                was, becomes = float(schedule.mask[t]), float(schedule.mask[s])
                share = 1.0 if was == 0 or becomes == 0 else 1 - becomes / was
                logits = guess.types / self.plan.temperature
                return reveal(types.cpu(), logits.cpu(), share, chunk.palettes, z["types"].cpu())

    def _eta(self, t: int, s: int) -> Tensor:
        """The corrector's step, longer where steps were left out, and never past the optimum."""
        sigma, first = self.model.schedule.sigma[t], self.model.schedule.sigma[1]
        return torch.minimum(
            self.plan.gamma * (t - s) / first**2, sigma.new_tensor(_LARGEST_ETA)
        ) * (sigma**2)

    def _guess(self, coords: Tensor, lattice: Tensor, types: Tensor, t: int) -> Guess:
        count = len(coords)
        noisy = Noisy(coords, lattice, types, torch.full((count,), t, device=self._device))
        if count < SMALLEST_BATCH:
            repeats = -(-SMALLEST_BATCH // count)
            noisy = Noisy(*(torch.cat([each] * repeats) for each in noisy))
        guess = self.model.network(noisy)
        return Guess(guess.score[:count], guess.lattice[:count], guess.types[:count])

    def _noise(self, chunk: Chunk) -> dict[str, Tensor]:
        """Of this step; drawn for a block of steps at once, from keys that name the block."""
        block, at = divmod(chunk.at, _BLOCK_STEPS)
        if at == 0 or not chunk.block:
            chunk.block = self._noise_of_block(chunk, block)
        return {name: noise[at].to(self._device) for name, noise in chunk.block.items()}

    def _noise_of_block(self, chunk: Chunk, block: int) -> dict[str, Tensor]:
        n, numbers = chunk.coords.shape[1], chunk.lattice.shape[1]
        shapes = {
            "coords": (_BLOCK_STEPS, self.plan.correctors + 1, n, 3),
            "lattice": (_BLOCK_STEPS, numbers),
        }
        if self.model.config.types == "onehot":
            shapes["types"] = (_BLOCK_STEPS, n, N_TYPES)
        drawn: dict[str, list[NDArray[np.float32]]] = {name: [] for name in shapes}
        for draw in chunk.draws:
            rng = draw("noise", block)
            for name, shape in shapes.items():
                drawn[name].append(rng.standard_normal(shape, dtype=np.float32))
            if self.model.config.types == "masked":
                uniform = rng.random((_BLOCK_STEPS, 2, n), dtype=np.float32)
                drawn.setdefault("types", []).append(uniform)
        return {name: torch.from_numpy(np.stack(each, 1)) for name, each in drawn.items()}
