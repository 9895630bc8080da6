"""What a Crysformer learns from: the task that the training loop is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stargen_training.weights import (
    Weights,
    WeightsError,
    digest_of,
    read_weights,
    write_weights,
)
from torch import nn

from stargen.errors import UserError
from stargen_crysformer.composition import Composition
from stargen_crysformer.config import Config
from stargen_crysformer.graphs import Batch, Graphs
from stargen_crysformer.inference import Inference
from stargen_crysformer.network import Crysformer
from stargen_crysformer.scaling import Scaling, bounded, errors, fractions_of
from stargen_crysformer.sets import Labelled, graphs_of

KIND = "crysformer"
_SPREAD_SHARE = 0.1
_BATCH_ON_CPU, _BATCH = 32, 512
_USUAL_PERCENT = 99.0

Network = Callable[[Batch], tuple[torch.Tensor, torch.Tensor, torch.Tensor]]
"""Values, logarithms of scales, latents: a network, or what computes the same."""


@dataclass(slots=True)
class Examples:
    """A batch with what the network is to give; NaN where that is unknown."""

    graphs: Batch
    wanted: torch.Tensor

    def to(self, device: torch.device) -> Examples:
        """The same on another device."""
        return Examples(self.graphs.to(device), self.wanted.to(device))


class Learning:
    """A `stargen_training.task.Task`: several properties at once, labels may be missing.

    Parameters
    ----------
    config : of the network; its targets are the columns of the labels
    data : crystals with labels
    part : how many of the training crystals it sees; None for all
    draw : which of them, where it does not see all
    start : weights to begin with, which also say what composition alone tells
    """

    objective = "val/loss"

    def __init__(
        self,
        config: Config,
        data: Labelled,
        *,
        part: int | None = None,
        draw: int = 0,
        start: Member | None = None,
    ) -> None:
        self.config, self.data, self._start = config, data, start
        digest = data.digest()
        self.graphs = graphs_of(data.crystals, config.neighbours, digest)
        usable = self.graphs.usable
        self._train = data.of_split("train")
        self._train = self._train[usable[self._train]]
        if part is not None and part < len(self._train):
            self._train = np.random.default_rng(draw).permutation(self._train)[:part]
        self._val = data.of_split("val")
        self._val = self._val[usable[self._val]]
        for name, rows in (("train", self._train), ("val", self._val)):
            if not len(rows):
                raise UserError(f"the data have no crystal in the split {name}")
        self.fractions = fractions_of(self.graphs.numbers, self.graphs.atoms)
        labels = data.labels
        for name, known in zip(config.targets, np.isfinite(labels[self._train]).T, strict=True):
            if start is None and not known.any():
                raise UserError(f"no crystal in the split train has {name}", key="--target")
        learnt = self.fractions[self._train]
        self.scaling = (
            start.scaling.knowing(learnt)
            if start is not None
            else Scaling.fit(learnt, labels[self._train])
        )
        before = None if start is None else start.notes.get("corrections")
        self.corrections = data.corrections or before
        if before not in (None, self.corrections):
            raise UserError(
                f"the weights learnt energies with corrections {before}, "
                f"the data have {data.corrections}"
            )
        self._wanted = self.scaling.normalized(self.fractions, labels).astype(np.float32)
        self.size = len(self._train)
        self.identity: Mapping[str, Any] = {
            "network": config.plain(),
            "data": digest,
            "part": self.size,
            "draw": draw,
            "start": None if start is None else start.digest,
        }

    def model(self) -> nn.Module:
        network = network_of(self.config)
        if self._start is not None:
            network.load_state_dict(self._start.network.state_dict())
        return network

    def batch(self, indices: NDArray[np.int64], rng: np.random.Generator) -> Examples:
        rows = self._train[indices]
        return Examples(self.graphs.take(rows).batch(), torch.from_numpy(self._wanted[rows]))

    def loss(self, model: nn.Module, batch: Examples) -> tuple[torch.Tensor, Mapping[str, float]]:
        """Absolute error of the values, and the likelihood of its scale.

        The scale is that of a Laplace distribution; the error is taken as given there, so that
        values are not fitted worse where they are hard.
        """
        values, spread, _ = model(batch.graphs)
        known = torch.isfinite(batch.wanted)
        wanted = torch.where(known, batch.wanted, values.detach())
        error = (values - wanted).abs()
        likelihood = error.detach() * torch.exp(-spread) + spread
        each = known.sum(dim=0).clamp(min=1)
        loss = ((error * known).sum(dim=0) / each).mean()
        side = ((likelihood * known).sum(dim=0) / each).mean()
        return loss + _SPREAD_SHARE * side, {"train/mae": loss.item(), "train/spread": side.item()}

    def validate(self, model: nn.Module, device: torch.device) -> Mapping[str, float]:
        found, _, _ = outputs(model, self.graphs, self._val, device)
        fractions, labels = self.fractions[self._val], self.data.labels[self._val]
        values = bounded(self.scaling.values(fractions, found), self.config.targets)
        each = errors(values, labels)
        told = {f"val/{t}": e["mae"] for t, e in zip(self.config.targets, each, strict=True)}
        relative = [e["mae"] / s for e, s in zip(each, self.scaling.scale, strict=True)]
        return {"val/loss": float(np.nanmean(relative)), **told}

    def member(self, model: nn.Module, notes: Mapping[str, Any]) -> Weights:
        """The trained network as a file's content, with what its training latents were like."""
        _, _, latents = outputs(model, self.graphs, self._train, torch.device("cpu"))
        arrays = {name: value.numpy() for name, value in model.state_dict().items()}
        arrays["latent.mean"] = latents.mean(axis=0).astype(np.float32)
        arrays["latent.precision"] = precision_of(latents)
        distances = latent_distances(latents, arrays["latent.mean"], arrays["latent.precision"])
        limit = float(np.percentile(distances, _USUAL_PERCENT))
        told = {
            **notes,
            "scaling": self.scaling.plain(),
            "latent_limit": limit,
            "corrections": self.corrections,
        }
        return Weights(KIND, self.config.plain(), arrays, self.identity["data"], told)


def network_of(config: Config) -> Crysformer | Composition:
    """An untrained network."""
    return Crysformer(config) if config.blocks else Composition(config)


def outputs(
    network: Network, graphs: Graphs, rows: NDArray[np.int64], device: torch.device
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Values, logarithms of scales, latents of some of the graphs; similar sizes go together."""
    order = np.argsort(graphs.atoms[rows], kind="stable")
    found: list[list[torch.Tensor]] = []
    size = _BATCH_ON_CPU if device.type == "cpu" else _BATCH
    with torch.inference_mode():
        for at in range(0, len(rows), size):
            part = graphs.take(rows[order[at : at + size]]).batch().to(device)
            found.append([each.cpu() for each in network(part)])
    joined = [torch.cat(each).double().numpy() for each in zip(*found, strict=True)]
    back = np.empty(len(rows), dtype=np.int64)
    back[order] = np.arange(len(rows))
    values, scales, latents = (each[back] for each in joined)
    return values, scales, latents


def precision_of(latents: NDArray[np.float64]) -> NDArray[np.float32]:
    """A root of the inverse covariance: distances in it count each direction by its spread."""
    values, directions = np.linalg.eigh(np.cov(latents.T))
    floor = max(values.max(), 1e-12) * 1e-4  # directions that never varied say nothing
    return (directions / np.sqrt(np.maximum(values, floor))).astype(np.float32)


def latent_distances(
    latents: NDArray[np.float64], mean: NDArray[np.float32], precision: NDArray[np.float32]
) -> NDArray[np.float64]:
    """(n,) how far latents lie from those of the training data, in their spread."""
    away = (latents - mean) @ precision
    return np.sqrt((away**2).mean(axis=1))


@dataclass(frozen=True, slots=True)
class Member:
    """A trained network as it is read from a file; `fast` computes the same on a CPU."""

    network: Crysformer | Composition
    fast: Network
    scaling: Scaling
    latent_mean: NDArray[np.float32]
    latent_precision: NDArray[np.float32]
    notes: Mapping[str, Any]
    digest: str

    @property
    def targets(self) -> tuple[str, ...]:
        return self.network.config.targets


def write_member(path: Path, weights: Weights) -> None:
    """With 16 bits a weight."""
    write_weights(path, weights, half=True)


def read_member(path: Path) -> Member:
    """A network from its file; WeightsError as `read_weights`, and if the arrays do not fit."""
    weights = read_weights(path, KIND)
    arrays = {name: value for name, value in weights.arrays.items() if "latent." not in name}
    try:
        network = network_of(Config.from_plain(weights.config))
        network.load_state_dict({name: torch.from_numpy(v) for name, v in arrays.items()})
        mean, precision = (weights.arrays[f"latent.{n}"] for n in ("mean", "precision"))
        scaling = Scaling.from_plain(weights.notes["scaling"])
    except (RuntimeError, KeyError, TypeError, UserError) as error:
        raise WeightsError(
            f"the arrays are not those of a Crysformer: {str(error).splitlines()[0]}", file=path
        ) from error
    network.eval().requires_grad_(False)
    return Member(
        network,
        Inference(network) if isinstance(network, Crysformer) else network,
        scaling,
        mean,
        precision,
        weights.notes,
        digest_of(path),
    )
