"""The network as the paper writes it: edge lists, one concatenated input, no shortcuts.

What the fast network must agree with; `benchmarks/sampling.py` measures against it too.
"""

import torch
from stargen_diffusion.config import N_TYPES
from stargen_diffusion.network import COUNT_FEATURES, TIME_FEATURES, Guess, Noisy, sinusoids
from torch.nn import functional


class PlainNetwork:
    """The function of a `Network`, from the same parameters."""

    def __init__(self, network):
        self.config, self.of = network.config, dict(network.named_parameters())

    def linear(self, name, x):
        return functional.linear(x, self.of[f"{name}.weight"], self.of.get(f"{name}.bias"))

    def norm(self, name, x):
        weight, bias = self.of[f"{name}.weight"], self.of[f"{name}.bias"]
        return functional.layer_norm(x, weight.shape, weight, bias)

    def psi(self, f):
        k = torch.arange(1, self.config.frequencies + 1)
        angles = (2 * torch.pi * f[:, :, None] * k).flatten(1)
        return torch.cat([torch.sin(angles), torch.cos(angles)], 1)

    def __call__(self, noisy: Noisy) -> Guess:
        batch, n, _ = noisy.coords.shape
        coords = noisy.coords.reshape(-1, 3)
        crystal = torch.arange(batch).repeat_interleave(n)
        i = torch.arange(batch * n).repeat_interleave(n)
        j = (torch.arange(batch)[:, None, None] * n + torch.arange(n)).expand(batch, n, n).flatten()
        if self.config.types == "onehot":
            x = self.linear("types", noisy.types.reshape(-1, N_TYPES))
        else:
            x = self.of["types.weight"][noisy.types.flatten()]
        told = [sinusoids(noisy.t, TIME_FEATURES)[crystal]]
        if self.config.counts:
            told.append(sinusoids(torch.full((batch * n,), n), COUNT_FEATURES))
            types = noisy.types
            if not types.is_floating_point():
                types = functional.one_hot(types, N_TYPES + 1).float()
            composition = functional.silu(self.linear("composition.0", types.mean(1)))
            told.append(composition[crystal])
        x = self.linear("mix", torch.cat([x, *told], 1))
        cell = noisy.lattice.view(batch, 3, -1)
        polar = self.config.lattice == "polar"
        graph = noisy.lattice if polar else (cell @ cell.transpose(1, 2)).flatten(1)
        for layer in range(self.config.layers):
            x = self.layer(f"layers.{layer}", x, graph[crystal], coords, i, j)
        x = self.norm("norm", x)
        score = self.linear("score_head", x).view(batch, n, 3)
        if self.config.mean_free:
            score = score - score.mean(1, keepdim=True)
        lattice = self.linear("lattice_head", x.view(batch, n, -1).mean(1))
        if not polar:
            lattice = (lattice.view(batch, 3, 3) @ cell).flatten(1)
        known = self.config.types == "known"
        types = x.new_empty(0) if known else self.linear("type_head", x).view(batch, n, -1)
        return Guess(score, lattice, types)

    def layer(self, name, x, graph, coords, i, j):
        y = self.norm(f"{name}.norm", x)
        psi = self.psi((coords[j] - coords[i]) % 1.0)
        m = self.linear(f"{name}.edge_1", torch.cat([y[i], y[j], graph[i], psi], 1))
        m = functional.silu(m)
        if self.config.edge_layers == 2:
            m = functional.silu(self.linear(f"{name}.edge_2", m))
        count = torch.zeros(len(x)).index_add(0, i, torch.ones(len(i)))
        m = torch.zeros_like(y).index_add(0, i, m) / count[:, None]
        if self.config.edge_layers == 1:
            m = functional.silu(self.linear(f"{name}.edge_2", m))
        step = functional.silu(self.linear(f"{name}.node_1", torch.cat([y, m], 1)))
        return x + functional.silu(self.linear(f"{name}.node_2", step))
