"""Closed forms against quadrature, and each step against the paper's way of writing it."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from stargen_diffusion import mathematics as m

SCHEDULE = m.Schedule.of()


def density(x, sigma):
    return sum(math.exp(-((x + k) ** 2) / (2 * sigma**2)) for k in range(-12, 13))


@pytest.mark.parametrize("sigma", [0.02, 0.1, 0.3, 0.5])
@pytest.mark.parametrize("x", [-0.49, -0.2, 0.01, 0.37, 1.6])
def test_the_score_is_the_derivative_of_the_log_density(x, sigma):
    step = 1e-5
    slope = (math.log(density(x + step, sigma)) - math.log(density(x - step, sigma))) / (2 * step)
    score = m.wrapped_score(torch.tensor(x, dtype=torch.float64), torch.tensor(sigma))
    assert float(score) == pytest.approx(-slope, rel=1e-5, abs=1e-4)


def test_the_score_stays_finite_where_sums_of_exponentials_underflow():
    x = torch.linspace(-3, 3, 1001)
    score = m.wrapped_score(x, torch.tensor(0.005))
    assert torch.isfinite(score).all()
    inside = (m.wrap(x).abs() < 0.4).nonzero()[:, 0]
    assert torch.allclose(score[inside], m.wrap(x)[inside] / 0.005**2, rtol=1e-4)


@pytest.mark.parametrize("t", [1, 300, 700, 1000])
def test_lambda_agrees_with_adaptive_quadrature(t):
    sigma = float(SCHEDULE.sigma[t])

    def square(x):
        score = m.wrapped_score(torch.tensor(x, dtype=torch.float64), torch.tensor(sigma))
        return density(x, sigma) * float(score) ** 2

    edges = {"limit": 200, "points": [-3 * sigma, 3 * sigma] if sigma < 0.15 else None}
    total = quad(lambda x: density(x, sigma), -0.5, 0.5, **edges)[0]
    assert float(SCHEDULE.lam[t]) == pytest.approx(quad(square, -0.5, 0.5, **edges)[0] / total)


def test_lambda_agrees_with_drawn_noise():
    t = torch.tensor([50, 400, 800])
    noise = torch.randn(3, 200_000, generator=torch.Generator().manual_seed(0))
    sigma = SCHEDULE.sigma[t][:, None].float()
    drawn = (m.wrapped_score(sigma * noise, sigma) ** 2).mean(1)
    assert torch.allclose(drawn, SCHEDULE.lam[t].float(), rtol=0.02)


def test_schedules_have_the_papers_ends():
    assert SCHEDULE.steps == 1000
    assert float(SCHEDULE.sigma[1]) == pytest.approx(0.005)
    assert float(SCHEDULE.sigma[1000]) == pytest.approx(0.5)
    assert float(SCHEDULE.alpha_bar[0]) == 1.0
    assert 0 < float(SCHEDULE.alpha_bar[1000]) < 1e-4
    cosine = math.cos(math.pi / 2 * (0.5 + 0.008) / 1.008) ** 2
    cosine /= math.cos(math.pi / 2 * 0.008 / 1.008) ** 2
    assert float(SCHEDULE.alpha_bar[500]) == pytest.approx(cosine, rel=1e-2)
    assert (SCHEDULE.mask[:301] == 0).all()
    assert float(SCHEDULE.mask[1000]) == 1.0


@pytest.mark.parametrize("t", [1, 2, 500, 999])
def test_the_ancestral_step_is_the_papers(t):
    """Ho et al. 2020, algorithm 2, with the posterior variance."""
    y, eps, z = torch.randn(3, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(t))
    abar, abar_s = SCHEDULE.alpha_bar[t], SCHEDULE.alpha_bar[t - 1]
    beta = 1 - abar / abar_s
    paper = (y - beta / (1 - abar).sqrt() * eps) / (1 - beta).sqrt()
    paper = paper + (beta * (1 - abar_s) / (1 - abar)).sqrt() * z
    ours = m.ancestral_step(y, m.denoised(y, eps, abar), (abar, abar_s), z)
    assert torch.allclose(ours, paper)


def test_skipping_steps_leads_where_single_steps_lead():
    """With the true y_0 every path ends at the marginal of q(y_s | y_0)."""
    y_0 = torch.tensor(1.7, dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    for grid in ([900, 600, 300], [900, 300]):
        abar = SCHEDULE.alpha_bar[grid]
        noise = torch.randn(len(grid), 100_000, dtype=torch.float64, generator=generator)
        y = m.noised(y_0, noise[0], abar[0])
        for at in range(1, len(grid)):
            y = m.ancestral_step(y, y_0, (abar[at - 1], abar[at]), noise[at])
        assert float(y.mean()) == pytest.approx(float(abar[-1].sqrt() * y_0), abs=0.01)
        assert float(y.var()) == pytest.approx(float(1 - abar[-1]), rel=0.02)


@pytest.mark.parametrize("grid", [range(1000, -1, -1), [*range(1000, 0, -20), 0]])
def test_the_reverse_diffusion_of_coordinates_finds_a_known_distribution(grid):
    """Two thirds of the atoms at 0.2, one third at 0.7: the exact score leads back there."""
    places, weights = torch.tensor([0.2, 0.7]), torch.tensor([2 / 3, 1 / 3])
    generator = torch.Generator().manual_seed(3)
    coords = torch.rand(3000, generator=generator)

    def score(coords, sigma):
        offset = coords[:, None] - places
        k = torch.arange(-3, 4)
        logs = (-((m.wrap(offset)[..., None] + k) ** 2) / (2 * sigma**2)).logsumexp(-1)
        share = torch.softmax(logs + weights.log(), 1)
        return (share * m.wrapped_score(offset, sigma)).sum(1)

    grid = list(grid)
    sigmas = SCHEDULE.sigma.float()
    for t, s in pairwise(grid):
        z = torch.randn(len(coords), generator=generator) * (s > 0)
        if t > 1:
            eta = 1e-5 * (sigmas[t] / sigmas[1]) ** 2
            kick = torch.randn(len(coords), generator=generator)
            coords = m.corrector_step(coords, score(coords, sigmas[t]), eta, kick)
        coords = m.predictor_step(coords, score(coords, sigmas[t]), (sigmas[t], sigmas[s]), z)
    near = m.wrap(coords[:, None] - places).abs() < 0.02
    assert near.any(1).float().mean() > 0.99
    assert float(near[:, 0].float().mean()) == pytest.approx(2 / 3, abs=0.04)


def test_mean_free_scores_lose_only_what_a_shift_changes():
    vectors = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(5))
    shifted = vectors + torch.randn(4, 1, 3, generator=torch.Generator().manual_seed(6))
    assert torch.allclose(m.mean_free(vectors), m.mean_free(shifted), atol=1e-6)
    assert np.abs(m.mean_free(vectors).mean(1).numpy()).max() < 1e-6
