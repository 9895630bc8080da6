"""One process or several: who I am, what device I have, how gradients become one."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn

from stargen.errors import UserError


@dataclass(frozen=True, slots=True)
class Processes:
    """Which of the processes that train together is this one (torchrun's environment)."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """The one that writes and speaks."""
        return self.rank == 0

    def average_gradients(self, model: nn.Module) -> None:
        """Every process gets the mean; one message for all parameters."""
        if self.world == 1:
            return
        with_gradient = [p for p in model.parameters() if p.requires_grad]
        for p in with_gradient:
            if p.grad is None:  # not all heads have a label in every part of a batch
                p.grad = torch.zeros_like(p)
        flat = torch.cat([p.grad.reshape(-1) for p in with_gradient if p.grad is not None])
        dist.all_reduce(flat)
        flat /= self.world
        at = 0
        for p in with_gradient:
            assert p.grad is not None
            p.grad.copy_(flat[at : at + p.numel()].view_as(p.grad))
            at += p.numel()

    def agree(self, *values: float) -> list[float]:
        """What the first process says, so that clocks and signals do not tear them apart."""
        if self.world == 1:
            return list(values)
        said = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.broadcast(said, src=0)
        return said.tolist()

    def any(self, flag: bool) -> bool:
        """Whether some process says yes."""
        if self.world == 1:
            return flag
        said = torch.tensor(float(flag), device=self.device)
        dist.all_reduce(said, op=dist.ReduceOp.MAX)
        return bool(said.item())


@contextmanager
def joined(device: str) -> Generator[Processes]:
    """The processes of this training, linked while the block runs."""
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    mine = _device(device, int(os.environ.get("LOCAL_RANK", "0")))
    if world == 1:
        yield Processes(0, 1, mine)
        return
    dist.init_process_group("nccl" if mine.type == "cuda" else "gloo")
    try:
        yield Processes(rank, world, mine)
    finally:
        dist.destroy_process_group()


def _device(name: str, local_rank: int) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        if device.type == "cuda":
            device = torch.device("cuda", local_rank if device.index is None else device.index)
            torch.cuda.set_device(device)
            torch.set_float32_matmul_precision("high")  # TF32: ten bits are noise beside a batch's
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"device {name} cannot be used: {str(error).splitlines()[0]}", hint='use "cpu"'
        ) from error
    return device
