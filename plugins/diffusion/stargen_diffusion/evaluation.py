"""`stargen eval diffusion`: what weights are worth, on crystals that they have not seen."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from stargen_training.metrics import read_metrics

from stargen import Candidate, Crystal
from stargen.errors import UserError
from stargen_diffusion import judging
from stargen_diffusion.card import model_card
from stargen_diffusion.data import cleaned
from stargen_diffusion.info import PredictParams, SampleParams
from stargen_diffusion.measures import Interval, coverage, density, resampled, share, wasserstein
from stargen_diffusion.model import load_model
from stargen_diffusion.sources import SPLITS, read
from stargen_diffusion.weights import weights_file

_MAX_ATOMS = 20
_SAMPLER = SampleParams()

evaluate = typer.Typer(pretty_exceptions_enable=False)


@evaluate.command()
def evaluate_diffusion(
    weights: Annotated[str, typer.Argument(help="shipped weights by name, or a file")],
    data: Annotated[Path, typer.Option(help="as for training; its train part is what is known")],
    split: Annotated[str, typer.Option(help="truth to compare with")] = "test",
    samples: Annotated[int, typer.Option(help="crystals, or compositions (CSP)")] = 1000,
    each: Annotated[int, typer.Option(help="samples of each composition (CSP)")] = 1,
    steps: Annotated[int, typer.Option(help="of the sampler")] = _SAMPLER.steps,
    correctors: Annotated[int, typer.Option(help="a step")] = _SAMPLER.correctors,
    anneal: Annotated[
        float | None, typer.Option(help="of the sampler; else the calculator's", show_default=False)
    ] = None,
    temperature: Annotated[float, typer.Option(help="of the choice of types")] = 1.0,
    balanced: Annotated[bool, typer.Option(help="as the parameter of diffusion.sample")] = False,
    seed: Annotated[int, typer.Option()] = 0,
    source: Annotated[
        str, typer.Option(help="calculator that makes the crystals; another one for a baseline")
    ] = "diffusion.sample",
    stability: Annotated[int, typer.Option(help="relax so many and place them on the hull")] = 0,
    hull: Annotated[Path | None, typer.Option(help="its reference phases")] = None,
    out: Annotated[Path | None, typer.Option(help="JSON with all figures")] = None,
    card: Annotated[Path | None, typer.Option(help="model card to write, Markdown")] = None,
    statement: Annotated[
        Path | None, typer.Option(help="text for the card: whose the data are, and the licence")
    ] = None,
    curve: Annotated[Path | None, typer.Option(help="metrics.csv, for the card")] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option(help="other evaluations' --out, further columns of the card"),
    ] = None,
) -> None:
    """Measure weights; a figure stands with its 95 % confidence interval."""
    if split not in SPLITS:
        raise UserError(f"there is no split {split}", hint=f"one of {', '.join(SPLITS)}")
    if stability and hull is None:
        raise UserError("stability needs --hull, a table of competing phases")
    model = load_model(weights_file(weights, Path.cwd()))
    rows = read(data)
    truth = cleaned(rows.of(split, 0.1), _MAX_ATOMS).crystals
    known = rows.of("train", 0.1)
    csp = model.config.types == "known"
    if anneal is None:
        anneal = (PredictParams() if csp else _SAMPLER).anneal
    plan: dict[str, Any] = {"steps": steps, "correctors": correctors, "anneal": anneal}
    began = time.process_time()
    if csp:
        params = {"weights": weights, "samples": each, **plan}
        chosen = np.random.default_rng(seed).permutation(len(truth))[:samples]
        found = prediction_figures([truth[at] for at in chosen], params, seed)
    else:
        own = source == "diffusion.sample"
        plan = {**plan, "temperature": temperature, "balanced": balanced} if own else {}
        params = {"weights": weights, **plan} if own else {}
        made = judging.sampled(source, samples, params, seed, Path.cwd())
        took = time.process_time() - began
        found = sample_figures(made.candidates, samples, truth, known)
        found["structures per core-hour"] = Interval(3600 * samples / took, np.nan, np.nan)
        if stability and hull is not None:
            found |= stability_figures(made.candidates[:stability], hull, known)
    settings = {"weights": weights, "data": data.name, "split": split, "seed": seed, **plan}
    settings |= {"samples": samples, "each": each, "source": source, "stability": stability}
    _show(found, settings)
    if out is not None:
        out.write_text(json.dumps({"settings": settings, "figures": found}, indent=1) + "\n")
    if card is not None:
        told = "Not stated." if statement is None else statement.read_text().strip()
        others = {file.stem: json.loads(file.read_text()) for file in beside or ()}
        losses = [] if curve is None else read_metrics(curve)
        card.write_text(model_card(weights, model, settings, found, told, losses, others))


def sample_figures(
    candidates: Sequence[Candidate], made: int, truth: Sequence[Crystal], known: Sequence[Crystal]
) -> dict[str, Interval]:
    """Of an ab initio sample; shares are of all that were asked for, stillborn ones included."""
    here = Path.cwd()
    sound = [c for c in candidates if judging.structurally_valid(c.crystal)]
    neutral = judging.balanced(candidates, here)
    passed, failed = judging.screened(candidates, here)
    valid = [c for c in sound if c.candidate_id in neutral["smact14"]]
    first = judging.unique(valid, here)
    new = judging.novel(valid, known, here)
    found = {
        "structurally valid": share(len(sound), made),
        "neutral, smact14 (published rule)": share(len(neutral["smact14"]), made),
        "neutral, filter's default": share(len(neutral["default"]), made),
        "valid (structure and smact14)": share(len(valid), made),
        "pass composition, charge, geometry": share(len(passed), made),
        "unique among the valid": share(len(first), len(valid)),
        "novel among the valid": share(len(new), len(valid)),
        "not P1 at 0.1 Å": share(len(judging.symmetric(sound, here)), made),
        "pass the paper's four filters": share(len(judging.of_the_paper(candidates, here)), made),
        "hold an element without oxidation states": share(judging.stateless(candidates), made),
    }
    for reason, count in sorted(failed.items()):
        found[f"dropped: {reason}"] = share(count, made)
    if valid:
        found |= _distributions([c.crystal for c in valid], truth)
    return found


def _distributions(crystals: Sequence[Crystal], truth: Sequence[Crystal]) -> dict[str, Interval]:
    numbers = {
        "density, g/cm^3": density,
        "number of elements": lambda crystal: len(set(crystal.symbols)),
        "number of atoms": lambda crystal: crystal.n_atoms,
    }
    found: dict[str, Interval] = {}
    for name, number in numbers.items():
        sets = (np.array([float(number(c)) for c in each]) for each in (crystals, truth))
        found[f"Wasserstein distance of {name}"] = wasserstein(*sets)
    covered = coverage(crystals, truth)
    found["coverage, recall"] = covered.recall
    found["coverage, precision"] = covered.precision
    return found


def stability_figures(
    candidates: Sequence[Candidate], hull: Path, known: Sequence[Crystal]
) -> dict[str, Interval]:
    """Of the candidates that pass the three filters, after relaxation with CHGNet."""
    here = Path.cwd()
    passed, _ = judging.screened(candidates, here)
    chosen = [c for c in candidates if c.candidate_id in passed]
    relaxed = judging.relaxed(chosen, here)
    above = judging.hull_distances(relaxed, hull.resolve(), here)
    energies = np.array([*above.values()])
    good = [c for c in relaxed if above.get(c.candidate_id, np.inf) < 0.1]
    fresh = judging.unique(good, here) & judging.novel(good, known, here) if good else set()
    return {
        "relaxed of those that pass": share(len(relaxed), len(chosen)),
        "energy above hull, median, eV/atom": resampled(energies, lambda e: float(np.median(e))),
        "energy above hull, mean, eV/atom": resampled(energies, lambda e: float(np.mean(e))),
        "below 0.1 eV/atom": share(len(good), len(candidates)),
        "stable, unique, novel": share(len(fresh), len(candidates)),
        "pass the paper's four filters, relaxed": share(
            len(judging.of_the_paper(relaxed, here)), len(candidates)
        ),
    }


def prediction_figures(
    truth: Sequence[Crystal], params: Mapping[str, Any], seed: int
) -> dict[str, Interval]:
    """Match rates for compositions of known crystals, by both rules of which predictions count."""
    here = Path.cwd()
    asked = [Candidate(f"truth/{at}", crystal) for at, crystal in enumerate(truth)]
    made = judging.predicted(asked, params, seed, here)
    sound = {c.candidate_id for c in asked if judging.structurally_valid(c.crystal)}
    allowed = sound & judging.balanced(asked, here)["smact14"]
    results: list[Prediction] = []
    for candidate in asked:
        pairs = [*judging.matches(made[candidate.candidate_id], candidate.crystal)]
        valid = [judging.structurally_valid(crystal) for crystal, _ in pairs]
        distances = [distance for _, distance in pairs]
        results.append(Prediction(candidate, candidate.candidate_id in allowed, distances, valid))
    found: dict[str, Interval] = {}
    for first in sorted({1, params["samples"]}):
        found |= _match_rates(results, first)
    return found


class Prediction(NamedTuple):
    """What became of one composition.

    Parameters
    ----------
    allowed : the truth itself is valid
    distances : of each sample from the truth; None where it is another crystal
    valid : whether each sample is
    """

    truth: Candidate
    allowed: bool
    distances: Sequence[float | None]
    valid: Sequence[bool]

    def best(self, first: int, *, strict: bool = False) -> float | None:
        """The nearest of the first samples; strictly: if truth and sample are valid."""
        if strict and not self.allowed:
            return None
        pairs = zip(self.distances[:first], self.valid[:first], strict=True)
        return min((d for d, good in pairs if d is not None and (good or not strict)), default=None)


def _match_rates(results: Sequence[Prediction], first: int) -> dict[str, Interval]:
    """Of the best of the first samples."""
    name = f"match rate, {first} sample{'s' * (first > 1)}"
    hits = [d for d in (r.best(first) for r in results) if d is not None]
    strict = sum(r.best(first, strict=True) is not None for r in results)
    small = [r for r in results if r.truth.crystal.n_atoms <= 10]
    found_small = sum(r.best(first) is not None for r in small)
    return {
        name: share(len(hits), len(results)),
        f"{name}, valid truth and prediction only": share(strict, len(results)),
        f"{name}, at most 10 atoms": share(found_small, len(small)),
        f"RMSE of matches, {first} sample{'s' * (first > 1)}": resampled(
            np.array(hits), lambda d: float(np.mean(d))
        ),
    }


def _show(found: Mapping[str, Interval], settings: Mapping[str, Any]) -> None:
    console = Console()
    console.print(", ".join(f"{key} {value}" for key, value in settings.items()))
    table = Table("figure", "value", "95 % interval")
    for name, (value, low, high) in found.items():
        table.add_row(name, f"{value:.4g}", "" if np.isnan(low) else f"{low:.4g} .. {high:.4g}")
    console.print(table)
