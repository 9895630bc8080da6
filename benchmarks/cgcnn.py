"""What Crysformer is compared with: CGCNN, and a network that sees the composition alone.

Both learn through the same loop, from the same residual of a linear fit, with the same loss and the
same choice of the best step as Crysformer, so that what differs is the network.
"""

from __future__ import annotations

import numpy as np
import torch
from stargen_crysformer.config import Config
from stargen_crysformer.elements import khot_table
from stargen_crysformer.graphs import Batch
from stargen_crysformer.learning import Learning
from stargen_crysformer.sets import Labelled
from torch import Tensor, nn


class Heads(nn.Module):
    """Values and the scale of their errors from one vector a crystal."""

    def __init__(self, width: int, targets: int) -> None:
        super().__init__()
        self.values = nn.Linear(width, targets)
        self.spread = nn.Linear(width, targets)

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.values(latent), self.spread(latent.detach()).clamp(-8, 4), latent


class Convolution(nn.Module):
    """Messages through a sigmoid gate and a softplus, summed over the neighbours."""

    def __init__(self, width: int, basis: int) -> None:
        super().__init__()
        self.full = nn.Linear(2 * width + basis, 2 * width)
        self.norm, self.norm_sum = nn.BatchNorm1d(2 * width), nn.BatchNorm1d(width)

    def forward(self, atoms: Tensor, batch: Batch, basis: Tensor) -> Tensor:
        pair = [atoms.index_select(0, batch.targets), atoms.index_select(0, batch.sources), basis]
        gate, core = self.norm(self.full(torch.cat(pair, dim=1))).chunk(2, dim=1)
        told = torch.sigmoid(gate) * nn.functional.softplus(core)
        heard = torch.zeros_like(atoms).index_add(0, batch.targets, told)
        return nn.functional.softplus(atoms + self.norm_sum(heard))


class CGCNN(nn.Module):
    """Xie & Grossman, Phys. Rev. Lett. 120, 145301 (2018), with the sizes of its published code.

    Gaussians of the distance from 0 to 8 Å, 0.2 Å apart; 64 channels, three convolutions, a hidden
    layer of 128. Neighbours are those of Crysformer.
    """

    def __init__(self, targets: int, width: int = 64, hidden: int = 128) -> None:
        super().__init__()
        self.register_buffer("khot", torch.from_numpy(khot_table()), persistent=False)
        self.register_buffer("centres", torch.arange(0.0, 8.1, 0.2), persistent=False)
        self.embed = nn.Linear(self.khot.shape[1], width)
        self.layers = nn.ModuleList(Convolution(width, len(self.centres)) for _ in range(3))
        self.hidden = nn.Linear(width, hidden)
        self.heads = Heads(hidden, targets)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        basis = torch.exp(-(((batch.distances[:, None] - self.centres) / 0.2) ** 2))
        atoms = self.embed(self.khot.index_select(0, batch.numbers))
        for layer in self.layers:
            atoms = layer(atoms, batch, basis)
        total = atoms.new_zeros(len(batch.atoms), atoms.shape[1]).index_add(0, batch.crystal, atoms)
        pooled = nn.functional.softplus(total / batch.atoms[:, None])
        return self.heads(nn.functional.softplus(self.hidden(pooled)))


class Composition(nn.Module):
    """Amounts of the elements, and mean and spread of their properties; not where they are."""

    def __init__(self, targets: int, width: int = 256) -> None:
        super().__init__()
        self.register_buffer("khot", torch.from_numpy(khot_table()), persistent=False)
        elements, marks = self.khot.shape
        self.layers = nn.Sequential(
            nn.Linear(elements + 2 * marks, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
        )
        self.heads = Heads(width, targets)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        counts = self.khot.new_zeros(len(batch.atoms), len(self.khot))
        counts.index_put_(
            (batch.crystal, batch.numbers), self.khot.new_ones(len(batch.numbers)), accumulate=True
        )
        part = counts / batch.atoms[:, None]
        mean = part @ self.khot
        spread = (mean - mean.square() + 1e-4).sqrt()
        return self.heads(self.layers(torch.cat([part, mean, spread], dim=1)))


class Other(Learning):
    """Crysformer's task with another network."""

    def __init__(self, name: str, network: type[nn.Module], config: Config, data: Labelled) -> None:
        super().__init__(config, data)
        self._network = network
        self.identity = {**self.identity, "network": name}

    def model(self) -> nn.Module:
        return self._network(len(self.config.targets))


def parameters(model: nn.Module) -> int:
    return int(np.sum([p.numel() for p in model.parameters()]))
