"""What other plugins' calculators say of crystals, found by name like in a campaign."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from stargen import Candidate, Crystal
from stargen.calculators.conformance import LocalContext, run
from stargen.calculators.registry import Registry
from stargen.calculators.steps import Batch
from stargen.elements import reduced_formula
from stargen_diffusion.checks import SHORTEST_ANG, shortest_distance
from stargen_diffusion.oxidation import CONSENSUS, charged_elements

_PUBLISHED_RULES = "smact14"
"""Of the published tables; the filter's own default is newer and stricter."""


def judged(use: str, candidates: Sequence[Candidate], folder: Path, **params: Any) -> Batch:
    """One calculator over all candidates at once."""
    info = Registry.installed().calculator(use)
    context = LocalContext(info.params(**params), use=use, job=use, input_folder=folder)
    return run(info, candidates, context=context)


def sampled(use: str, amount: int, params: dict[str, Any], seed: int, folder: Path) -> Batch:
    """The first ordinals of a source."""
    info = Registry.installed().calculator(use)
    if "count" in info.params.__dataclass_fields__:
        params = {"count": amount, **params}
    context = LocalContext(info.params(**params), use=use, seed=seed, input_folder=folder)
    return run(info, context=context, ordinals=range(amount))


def predicted(
    asked: Sequence[Candidate], params: Mapping[str, Any], seed: int, folder: Path
) -> dict[str, list[Crystal]]:
    """Structures for compositions, by the id of who asked."""
    info = Registry.installed().calculator("diffusion.predict")
    context = LocalContext(
        info.params(**params), use=info.name, job="predict", seed=seed, input_folder=folder
    )
    found: dict[str, list[Crystal]] = {candidate.candidate_id: [] for candidate in asked}
    for candidate in run(info, asked, context=context).candidates:
        found[candidate.candidate_id.split("/predict.")[0]].append(candidate.crystal)
    return found


def structurally_valid(crystal: Crystal) -> bool:
    """CDVAE's rule, with periodic images of an atom counted as neighbours too."""
    return crystal.volume > 0.1 and shortest_distance(crystal) > SHORTEST_ANG


def balanced(candidates: Sequence[Candidate], folder: Path) -> dict[str, set[str]]:
    """Ids whose composition can be neutral (Pauling, alloys allowed), by set of states."""
    published = judged("filters.charge", candidates, folder, states=_PUBLISHED_RULES)
    default = judged("filters.charge", candidates, folder)
    return {
        name: {candidate.candidate_id for candidate in batch.candidates}
        for name, batch in ((_PUBLISHED_RULES, published), ("default", default))
    }


def screened(candidates: Sequence[Candidate], folder: Path) -> tuple[set[str], Counter[str]]:
    """Ids that pass composition, charge and geometry, and what the others failed by."""
    left, failed = list(candidates), Counter[str]()
    for use in ("filters.composition", "filters.charge", "filters.geometry"):
        batch = judged(use, left, folder)
        failed.update(drop.reason for drop in batch.drops)
        left = batch.candidates
    return {candidate.candidate_id for candidate in left}, failed


def symmetric(candidates: Sequence[Candidate], folder: Path) -> set[str]:
    """Ids whose space group at 0.1 Å is not P1."""
    return {c.candidate_id for c in judged("filters.symmetry", candidates, folder).candidates}


def unique(candidates: Sequence[Candidate], folder: Path) -> set[str]:
    """Ids of the first of each set of like crystals."""
    return {c.candidate_id for c in judged("filters.unique", candidates, folder).candidates}


def novel(candidates: Sequence[Candidate], known: Sequence[Crystal], folder: Path) -> set[str]:
    """Ids that match none of the known crystals; only known ones of their formulas are parsed."""
    formulas = {candidate.crystal.formula for candidate in candidates}
    with TemporaryDirectory() as scratch:
        reference = Path(scratch) / "known.jsonl"
        with reference.open("w") as file:
            for crystal, number in zip(known, count(), strict=False):
                if reduced_formula(crystal.numbers.tobytes()) in formulas:
                    row = {"material_id": str(number), "structure": crystal.to_pymatgen().as_dict()}
                    file.write(json.dumps(row) + "\n")
        batch = judged("filters.novel", candidates, folder, reference=str(reference))
    return {candidate.candidate_id for candidate in batch.candidates}


def of_the_paper(candidates: Sequence[Candidate], folder: Path) -> list[Candidate]:
    """Those that pass the four filters of the Star-gen paper."""
    left = list(candidates)
    for use in ("filters.composition", "filters.charge", "filters.symmetry", "filters.unique"):
        left = judged(use, left, folder).candidates
    return left


def stateless(candidates: Sequence[Candidate]) -> int:
    """How many hold an element that no oxidation state is known of.

    No charge filter passes them, unless they are of one element or an alloy.
    """
    known = charged_elements(CONSENSUS)
    return sum(not known[candidate.crystal.numbers - 1].all() for candidate in candidates)


def relaxed(candidates: Sequence[Candidate], folder: Path) -> list[Candidate]:
    """With CHGNet."""
    return judged("mlip.relax", candidates, folder).candidates


def hull_distances(candidates: Sequence[Candidate], hull: Path, folder: Path) -> dict[str, float]:
    """Energy above hull of relaxed candidates, eV/atom, by id."""
    placed = judged("stability.hull", candidates, folder, reference=str(hull))
    found = {c.candidate_id: c.properties.get("e_above_hull") for c in placed.candidates}
    return {name: float(value) for name, value in found.items() if value is not None}


def matches(
    predictions: Sequence[Crystal], truth: Crystal
) -> Iterator[tuple[Crystal, float | None]]:
    """Each prediction, and its displacement from the truth per (V/N)^(1/3) where they match."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher(stol=0.5, angle_tol=10, ltol=0.3)
    wanted = truth.to_pymatgen()
    for prediction in predictions:
        distance = None
        if np.isfinite(prediction.lattice).all():
            distance = matcher.get_rms_dist(prediction.to_pymatgen(), wanted)
        yield prediction, None if distance is None else float(distance[0])
