"""CGCNN, to compare Crysformer with.

It learns through the same loop, from the same residual of a linear fit, with the same loss and the
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


class Other(Learning):
    """Crysformer's task with this network."""

    def __init__(self, config: Config, data: Labelled) -> None:
        super().__init__(config, data)
        self.identity = {**self.identity, "network": "cgcnn"}

    def model(self) -> nn.Module:
        return CGCNN(len(self.config.targets))


def parameters(model: nn.Module) -> int:
    return int(np.sum([p.numel() for p in model.parameters()]))
