"""What screening costs, against the libraries that it speeds up: `python benchmarks/screening.py`.

Each filter answers the same questions as its library in the same run, and the answers are compared.
Crystals are ionic substitutions of pymatgen's AFLOW prototypes and distorted copies of them. CPU
time of one thread; verdicts are not cached. `--quick` takes a tenth of everything.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import platform
import random
import resource
import time
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from smact.screening import smact_validity
from stargen_filters.cells import symmetry
from stargen_filters.charge import Charge
from stargen_filters.composition import Composition as CompositionFilter
from stargen_filters.distances import shortest_distance
from stargen_filters.fingerprint import Fingerprint, neighbour_profile
from stargen_filters.gallery import Gallery, Matcher
from stargen_filters.geometry import Geometry
from stargen_filters.neutrality import Neutrality
from stargen_filters.oxidation import element_table
from stargen_filters.params import (
    STATE_SETS,
    ChargeParams,
    CompositionParams,
    GeometryParams,
    SymmetryParams,
    UniqueParams,
)
from stargen_filters.symmetry import Symmetry
from stargen_structures.params import SubstituteParams
from stargen_structures.prototypes import load_prototypes
from stargen_structures.substitute import Substitute

from stargen.calculators.conformance import LocalContext
from stargen.crystal import Candidate, Crystal, decode_entry, encode_entry
from stargen.elements import SYMBOLS

RESULTS = Path(__file__).parent / "results" / "screening.json"
UNIQUE = UniqueParams()
STRETCHES = (1.0, 1.4, 1 / 1.4)
"""Of one lattice vector; beyond the matcher's tolerance of lengths, so that all are different."""
MATCH_DETAILS = ("matches", "missed", "extra", "prepare_ms")
MATCHER_RAN_MS = 0.2
"""Looking up profiles without asking the matcher takes less, one matching more."""


def timed(function, things):
    """CPU seconds for all of them, and the answers."""
    begun = time.process_time()
    answers = [function(thing) for thing in things]
    return time.process_time() - begun, answers


def opened(calculator, params):
    context = LocalContext(params)
    calculator.open(context)
    return calculator, context


def distorted(crystal, sigma_ang, rng, strain=0.0):
    shift = rng.normal(scale=sigma_ang, size=(crystal.n_atoms, 3)) @ np.linalg.inv(crystal.lattice)
    lattice = crystal.lattice @ (np.eye(3) + rng.uniform(-strain, strain, (3, 3)))
    return Crystal.of(lattice, crystal.frac_coords + shift, crystal.numbers)


def doubled(crystal):
    frac = [crystal.frac_coords * [0.5, 1, 1] + [shift, 0, 0] for shift in (0, 0.5)]
    lattice = crystal.lattice * [[2], [1], [1]]
    return Crystal.of(lattice, np.concatenate(frac), np.tile(crystal.numbers, 2))


def row(what, library, n, ours_s, theirs_s, agreement):
    return {
        "what": what,
        "against": library,
        "items": n,
        "ours_cpu_s": ours_s,
        "theirs_cpu_s": theirs_s,
        "ours_ms": 1000 * ours_s / n,
        "theirs_ms": 1000 * theirs_s / n,
        "ratio": theirs_s / ours_s,
        "agreement": agreement,
    }


def bench_charge(scale):
    """Fresh compositions of 2 to 7 elements, one call each, against smact_validity."""
    rules = Neutrality(
        element_table(STATE_SETS[0], None, mixed_valence=False), pauling=True, alloys=True
    )
    rng = random.Random(1)
    for elements, n in ((2, 3000), (3, 3000), (4, 2000), (5, 1000), (6, 300), (7, 60)):
        n = max(4, int(n * scale))
        amounts = [
            {s: rng.randint(1, 8) for s in rng.sample(SYMBOLS[1:95], elements)} for _ in range(n)
        ]
        smact_validity("NaCl")  # loads its tables
        ours_s, ours = timed(lambda a: rules.verdict(a) is not None, amounts)
        theirs_s, theirs = timed(lambda a: smact_validity(Composition(a)), amounts)
        same = sum(a == b for a, b in zip(ours, theirs, strict=True)) / n
        yield row(f"charge, {elements} elements", "smact_validity", n, ours_s, theirs_s, same)


def bench_geometry(crystals):
    """The distance matrix leaves out images of one atom; the neighbour list checks the answer."""
    build_s, structures = timed(Crystal.to_pymatgen, crystals)
    ours_s, ours = timed(shortest_distance, crystals)
    theirs_s, _ = timed(lambda s: s.distance_matrix, structures)
    listed = [s.get_neighbor_list(d + 0.05)[3].min() for s, d in zip(structures, ours, strict=True)]
    same = float(np.mean(np.isclose(ours, listed, atol=1e-6)))
    yield row("shortest distance", "distance_matrix", len(ours), ours_s, theirs_s, same)
    theirs_s += build_s
    yield row("shortest distance", "Structure, its matrix", len(ours), ours_s, theirs_s, same)


def bench_symmetry(crystals):
    """Agreement on clean crystals; noise near the tolerance is where the two codes part."""
    rng = np.random.default_rng(2)
    for sigma_ang in (0.0, 0.005, 0.03):
        noisy = [distorted(c, sigma_ang, rng) for c in crystals]
        structures = [c.to_pymatgen() for c in noisy]
        ours_s, ours = timed(lambda c: symmetry(c, 0.1).number, noisy)
        theirs_s, theirs = timed(
            lambda s: SpacegroupAnalyzer(s, symprec=0.1).get_space_group_number(), structures
        )
        same = sum(a == b for a, b in zip(ours, theirs, strict=True)) / len(ours)
        what = f"space group, noise {sigma_ang} Å"
        yield row(what, "SpacegroupAnalyzer", len(ours), ours_s, theirs_s, same)


def hard_bucket(prototypes, rng):
    """Different structure types dressed as one formula, AB2, with distorted and doubled copies."""
    originals = []
    for prototype in prototypes:
        amounts = prototype.amounts
        if len(amounts) == 2 and amounts.max() == 2 * amounts.min() and amounts.sum() <= 12:
            elements = np.where(amounts == amounts.min(), 22, 8)
            crystal = prototype.crystal
            originals.append(
                Crystal.of(crystal.lattice, crystal.frac_coords, elements[prototype.kinds])
            )
    copies = [distorted(c, s, rng, s / 5) for c in originals for s in (0.02, 0.1)]
    return [*originals, *copies, *(doubled(c) for c in originals[::3])]


def bench_matching(scale):
    """All pairs of a hard bucket: prefilter and reduced cells against the plain matcher."""
    rng = np.random.default_rng(3)
    crystals = hard_bucket(load_prototypes(), rng)
    n = len(crystals)
    pairs = [(i, j) for i in range(n) for j in range(i)]
    rng.shuffle(pairs)
    pairs = pairs[: int(2000 * scale)]
    prepare_s, prints = timed(lambda c: Fingerprint.of(c, UNIQUE), crystals)
    structures = [c.to_pymatgen() for c in crystals]
    matcher, plain = Matcher(UNIQUE), StructureMatcher()

    def prefiltered(pair):
        one, other = (prints[k] for k in pair)
        if np.abs(one.profile - other.profile).mean() > UNIQUE.threshold:
            return False
        return matcher.rms(one, other) is not None

    ours_s, ours = timed(prefiltered, pairs)
    theirs_s, theirs = timed(lambda p: plain.fit(structures[p[0]], structures[p[1]]), pairs)
    found = sum(map(bool, theirs))
    missed = sum(bool(b and not a) for a, b in zip(ours, theirs, strict=True))
    extra = sum(bool(a and not b) for a, b in zip(ours, theirs, strict=True))
    result = row(
        "match, pairs of one formula", "StructureMatcher", len(pairs), ours_s, theirs_s,
        1 - (missed + extra) / len(pairs),
    )  # fmt: skip
    yield result | {
        "matches": found,
        "missed": missed,
        "extra": extra,
        "prepare_ms": 1000 * prepare_s / n,
    }


def recall_table(scale):
    """For thresholds of the prefilter: share of true matches kept, share of other pairs kept."""
    rng = np.random.default_rng(4)
    crystals = hard_bucket(load_prototypes(), rng)[:: max(1, round(1 / scale) // 3)]
    profiles = np.array([neighbour_profile(c, UNIQUE.neighbours) for c in crystals])
    structures = [c.to_pymatgen() for c in crystals]
    matcher = StructureMatcher()
    reduced = [s.get_primitive_structure().get_reduced_structure("niggli") for s in structures]
    distances = {True: [], False: []}
    for i in range(len(crystals)):
        for j in range(i):
            match = len(reduced[i]) == len(reduced[j]) and matcher.fit(
                reduced[j], reduced[i], skip_structure_reduction=True
            )
            distances[match].append(np.abs(profiles[i] - profiles[j]).mean())
    matching, others = (np.array(distances[kind]) for kind in (True, False))
    return [
        {
            "threshold": threshold,
            "matches_kept": float((matching <= threshold).mean()),
            "others_kept": float((others <= threshold).mean()),
            "matches": len(matching),
            "others": len(others),
        }
        for threshold in (0.05, 0.08, 0.10, 0.15, 0.20)
    ]


def bench_campaign(crystals, known_count, scale):
    """One structure through four filters and the duplicate check, as a campaign would run it.

    Known are `known_count` crystals, made of as many formulas as that takes: each formula as it was
    substituted, and in every prototype of its stoichiometry, as it is, stretched and squeezed. A
    keyed job sees what its formula has kept, so only the known crystals of formulas asked for are
    made; those of all are counted. Half of those asked for are slightly distorted copies of a known
    crystal, half are distorted beyond recognition.
    """
    rng = np.random.default_rng(5)
    by_type = defaultdict(list)
    for prototype in load_prototypes():
        by_type[stoichiometry(prototype.crystal)].append(prototype.crystal)
    known, formulas = 0, {}
    for crystal in crystals:
        if known < known_count and crystal.formula not in formulas:
            formulas[crystal.formula] = crystal
            known += 1 + len(STRETCHES) * len(by_type[stoichiometry(crystal)])
    filters = [
        opened(CompositionFilter(), CompositionParams()),
        opened(Charge(), ChargeParams()),
        opened(Geometry(), GeometryParams()),
        opened(Symmetry(), SymmetryParams(drop_p1=False)),
    ]
    matcher = Matcher(UNIQUE)
    seconds, sizes, found = [], [], []
    chosen = rng.choice([*formulas.values()], max(20, int(400 * scale)), replace=False)
    for k, crystal in enumerate(chosen):
        prototypes = by_type[stoichiometry(crystal)]
        dressed = [crystal, *(dress(p, crystal, c) for c in STRETCHES for p in prototypes)]
        kept = [keep(f"known/{i}", c) for i, c in enumerate(dressed)]
        asked_for = distorted(crystal, (0.03, 0.6)[k % 2], rng)
        times, match = screen(Candidate("new", asked_for), filters, kept, matcher)
        seconds.append(times)
        sizes.append(len(kept))
        found.append(match is not None)
    spent = 1000 * np.array(seconds)
    without, total = spent[:, :3].sum(axis=1), spent.sum(axis=1)
    confirmed = spent[:, 3] > MATCHER_RAN_MS
    return {
        "known": known,
        "formulas": len(formulas),
        "asked": len(seconds),
        "known_of_same_formula": float(np.mean(sizes)),
        "copies_found": float(np.mean(found[::2])),
        "others_found": float(np.mean(found[1::2])),
        "four_filters_ms": float(spent[:, 0].mean()),
        "fingerprint_ms": float(spent[:, 1].mean()),
        "known_profiles_ms": float(spent[:, 2].mean()),
        "matcher_ms": float(spent[:, 3].mean()),
        "matcher_asked_for": float(confirmed.mean()),
        "without_matcher_ms": float(without.mean()),
        "without_matcher_p95_ms": float(np.quantile(without, 0.95)),
        "with_matcher_ms": float(total[confirmed].mean()),
        "with_matcher_p95_ms": float(np.quantile(total[confirmed], 0.95)),
    }


def stoichiometry(crystal):
    """Amounts of a reduced formula in ascending order, whatever the elements."""
    _, amounts = np.unique(crystal.numbers, return_counts=True)
    return tuple(sorted((amounts // np.gcd.reduce(amounts)).tolist()))


def dress(prototype, crystal, stretch):
    """A prototype with the elements of `crystal`, by ascending amount, and its volume per atom."""
    elements, amounts = np.unique(crystal.numbers, return_counts=True)
    kinds, counts = np.unique(prototype.numbers, return_counts=True)
    new = np.zeros(128, dtype=int)
    new[kinds[np.argsort(counts, kind="stable")]] = elements[np.argsort(amounts, kind="stable")]
    ratio = (crystal.volume / crystal.n_atoms) / (prototype.volume / prototype.n_atoms)
    lattice = prototype.lattice * np.cbrt(ratio / stretch) * [[1], [1], [stretch]]
    return Crystal.of(lattice, prototype.frac_coords, new[prototype.numbers])


def keep(name, crystal):
    """A kept candidate as it comes out of the journal."""
    data = Fingerprint.of(crystal, UNIQUE).as_data(UNIQUE)
    return encode_entry(Candidate(name, crystal, data=data))


def screen(candidate, filters, kept, matcher):
    """Seconds for filters, fingerprint, reading what is known, and matching; the match."""
    marks = [time.process_time()]
    for calculator, context in filters:  # all four, whatever one of them says
        list(calculator.run([candidate], context))
    marks.append(time.process_time())
    fingerprint = Fingerprint.of(candidate.crystal, UNIQUE)
    marks.append(time.process_time())
    gallery = Gallery(matcher, UNIQUE.threshold)
    for entry in kept:
        known = decode_entry(entry)
        gallery.add(known.candidate_id, Fingerprint.carried(known, UNIQUE))
    marks.append(time.process_time())
    match = gallery.find(fingerprint)
    marks.append(time.process_time())
    return np.diff(marks), match


def bench_substitution(count):
    """How long the source takes to open, and per crystal then; and the crystals."""
    begun = time.process_time()
    calculator, context = opened(Substitute(), SubstituteParams(count=count, threshold=1e-7))
    opening_s = time.process_time() - begun
    context.begin(range(count))
    begun = time.process_time()
    born = list(calculator.run((), context))
    making_s = time.process_time() - begun
    crystals = [candidate.crystal for candidate in born]
    chances = np.array([candidate.properties["substitution_probability"] for candidate in born])
    return crystals, {
        "made": count,
        **{f"at_least_{p:g}": int((chances >= p).sum()) for p in (1e-3, 1e-4, 1e-6)},
        "opening_cpu_s": opening_s,
        "per_cpu_s": count / making_s,
        "median_atoms": float(np.median([c.n_atoms for c in crystals])),
    }


def show(rows, others):
    print(f"{'what':30} {'items':>6} {'ours ms':>9} {'theirs ms':>9} {'ratio':>7}  agree  against")
    for r in rows:
        print(
            f"{r['what']:30} {r['items']:6} {r['ours_ms']:9.3f} {r['theirs_ms']:9.3f}"
            f" {r['ratio']:7.1f} {r['agreement']:6.1%}  {r['against']}"
        )
    for title, table in others.items():
        print(f"\n{title}")
        for line in table if isinstance(table, list) else [table]:
            print("  " + "  ".join(f"{k}={v:.4g}" for k, v in line.items()))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--known", type=int, default=1_000_000, help="crystals known already")
    options = parser.parse_args()
    scale = 0.1 if options.quick else 1.0
    warnings.simplefilter("ignore")
    wall, cpu = time.perf_counter(), time.process_time()
    crystals, substitution = bench_substitution(int(280_000 * scale))
    sample = crystals[: int(1000 * scale)]
    rows = [
        *bench_charge(scale),
        *bench_geometry(sample),
        *bench_symmetry(sample[: int(400 * scale)]),
        *bench_matching(scale),
    ]
    others = {
        "structures.substitute": substitution,
        "match (as above)": {
            k: rows[-1].pop(k) for k in ("matches", "missed", "extra", "prepare_ms")
        },
        "prefilter: share of matching and of other pairs that reach the matcher": recall_table(
            scale
        ),
        "one structure, four filters and the duplicate check (CPU ms)": bench_campaign(
            crystals, options.known, scale
        ),
    }
    others["the whole run"] = {
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    show(rows, others)
    RESULTS.parent.mkdir(exist_ok=True)
    machine = {"machine": platform.machine(), "python": platform.python_version()}
    RESULTS.write_text(json.dumps({**machine, "rows": rows, **others}, indent=2) + "\n")


if __name__ == "__main__":
    main()
