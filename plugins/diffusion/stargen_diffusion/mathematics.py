r"""The mathematics of the diffusion, with the symbols of the papers.

A crystal is (L, F, A): lattice, fractional coordinates, types. Time t runs from 1 to T.

Lattice and one-hot types y, variance preserving (Ho et al. 2020; Nichol & Dhariwal 2021):
    y_t = sqrt(abar_t) y_0 + sqrt(1 - abar_t) eps
Coordinates, on the torus, variance exploding (Jiao et al. 2023, DiffCSP, arXiv:2309.04475):
    F_t = F_0 + sigma_t eps  mod 1
    d(x, sigma) = - d/dx log sum_k exp(-(x + k)^2 / 2 sigma^2)
    lambda_t = E[d(sigma_t eps, sigma_t)^2], and the network learns d / sqrt(lambda_t)
Masked types, a departure (Austin et al. 2021, D3PM, arXiv:2107.03006): a type is hidden with
probability m_t, and the network says which it was.

The network learns *minus* the gradient of log q; the samplers subtract. Every function takes a pair
t > s, so that a sampler may skip steps; with s = t - 1 they are those of the papers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import e, log, pi

import torch
from torch import Tensor

_IMAGES = 3
"""Periodic images on either side; with sigma <= 0.5 the next would weigh less than 1e-10."""

_QUADRATURE_POINTS = 512
"""Over one period: 2.5 for the smallest sigma, where the error of an evenly spaced sum over a
Gaussian is exp(-2 pi^2 2.5^2), far below rounding."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Tables over t = 0..T, float64; index 0 is the data.

    Parameters
    ----------
    alpha_bar : share of the signal's variance left in lattice and one-hot types
    sigma : width of the noise on the coordinates, fractional
    lam : lambda_t, the mean square of the score
    mask : probability that a masked type is hidden
    """

    alpha_bar: Tensor
    sigma: Tensor
    lam: Tensor
    mask: Tensor

    @classmethod
    @lru_cache(16)
    def of(
        cls,
        steps: int = 1000,
        *,
        s: float = 0.008,
        sigma_1: float = 0.005,
        sigma_end: float = 0.5,
        known_below: float = 0.3,
        device: torch.device | None = None,
    ) -> Schedule:
        """The schedules of the paper; `known_below`: see `mask_levels`."""
        sigma = wrapped_sigmas(steps, sigma_1, sigma_end)
        tables = (
            cosine_alpha_bar(steps, s),
            sigma,
            score_norms(sigma),
            mask_levels(steps, known_below),
        )
        return cls(*(table.to(device) for table in tables))

    @property
    def steps(self) -> int:
        """T."""
        return len(self.sigma) - 1


def cosine_alpha_bar(steps: int, s: float) -> Tensor:
    """abar_t of the cosine schedule.

    beta_t is clipped to 1e-4..0.9999 and abar accumulated anew, so it ends a little off the cosine.
    """
    t = torch.arange(steps + 1, dtype=torch.float64)
    f = torch.cos(pi / 2 * (t / steps + s) / (1 + s)) ** 2
    beta = (1 - f[1:] / f[:-1]).clamp(1e-4, 0.9999)
    return torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1 - beta, 0)])


def wrapped_sigmas(steps: int, sigma_1: float, sigma_end: float) -> Tensor:
    """sigma_t, a geometric sequence from `sigma_1` at t = 1 to `sigma_end` at t = T."""
    grid = torch.logspace(log(sigma_1), log(sigma_end), steps, base=e, dtype=torch.float64)
    return torch.cat([torch.zeros(1, dtype=torch.float64), grid])


def mask_levels(steps: int, known_below: float) -> Tensor:
    """m_t: linear down to 0 at t = `known_below` T; below it atoms settle around known types."""
    t = torch.arange(steps + 1, dtype=torch.float64) / steps
    return ((t - known_below) / (1 - known_below)).clamp(0, 1)


def wrap(x: Tensor) -> Tensor:
    """The image in [-0.5, 0.5)."""
    return torch.remainder(x + 0.5, 1.0) - 0.5


def wrapped_score(x: Tensor, sigma: Tensor) -> Tensor:
    """d(x, sigma): minus the gradient of the log density of a wrapped normal.

    The sums over images are a weighted mean with softmax weights, so nothing under- or overflows at
    any x.

    Parameters
    ----------
    x : any shape, fractional; not necessarily wrapped
    sigma : broadcast against x, at most 0.5
    """
    k = torch.arange(-_IMAGES, _IMAGES + 1, dtype=x.dtype, device=x.device)
    images = wrap(x)[..., None] + k
    variance = (sigma**2)[..., None]
    weights = torch.softmax(-(images**2) / (2 * variance), -1)
    return (weights * images / variance).sum(-1)


def score_norms(sigma: Tensor) -> Tensor:
    """lambda_t by quadrature over one period; deterministic, 1 at t = 0 where nothing is scored.

    The reference implementation draws it at random, unseeded, which scales each model's scores
    differently.
    """
    x = (torch.arange(_QUADRATURE_POINTS, dtype=torch.float64) + 0.5) / _QUADRATURE_POINTS - 0.5
    k = torch.arange(-_IMAGES, _IMAGES + 1, dtype=torch.float64)
    norms = torch.ones_like(sigma)
    for t in range(1, len(sigma)):
        density = torch.exp(-((x[:, None] + k) ** 2) / (2 * sigma[t] ** 2)).sum(1)
        norms[t] = (density * wrapped_score(x, sigma[t]) ** 2).sum() / density.sum()
    return norms


def noised(y_0: Tensor, eps: Tensor, alpha_bar: Tensor) -> Tensor:
    """y_t."""
    return alpha_bar.sqrt() * y_0 + (1 - alpha_bar).sqrt() * eps


def denoised(y_t: Tensor, eps: Tensor, alpha_bar: Tensor) -> Tensor:
    """y_0 as the predicted noise tells it, the inverse of `noised`."""
    return (y_t - (1 - alpha_bar).sqrt() * eps) / alpha_bar.sqrt()


def ancestral_step(y_t: Tensor, y_0: Tensor, alpha_bar: tuple[Tensor, Tensor], z: Tensor) -> Tensor:
    """y_s drawn from q(y_s | y_t, y_0).

    With y_0 from `denoised` this is the paper's (y_t - beta/sqrt(1 - abar) eps)/sqrt(1 - beta) +
    noise; said by y_0, which can be bounded before it is used. The latter matters for skipped steps
    near T, where 1/sqrt(alpha) blows up every error.

    Parameters
    ----------
    alpha_bar : at t and at s
    z : standard normal, zero for the last step
    """
    at_t, at_s = alpha_bar
    alpha = at_t / at_s
    mean = (at_s.sqrt() * (1 - alpha) * y_0 + alpha.sqrt() * (1 - at_s) * y_t) / (1 - at_t)
    return mean + ((1 - alpha) * (1 - at_s) / (1 - at_t)).sqrt() * z


def predictor_step(
    coords: Tensor, score: Tensor, sigma: tuple[Tensor, Tensor], z: Tensor
) -> Tensor:
    """F_s from F_t along the reverse diffusion; `sigma` at t and at s."""
    at_t, at_s = sigma
    gap = at_t**2 - at_s**2
    return torch.remainder(coords - gap * score + at_s * gap.sqrt() / at_t * z, 1.0)


def corrector_step(coords: Tensor, score: Tensor, eta: Tensor, z: Tensor) -> Tensor:
    """One Langevin step at fixed t; the paper's eta is gamma (sigma_t / sigma_1)^2."""
    return torch.remainder(coords - eta * score + (2 * eta).sqrt() * z, 1.0)


def mean_free(vectors: Tensor) -> Tensor:
    """Without the mean over the atoms of each crystal, (..., n, 3).

    Data that are shifted at random have a density that no shift changes, so the components of its
    score sum to zero: the mean of a target is noise that nobody can predict.
    """
    return vectors - vectors.mean(-2, keepdim=True)
