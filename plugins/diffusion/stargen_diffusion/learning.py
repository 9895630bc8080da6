"""What a step of training is: noise on crystals, and how far the network's guess is from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from stargen import Crystal
from stargen.typed import Bounds
from stargen_diffusion.checks import sample_checks
from stargen_diffusion.config import HIDDEN_TYPE, N_TYPES, NetConfig
from stargen_diffusion.data import GROUP_PAIRS, Batch, Batches, Buckets, Statistics, digest
from stargen_diffusion.mathematics import Schedule, mean_free, noised, wrapped_score
from stargen_diffusion.model import Model, start_from
from stargen_diffusion.network import Guess, Network, Noisy

Weight = Annotated[float, Bounds(least=0)]


@dataclass(frozen=True, slots=True)
class LossWeights:
    """Of the three parts of the loss. The paper has 1, 1 and 20 for one-hot types."""

    lattice: Weight = 1.0
    coords: Weight = 1.0
    types: Weight = 1.0


class Targets(tuple[Tensor, Tensor, Tensor, Tensor]):
    """Scaled score, lattice noise, and types: noise, or classes with the mask of hidden ones."""


@dataclass(frozen=True)
class DiffusionTask:
    """A `stargen_training.Task`: crystals, a network, its loss.

    Parameters
    ----------
    train, val : clean crystals
    earlier : a model to start from
    samples : crystals made at each validation, to see early what the numbers do not say
    group_pairs : pairs of atoms in a group of crystals, `Buckets`
    """

    config: NetConfig
    train: Sequence[Crystal]
    val: Sequence[Crystal]
    weights: LossWeights
    earlier: Model | None = None
    samples: int = 32
    group_pairs: int = GROUP_PAIRS

    def __post_init__(self) -> None:
        statistics = Statistics.of(self.train, self.config.lattice)
        if self.earlier is not None:  # its numbers mean what they meant to it
            code = self.earlier.statistics.code
            statistics = Statistics(statistics.n_atoms, statistics.elements, code)
        parts = {
            "statistics": statistics,
            "buckets": Buckets(self.train, statistics.code, self.group_pairs),
            "held_out": Buckets(self.val or self.train, statistics.code, self.group_pairs).all(),
            "digest": digest(self.train),
        }
        for name, value in parts.items():
            object.__setattr__(self, f"_{name}", value)

    @property
    def statistics(self) -> Statistics:
        return self._statistics

    @property
    def digest(self) -> str:
        """Short name of the training data."""
        return self._digest

    @property
    def identity(self) -> Mapping[str, Any]:
        weights = self.weights
        told = {
            **self.config.plain(),
            "loss_weights": [weights.lattice, weights.coords, weights.types],
            "data": self._digest,
            "from": "" if self.earlier is None else self.earlier.data,
        }
        if self.group_pairs != GROUP_PAIRS:  # the only size that older checkpoints know
            told["group_pairs"] = self.group_pairs
        return told

    @property
    def size(self) -> int:
        return len(self._buckets)

    @property
    def objective(self) -> str:
        return "val/loss"

    def model(self) -> Network:
        network = Network(self.config)
        if self.earlier is not None:
            start_from(network, self.earlier)
        return network

    def batch(self, indices: NDArray[np.int64], rng: np.random.Generator) -> Batches:
        return self._buckets.draw(indices, rng)

    def loss(self, model: torch.nn.Module, batch: Batches) -> tuple[Tensor, Mapping[str, float]]:
        found = self._losses(model, batch, None)
        weighted = found * found.new_tensor(
            [self.weights.lattice, self.weights.coords, self.weights.types]
        )
        told = zip(("lattice", "coords", "types"), found.tolist(), strict=True)
        return weighted.sum(), {f"train/{name}": value for name, value in told}

    def validate(self, model: torch.nn.Module, device: torch.device) -> Mapping[str, float]:
        generator = torch.Generator(device).manual_seed(0)  # the same noise each time
        lattice, coords, types = self._losses(model, self._held_out.to(device), generator).tolist()
        weights = self.weights
        loss = weights.lattice * lattice + weights.coords * coords + weights.types * types
        told = {"loss": loss, "lattice": lattice, "coords": coords, "types": types}
        found = {f"val/{name}": value for name, value in told.items()}
        if self.samples and isinstance(model, Network):
            held = Model(model, self._statistics)
            compositions = [c.numbers for c in (self.val or self.train)[: self.samples]]
            found.update(sample_checks(held, self.samples, compositions))
        return found

    def _losses(
        self, model: torch.nn.Module, batch: Batches, generator: torch.Generator | None
    ) -> Tensor:
        """Lattice, coordinates and types, each the mean over all crystals."""
        total = sum(len(part.coords) for part in batch.parts)
        sums = batch.parts[0].coords.new_zeros(3)
        for part in batch.parts:
            noisy, targets = noise(part, self.config, generator)
            sums = sums + losses(model(noisy), targets, self.config) * len(part.coords)
        return sums / total


def noise(
    batch: Batch, config: NetConfig, generator: torch.Generator | None = None
) -> tuple[Noisy, Targets]:
    """Crystals at random times, and what the network should say of them.

    The times of a batch are spread evenly, each still uniform: less noise in the loss.
    """
    count, device = len(batch.coords), batch.coords.device
    schedule = Schedule.of(config.steps, known_below=config.known_below, device=device)
    options = {"device": device, "generator": generator}
    slots = torch.randperm(count, **options) + torch.rand(count, **options)
    t = (slots / count * schedule.steps).long().clamp_(max=schedule.steps - 1) + 1
    alpha_bar, sigma, lam, mask = (
        getattr(schedule, name)[t].float()[:, None]
        for name in ("alpha_bar", "sigma", "lam", "mask")
    )
    of_lattice = torch.randn(batch.lattice.shape, **options)
    lattice = noised(batch.lattice, of_lattice, alpha_bar)
    sigma = sigma[..., None]
    offset = sigma * torch.randn(batch.coords.shape, **options)
    score = wrapped_score(offset, sigma) / lam[..., None].sqrt()
    if config.mean_free:
        score = mean_free(score)
    hidden = torch.zeros_like(batch.types, dtype=torch.bool)
    types, of_types = batch.types, batch.types
    if config.types == "masked":
        hidden = torch.rand(batch.types.shape, **options) < mask
        types = batch.types.masked_fill(hidden, HIDDEN_TYPE)
    elif config.types == "onehot":
        exact = functional.one_hot(batch.types, N_TYPES).float()
        of_types = torch.randn(exact.shape, **options)
        types = noised(exact, of_types, alpha_bar[..., None])
    coords = torch.remainder(batch.coords + offset, 1.0)
    return Noisy(coords, lattice, types, t), Targets((score, of_lattice, of_types, hidden))


def losses(guess: Guess, targets: Targets, config: NetConfig) -> Tensor:
    """The three means over a batch."""
    score, of_lattice, of_types, hidden = targets
    of_coords = functional.mse_loss(guess.score, score)
    lattice = functional.mse_loss(guess.lattice, of_lattice)
    if config.types == "onehot":
        types = functional.mse_loss(guess.types, of_types)
    elif config.types == "masked":
        # Each crystal's mean over its hidden atoms: every number of hidden atoms weighs the same,
        # as in the likelihood of the order in which they are revealed.
        each = functional.cross_entropy(guess.types.transpose(1, 2), of_types, reduction="none")
        types = ((each * hidden).sum(1) / hidden.sum(1).clamp(min=1)).mean()
    else:
        types = lattice.new_zeros(())
    return torch.stack([lattice, of_coords, types])
