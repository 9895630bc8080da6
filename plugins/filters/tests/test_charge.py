"""The bitset rules against `smact.screening.smact_validity` itself."""

import itertools
import random
import warnings

import pytest
from stargen_filters.info import charge
from stargen_filters.neutrality import Neutrality, _repeated, _sumset
from stargen_filters.oxidation import ElementTable, element_table
from stargen_filters.params import STATE_SETS

from stargen.elements import SYMBOLS

ANIONS = ["N", "O", "F", "P", "S", "Cl", "Se", "Br", "Te", "I", "H", "C"]


def compositions(n, seed, sizes=(1, 2, 2, 3, 3, 4), top=8, pool=SYMBOLS[1:95]):
    """Half of them with an anion at least, or most would be refused for want of one."""
    rng = random.Random(seed)
    for _ in range(n):
        chosen = rng.sample(pool, rng.choice(sizes))
        if rng.random() < 0.5 and not set(chosen) & set(ANIONS):
            chosen[0] = rng.choice(ANIONS)
        yield {symbol: rng.randint(1, top) for symbol in chosen}


def by_smact(amounts, states, pauling=True, alloys=True, mixed=False):
    from pymatgen.core import Composition
    from smact.screening import smact_validity

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return smact_validity(
            Composition(amounts),
            use_pauling_test=pauling,
            include_alloys=alloys,
            oxidation_states_set=None if states == STATE_SETS[0] else states,
            mixed_valence=mixed,
        )


def combinations(amounts, table):
    """How many smact would try with mixed valence; above a million it gives up and says no."""
    total = 1
    for symbol, n in amounts.items():
        states = len(table.states.get(symbol, (0,)))
        total *= states**n if symbol in table.mixed else states
    return total


OPTIONS = [
    # states, pauling, alloys, compositions
    (STATE_SETS[0], True, True, 4000),
    (STATE_SETS[0], True, False, 1000),
    (STATE_SETS[0], False, False, 1000),
    ("icsd24", True, True, 1000),
    ("icsd16", False, True, 1000),
    ("smact14", True, True, 1000),
    ("pymatgen_sp", True, False, 400),
    ("wiki", True, True, 300),
    ("wiki", False, False, 200),
]


@pytest.mark.parametrize(("states", "pauling", "alloys", "n"), OPTIONS)
def test_agrees_with_smact(states, pauling, alloys, n):
    table = element_table(states, None, mixed_valence=False)
    rules = Neutrality(table, pauling=pauling, alloys=alloys)
    accepted = 0
    for amounts in compositions(n, seed=f"{states}{pauling}{alloys}"):
        verdict = rules.verdict(amounts)
        assert (verdict is not None) == by_smact(amounts, states, pauling, alloys), amounts
        accepted += verdict is not None
    assert n // 20 < accepted < n - n // 20, "one verdict only proves nothing"


def test_at_least_5000_compositions_are_compared():
    assert sum(n for *_, n in OPTIONS) >= 5000


@pytest.mark.parametrize("pauling", [True, False])
def test_agrees_with_smact_on_mixed_valence(pauling):
    table = element_table(STATE_SETS[0], None, mixed_valence=True)
    rules = Neutrality(table, pauling=pauling, alloys=False)
    pool = ["Fe", "Mn", "Co", "Cu", "Sn", "Eu", "V", "Li", "Ca", "Si", *ANIONS]
    compared = accepted = 0
    for amounts in compositions(900, seed=pauling, sizes=(2, 2, 3), top=5, pool=pool):
        if combinations(amounts, table) <= 5_000:
            verdict = rules.verdict(amounts)
            assert (verdict is not None) == by_smact(amounts, STATE_SETS[0], pauling, False, True)
            compared += 1
            accepted += verdict is not None
    assert compared > 300
    assert 0 < accepted < compared


def test_agrees_with_trying_everything():
    """On a made-up table with ties, neutral states and gaps, which smact's own sets lack."""
    rng = random.Random(5)
    symbols = "ABCDE"
    for _ in range(400):
        table = ElementTable(
            states={s: tuple(rng.sample(range(-3, 4), rng.randint(1, 3))) for s in symbols},
            electronegativity={s: rng.choice([1.0, 1.5, 2.0, 2.5]) for s in symbols},
            metals=frozenset(),
        )
        amounts = {s: rng.randint(1, 4) for s in rng.sample(symbols, rng.randint(2, 5))}
        for pauling in (True, False):
            verdict = Neutrality(table, pauling=pauling, alloys=True).verdict(amounts)
            assert (verdict == "ionic") == by_force(table, amounts, pauling)


def by_force(table, amounts, pauling):
    chi = table.electronegativity
    for states in itertools.product(*(table.states[s] for s in amounts)):
        if sum(q * n for q, n in zip(states, amounts.values(), strict=True)):
            continue
        cations = [chi[s] for s, q in zip(amounts, states, strict=True) if q > 0]
        anions = [chi[s] for s, q in zip(amounts, states, strict=True) if q < 0]
        if not pauling or not cations or max(cations) < min(anions):
            return True
    return False


def test_sumsets_are_sums():
    def members(bits):
        return {i for i in range(bits.bit_length()) if bits >> i & 1}

    one, other = 0b1011, 0b10010
    assert members(_sumset(one, other)) == {a + b for a in members(one) for b in members(other)}
    expected = {sum(c) for c in itertools.product(members(one), repeat=5)}
    assert members(_repeated(one, 5)) == expected


@pytest.mark.parametrize(
    ("amounts", "verdict"),
    [
        ({"Na": 2, "Cl": 2}, "ionic"),
        ({"Fe": 3}, "element"),
        ({"Ge": 1, "Sb": 1}, "alloy"),
        ({"Na": 1, "Cl": 2}, None),
        ({"Pm": 2, "O": 3}, None),  # no electronegativity
        ({"He": 1, "O": 1}, None),  # no oxidation states
        ({"Fe": 3, "O": 4}, None),  # one state per element
        ({"Cf": 1, "Rf": 1, "O": 9}, None),  # beyond the tables
    ],
)
def test_says_which_rule_accepted(run, candidate, amounts, verdict):
    kept, drops = run(charge, [candidate("a", **amounts)])
    assert [c.properties["charge_verdict"] for c in kept] == ([verdict] if verdict else [])
    assert [d.reason for d in drops] == ([] if verdict else ["charge not balanced"])
    assert all(c.properties["charge_rules"] == "icsd24-consensus3 pauling alloys" for c in kept)


def test_mixed_valence_is_exact_where_smact_gives_up(run, candidate):
    magnetite = candidate("a", Fe=3, O=4)
    assert run(charge, [magnetite], mixed_valence=True)[0]
    large = candidate("b", Fe=21, O=29)  # 16 Fe3+ and 5 Fe2+; 6^21 combinations
    kept, _ = run(charge, [large], mixed_valence=True)
    assert kept[0].properties["charge_rules"].endswith("mixed_valence")


def test_reads_states_from_a_file(run, candidate, tmp_path):
    (tmp_path / "mine.txt").write_text("# only these\nNa 1\nCl -2\n")
    kept, drops = run(
        charge,
        [candidate("a", Na=1, Cl=1), candidate("b", Na=2, Cl=1), candidate("c", K=1, Cl=1)],
        states="mine.txt",
        pauling=False,
    )
    assert [c.candidate_id for c in kept] == ["b"]
    assert [d.candidate_id for d in drops] == ["a", "c"]


def test_says_before_the_start_that_a_set_is_unknown(tmp_path):
    problems = list(charge.check(charge.params(states="icsd25"), tmp_path))
    assert len(problems) == 1
    assert "icsd24-consensus3" in problems[0]
    (tmp_path / "icsd25").write_text("Na 1\n")
    assert not list(charge.check(charge.params(states="icsd25"), tmp_path))
    assert charge.reads(charge.params(states="icsd25")) == ("icsd25",)
    assert charge.reads(charge.params()) == ()
