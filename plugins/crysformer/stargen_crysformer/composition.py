"""What composition alone tells: a network that does not see where the atoms are.

It learns in minutes what the structures' networks spend hours on, and errs elsewhere: beside them
in an ensemble it makes values better, and where it disagrees with them the structure is unusual
for its composition.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stargen_crysformer.config import Config
from stargen_crysformer.elements import khot_table
from stargen_crysformer.graphs import Batch

_FLOOR = 1e-4  # of a variance, whose root has no slope at zero


class Composition(nn.Module):
    """Properties from the parts of the elements, and mean and spread of their k-hot marks.

    Parameters
    ----------
    config : its scalars are the width of three layers; the rest does not matter
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        width, targets = config.channels.scalars, len(config.targets)
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
        self.values = nn.Linear(width, targets)
        self.spread = nn.Linear(width, targets)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """As `network.Crysformer.forward`; the latent is the last layer."""
        counts = self.khot.new_zeros(len(batch.atoms), len(self.khot))
        counts.index_put_(
            (batch.crystal, batch.numbers), self.khot.new_ones(len(batch.numbers)), accumulate=True
        )
        part = counts / batch.atoms[:, None]
        mean = part @ self.khot
        spread = (mean - mean.square() + _FLOOR).sqrt()
        latent = self.layers(torch.cat([part, mean, spread], dim=1))
        return self.values(latent), self.spread(latent.detach()).clamp(-8, 4), latent
