"""A trained network with all that using it takes: schedule, statistics, and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from stargen_training.weights import Weights, WeightsError, read_weights, write_weights

from stargen.errors import UserError
from stargen_diffusion.config import NetConfig
from stargen_diffusion.data import Statistics
from stargen_diffusion.mathematics import Schedule
from stargen_diffusion.network import Network
from stargen_diffusion.weights import KIND


@dataclass(frozen=True)
class Model:
    """A network and its surroundings.

    Parameters
    ----------
    data : digest of what it learnt from
    notes : as written beside the weights
    """

    network: Network
    statistics: Statistics
    data: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def config(self) -> NetConfig:
        return self.network.config

    @cached_property
    def schedule(self) -> Schedule:
        """In float32, as the samplers compute."""
        tables = Schedule.of(self.config.steps, known_below=self.config.known_below)
        device = next(self.network.parameters()).device
        return Schedule(
            *(getattr(tables, name).float().to(device) for name in tables.__dataclass_fields__)
        )

    def for_sampling(self, device: str = "cpu") -> Model:
        """Frozen, with tables, on a device."""
        network = self.network.to(device).eval()
        network.tabulate()
        return replace(self, network=network)


def save_model(path: Path, model: Model, *, half: bool = True) -> None:
    """Write weights, configuration and statistics; `half` as 16 bits, which no sample notices."""
    arrays = {name: value.numpy() for name, value in model.network.state_dict().items()}
    notes = {**model.notes, "statistics": model.statistics.plain()}
    write_weights(path, Weights(KIND, model.config.plain(), arrays, model.data, notes), half=half)


def load_model(path: Path) -> Model:
    """The inverse of `save_model`.

    Raises
    ------
    UserError : if the file is missing, damaged, or not what it should be
    """
    weights = read_weights(path, KIND)
    try:
        network = Network(NetConfig(**weights.config))
        arrays = {name: torch.from_numpy(array) for name, array in weights.arrays.items()}
        network.load_state_dict(arrays)
        statistics = Statistics.from_plain(weights.notes["statistics"])
    except (TypeError, KeyError, RuntimeError) as error:
        raise WeightsError(f"do not fit their configuration: {error}", file=path) from error
    return Model(network, statistics, weights.data, weights.notes)


def start_from(network: Network, earlier: Model) -> None:
    """Take over an earlier network's weights; only the type head may be missing on either side.

    Raises
    ------
    UserError : if the networks are of different shapes
    """
    mine = network.state_dict()
    theirs = earlier.network.state_dict()
    fits = {name: value for name, value in theirs.items() if name in mine}
    lacking = [name for name in mine if name not in fits and not name.startswith("type_head")]
    if lacking or any(value.shape != mine[name].shape for name, value in fits.items()):
        raise UserError(
            f"these weights are of another network: {earlier.config}",
            hint=f"this one is {network.config}",
        )
    network.load_state_dict({**mine, **fits})
