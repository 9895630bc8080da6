import warnings

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from stargen_filters.fingerprint import KEY, Fingerprint, neighbour_profile
from stargen_filters.gallery import Gallery, Matcher
from stargen_filters.info import unique
from stargen_filters.params import UniqueParams

from stargen.crystal import Candidate, Crystal, decode_entry, encode_entry

PARAMS = UniqueParams()


def shaken(crystal, sigma_ang, seed=0, strain=0.0):
    rng = np.random.default_rng(seed)
    noise = rng.normal(scale=sigma_ang, size=(crystal.n_atoms, 3))
    frac = crystal.frac_coords + noise @ np.linalg.inv(crystal.lattice)
    lattice = crystal.lattice @ (np.eye(3) + rng.uniform(-strain, strain, size=(3, 3)))
    return Crystal.of(lattice, frac, crystal.numbers)


def turned(crystal, seed=0):
    """The same crystal in another cell, other origin, other order, other orientation."""
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    basis = np.array([[1, 1, 0], [0, 1, -2], [0, 0, 1]])
    frac = crystal.frac_coords @ np.linalg.inv(basis) + rng.random(3)
    order = rng.permutation(crystal.n_atoms)
    return Crystal.of(basis @ crystal.lattice @ rotation, frac[order], crystal.numbers[order])


def doubled(crystal):
    frac = [crystal.frac_coords * [0.5, 1, 1] + [shift, 0, 0] for shift in (0, 0.5)]
    return Crystal.of(
        crystal.lattice * [[2], [1], [1]], np.concatenate(frac), np.tile(crystal.numbers, 2)
    )


@pytest.fixture(scope="module")
def dressed(prototypes):
    """Prototypes of AB and AB2 stoichiometry, dressed as one formula each."""
    groups = {}
    for crystal in prototypes:
        kinds, amounts = np.unique(crystal.numbers, return_counts=True)
        if len(kinds) == 2 and amounts.max() in (amounts.min(), 2 * amounts.min()):
            rare, common = kinds[np.argsort(amounts, kind="stable")]
            elements = {rare: 22, common: 8}
            numbers = [elements[z] for z in crystal.numbers]
            groups.setdefault(amounts.max() // amounts.min(), []).append(
                Crystal.of(crystal.lattice, crystal.frac_coords, numbers)
            )
    return groups


def test_profile_does_not_depend_on_the_description(prototypes):
    for crystal in prototypes[::10]:
        profile = neighbour_profile(crystal, 8)
        for same in (turned(crystal), doubled(crystal), scaled(crystal, 1.2)):
            assert neighbour_profile(same, 8) == pytest.approx(profile, abs=1e-4)


def scaled(crystal, factor):
    return Crystal.of(crystal.lattice * factor, crystal.frac_coords, crystal.numbers)


def test_profile_sees_elements_change_places():
    lattice = np.eye(3) * 4.0
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    perovskite = Crystal.of(lattice, sites, [20, 22, 8, 8, 8])
    swapped = Crystal.of(lattice, sites, [22, 20, 8, 8, 8])
    difference = neighbour_profile(perovskite, 8) - neighbour_profile(swapped, 8)
    assert np.abs(difference).mean() > 0.1


def test_a_copy_is_dropped_and_names_its_representative(run, dressed):
    first = dressed[1][0]
    copies = [first, turned(first), doubled(first), shaken(first, 0.03), scaled(first, 1.1)]
    kept, drops = run(unique, [Candidate(f"g/{i}", c) for i, c in enumerate(copies)])
    assert [c.candidate_id for c in kept] == ["g/0"]
    assert {d.reason for d in drops} == {"duplicate"}
    assert all(d.detail.startswith("of g/0, rms 0.0") for d in drops)


def greedy_by_pymatgen(crystals):
    """Who is kept if each newcomer is compared with all representatives by the plain matcher."""
    matcher, kept = StructureMatcher(), []
    for i, crystal in enumerate(crystals):
        structure = crystal.to_pymatgen()
        if not any(matcher.fit(known, structure) for _, known in kept):
            kept.append((i, structure))
    return [i for i, _ in kept]


@pytest.mark.parametrize("ratio", [1, 2])
def test_keeps_what_the_plain_matcher_keeps(run, dressed, ratio):
    """Different structures of one formula, each with a noisy copy, strained or in another cell."""
    chosen = [c for c in dressed[ratio] if c.n_atoms <= 12][:16]
    crystals = [
        *chosen,
        *(shaken(turned(c, i), 0.02, i, 0.01) for i, c in enumerate(chosen)),
        *(shaken(doubled(c), 0.02, i) for i, c in enumerate(chosen[:3])),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = greedy_by_pymatgen(crystals)
        kept, _ = run(unique, [Candidate(str(i), c) for i, c in enumerate(crystals)])
    assert [int(c.candidate_id) for c in kept] == expected
    assert 1 < len(expected) <= len(chosen)


def test_the_split_into_batches_does_not_matter(run, dressed):
    crystals = [shaken(c, 0.05, seed) for seed in range(2) for c in dressed[2][:6]]
    candidates = [Candidate(str(i), c) for i, c in enumerate(crystals)]
    at_once, all_drops = run(unique, candidates)
    kept, drops = [], []
    for candidate in candidates:
        # what was kept comes back from the journal
        returned = [decode_entry(encode_entry(c)) for c in kept]
        more_kept, more_drops = run(unique, [candidate], kept=returned)
        kept += more_kept
        drops += more_drops
    assert [c.candidate_id for c in kept] == [c.candidate_id for c in at_once]
    assert drops == all_drops


def test_fingerprints_are_not_computed_twice(run, dressed, monkeypatch):
    kept, _ = run(unique, [Candidate("a", dressed[1][0])])
    returned = [decode_entry(encode_entry(c)) for c in kept]
    counted = []
    real = Fingerprint.of

    def counting(crystal, params):
        counted.append(crystal)
        return real(crystal, params)

    monkeypatch.setattr(Fingerprint, "of", counting)
    run(unique, [Candidate("b", turned(dressed[1][0]))], kept=returned)
    assert len(counted) == 1


def test_a_fingerprint_from_before_a_relaxation_is_not_used(dressed):
    before, after = dressed[1][0], dressed[1][1]
    candidate = Candidate("a", before)
    candidate = candidate.with_(data=Fingerprint.of(before, PARAMS).as_data(PARAMS))
    assert Fingerprint.carried(candidate, PARAMS).profile is candidate.data[KEY]["profile"]
    relaxed = candidate.with_(crystal=after)
    profile = Fingerprint.carried(relaxed, PARAMS).profile
    assert profile == pytest.approx(neighbour_profile(after, 8))
    other = UniqueParams(neighbours=4)
    assert len(Fingerprint.carried(candidate, other).profile) == 4 * 4


def test_primitive_cells_of_unequal_size_go_to_the_plain_matcher(dressed):
    """Noise hides the doubling from moyo; pymatgen still finds it."""
    crystal = dressed[1][0]
    known, noisy = (Fingerprint.of(c, PARAMS) for c in (crystal, shaken(doubled(crystal), 0.08)))
    assert known.cell.n_atoms != noisy.cell.n_atoms
    plain = StructureMatcher().fit(crystal.to_pymatgen(), noisy.crystal.to_pymatgen())
    assert plain
    assert Matcher(PARAMS).rms(known, noisy) > 0.005


class Recorder:
    """A matcher that matches nothing and remembers what it was asked."""

    def __init__(self):
        self.tried = []

    def rms(self, known, new):
        self.tried.append(known)


def ask(prints, threshold):
    """How far from the eighth print those lay that the matcher was asked about, in that order."""
    recorder = Recorder()
    gallery = Gallery(recorder, threshold)
    for i, fingerprint in enumerate(prints):
        gallery.add(str(i), fingerprint)
    assert len(gallery) == len(prints)
    assert gallery.find(prints[7]) is None
    return [float(np.abs(p.profile - prints[7].profile).mean()) for p in recorder.tried]


def test_the_nearest_profile_is_tried_first_and_the_far_ones_not_at_all(dressed):
    prints = [Fingerprint.of(c, PARAMS) for c in dressed[2][:12]]
    everything = ask(prints, threshold=10.0)
    assert everything == sorted(everything)
    assert len(everything) == 12
    assert everything[0] == 0
    near = ask(prints, threshold=0.1)
    assert near == [d for d in everything if d <= 0.1]
    assert 1 < len(near) < 12


def test_a_singular_cell_is_dropped(run):
    flat = Crystal.of([[1, 0, 0], [2, 0, 0], [0, 0, 1]], [[0, 0, 0]], [3])
    assert [d.reason for d in run(unique, [Candidate("a", flat)])[1]] == ["cell is singular"]
