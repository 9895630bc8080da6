"""AdamW with its parameters sorted, and the average of the weights."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


def adamw(model: nn.Module, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """Decay acts on matrices only: a decayed bias or scale of a norm has no meaning."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    on_gpu = all(p.is_cuda for p in trained)
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=learning_rate, fused=on_gpu)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The learning rate of all groups."""
    for group in optimizer.param_groups:
        group["lr"] = rate


class Average:
    """Exponential average of a network's weights.

    The decay grows with the steps, (1 + t) / (10 + t), up to its value: a short training does not
    end near its beginning.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).eval()
        self.model.requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after `step` steps."""
        keep = min(self._decay, (1 + step) / (10 + step))
        mine, theirs = list(self.model.parameters()), list(model.parameters())
        get_ema_multi_avg_fn(keep)(mine, theirs, step)  # one launch for all on a GPU
        for own, other in zip(self.model.buffers(), model.buffers(), strict=True):
            own.copy_(other)
