from functools import partial

import numpy as np
import pytest
import torch
from stargen_diffusion.config import HIDDEN_TYPE, N_TYPES
from stargen_diffusion.making import Interrupted, Order, Refused, Workshop
from stargen_diffusion.oxidation import Balance
from stargen_diffusion.revealing import Palette, reveal
from stargen_diffusion.sampling import Plan, Sampler

from stargen import Crystal
from stargen.model import Chemistry

ANY = Palette(np.ones(N_TYPES, dtype=bool))
QUICK = Plan(steps=6)


def draw(number, *key):
    return np.random.default_rng([number, *(len(k) if isinstance(k, str) else k for k in key)])


def orders(sizes, palette=ANY, types=None):
    return [Order(n, partial(draw, at), palette, types) for at, n in enumerate(sizes)]


FORMS = [
    {},
    {"types": "onehot", "lattice": "raw", "mean_free": False},
    {"types": "onehot", "lattice": "scaled", "edge_layers": 1},
]


@pytest.mark.parametrize("form", FORMS)
def test_samples_do_not_depend_on_their_company(model, form):
    sampler = Sampler(model(**form).for_sampling(), QUICK)
    wanted = orders([3, 5, 3, 1, 5, 3, 2, 3])
    whole = Workshop(sampler).make(wanted)
    alone = [Workshop(sampler).make([order])[0] for order in wanted]
    assert alone == whole
    backwards = Workshop(sampler).make(wanted[::-1])
    assert backwards[::-1] == whole


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("stop_at", [1, 4, 9])
def test_an_interrupted_workshop_goes_on_to_the_same_crystals(model, form, stop_at):
    sampler = Sampler(model(**form).for_sampling(), QUICK)
    wanted = orders([3, 5, 3])
    whole = Workshop(sampler).make(wanted)
    kept = []
    stopping = Workshop(sampler, after_step=lambda done, total: done == stop_at, keep=kept.append)
    with pytest.raises(Interrupted):
        stopping.make(wanted)
    assert Workshop(sampler).make(wanted, kept[-1]) == whole


@pytest.mark.parametrize("stop_at", [1, 9, 11])
@pytest.mark.parametrize("pairs", [(6400, 9), (9, 6400)], ids=["in smaller", "in larger"])
def test_it_goes_on_in_chunks_of_another_size(model, pairs, stop_at):
    """As on a node with a GPU after one without."""
    sampler = Sampler(model().for_sampling(), QUICK)
    wanted = orders([3, 5, 3, 3])
    whole = Workshop(sampler).make(wanted)
    kept = []
    stopping = Workshop(sampler, after_step=lambda done, total: done == stop_at, keep=kept.append)
    sampler.chunk_pairs = pairs[0]
    with pytest.raises(Interrupted):
        stopping.make(wanted)
    sampler.chunk_pairs = pairs[1]
    assert Workshop(sampler).make(wanted, kept[-1]) == whole


def test_noise_of_long_ladders_is_drawn_in_blocks_and_still_the_same(model):
    sampler = Sampler(model().for_sampling(), Plan(steps=70, correctors=0))
    wanted = orders([2, 2])
    kept = []
    stopping = Workshop(sampler, after_step=lambda done, total: done == 40, keep=kept.append)
    with pytest.raises(Interrupted):
        stopping.make(wanted)
    assert Workshop(sampler).make(wanted, kept[-1]) == Workshop(sampler).make(wanted)


def test_given_types_stay(model):
    sampler = Sampler(model(types="known").for_sampling(), QUICK)
    made = Workshop(sampler).make(orders([3, 3], types=np.array([7, 7, 21])))
    assert [crystal.formula for crystal in made] == ["O2Ti", "O2Ti"]


def test_the_reference_takes_every_step_of_the_schedule(model):
    sampler = Sampler(model(steps=20).for_sampling(), Plan(steps=1000))
    assert sampler.times == [*range(20, -1, -1)]
    assert Plan(steps=5).grid(1000) == [990, 792, 594, 396, 198, 0]


def test_only_crystals_leave(model):
    """A network that says nothing but nonsense: no cell comes of it."""
    broken = model(lattice="raw").for_sampling()
    broken.network.lattice_head.weight.fill_(torch.nan)
    made = Workshop(Sampler(broken, QUICK)).make(orders([3, 4]))
    assert [result.reason for result in made] == ["no cell", "no cell"]


def test_chemistry_holds_for_every_crystal(model):
    chemistry = Chemistry(require=("O",), allow=("Li", "Ti", "Fe", "Mn"), max_elements=3)
    palette = Palette.of(chemistry, np.ones(N_TYPES, dtype=bool))
    made = Workshop(Sampler(model().for_sampling(), QUICK)).make(orders([6] * 40, palette))
    for crystal in made:
        assert isinstance(crystal, Crystal)
        assert "O" in crystal.symbols
        assert set(crystal.symbols) <= {"O", "Li", "Ti", "Fe", "Mn"}
        assert len(set(crystal.symbols)) <= 3
    assert len({crystal.formula for crystal in made}) > 10


def test_onehot_types_outside_the_chemistry_are_refused(model):
    palette = Palette.of(Chemistry(require=("Xe", "Kr")), np.ones(N_TYPES, dtype=bool))
    sampler = Sampler(model(types="onehot").for_sampling(), QUICK)
    made = Workshop(sampler).make(orders([4] * 5, palette))
    assert {made.reason for made in made if isinstance(made, Refused)} == {"outside the chemistry"}


def test_atoms_appear_as_the_logits_say():
    generator = torch.Generator().manual_seed(0)
    count = 4000
    types = torch.full((count, 2), HIDDEN_TYPE)
    types[:, 1] = 3
    logits = torch.full((count, 2, N_TYPES), -30.0)
    logits[:, 0, 10], logits[:, 0, 20] = 0.0, float(np.log(3))
    uniform = torch.rand(count, 2, 2, generator=generator)
    found = reveal(types, logits, 0.5, [ANY] * count, uniform)
    assert (found[:, 1] == 3).all()
    shown = found[:, 0] != HIDDEN_TYPE
    assert float(shown.float().mean()) == pytest.approx(0.5, abs=0.03)
    assert float((found[shown, 0] == 20).float().mean()) == pytest.approx(0.75, abs=0.03)
    assert ((found[:, 0] == 10) | (found[:, 0] == 20) | ~shown).all()


def test_draws_given_a_rule_are_the_conditional_ones():
    """Two hidden atoms, 1 or 2 with odds 1 : 3, given that they differ: each way half the time."""
    count = 2000
    types = torch.full((count, 2), HIDDEN_TYPE)
    logits = torch.full((count, 2, N_TYPES), -30.0)
    logits[:, :, 1], logits[:, :, 2] = 0.0, float(np.log(3))
    uniform = torch.rand(count, 2, 2, generator=torch.Generator().manual_seed(0))
    differ = Palette(ANY.allowed, rule=lambda classes: len(set(classes.tolist())) == 2)
    found = reveal(types, logits, 1.0, [differ] * count, uniform)
    assert (found.sum(1) == 3).all()
    assert float((found[:, 0] == 1).float().mean()) == pytest.approx(0.5, abs=0.03)
    never = Palette(ANY.allowed, rule=lambda classes: False)
    found = reveal(types, logits, 1.0, [never] * count, uniform)
    assert float((found == 2).float().mean()) == pytest.approx(0.75, abs=0.03)


def test_balanced_compositions_pass_and_chemistry_still_holds(model):
    balance = Balance()
    chemistry = Chemistry(require=("O",), allow=("Li", "Ti", "Fe", "P"), max_elements=3)
    sampler = Sampler(model().for_sampling(), Plan(steps=20))
    shares = []
    for rule in (None, balance):
        palette = Palette.of(chemistry, np.ones(N_TYPES, dtype=bool), rule)
        made = Workshop(sampler).make(orders([6] * 40, palette))
        assert all("O" in c.symbols and len(set(c.symbols)) <= 3 for c in made)
        shares.append(sum(balance(c.numbers.astype(np.int64) - 1) for c in made))
    assert shares[0] < 35
    assert shares[1] == 40


def test_a_rule_does_not_let_company_matter(model):
    sampler = Sampler(model().for_sampling(), QUICK)
    wanted = orders([3, 5, 3, 1], Palette(ANY.allowed, rule=Balance()))
    whole = Workshop(sampler).make(wanted)
    assert [Workshop(sampler).make([order])[0] for order in wanted] == whole
