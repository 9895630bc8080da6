"""SQL and `evaluate` must give the same verdict, whatever the filter and however odd the row."""

from math import inf, nan

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stargen_database.engines import open_reader, parse_url
from stargen_database.filters import Translator
from stargen_database.queries import find
from stargen_database.schema import material
from stargen_database.sink import DatabaseSink

from stargen.calculators.contract import Arrived
from stargen.crystal import encode_entry
from stargen.expressions import evaluate, parse

from .conftest import candidate

NUMBERS = [0, 1, -1, 3, 0.1, 0.1 + 0.2, 1e-9, -2.5, 1 / 3, 225, 12345678901]
TEXTS = ["", "a", "A", "b", "ä", "%", "_", "a%b", "rock salt", "Rock", 'say "x"', "\\", "zz", "🧪"]
ODD = [None, nan, inf, True, False]
NAMES = ["e_above_hull", "band_gap", "spacegroup", "energy_scheme", "x", "y", "label", "absent"]
COMPOSITIONS = [(3, 8), (3, 3, 8), (26, 26, 8, 8, 8), (8,), (3, 26, 15, 8), (17, 11), (22, 8, 8)]


def rows():
    rng = np.random.default_rng(11)
    pool = [*NUMBERS, *TEXTS, *ODD]
    for i in range(120):
        values = {name: pool[rng.integers(len(pool))] for name in NAMES[:-1] if rng.random() < 0.8}
        # most values are of their column's kind, or comparisons would hardly ever be known
        if rng.random() < 0.6:
            values["e_above_hull"] = NUMBERS[rng.integers(len(NUMBERS))]
            values["x"] = float(rng.normal())
            values["label"] = TEXTS[rng.integers(len(TEXTS))]
        yield candidate(f"make/{i}", COMPOSITIONS[i % len(COMPOSITIONS)], **values)


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


names = st.sampled_from(NAMES)
number_names = st.sampled_from([*NAMES, "nelements", "nsites", "n_atoms"])
text_names = st.sampled_from([*NAMES, "id", "formula"])
relations = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
numbers = (st.sampled_from(NUMBERS) | st.floats(-3, 3)).map(repr)
texts = (st.sampled_from(TEXTS) | st.sampled_from(["make/1", "Li2O", "Fe2O3", "O"])).map(quoted)
flags = st.sampled_from(["TRUE", "FALSE"])
symbols = st.sampled_from(["Li", "O", "Fe", "P", "Cl", "H"]).map(quoted)
entries = st.lists(st.tuples(st.sampled_from(["", "= ", "< ", ">= ", "!= "]), symbols), min_size=1)
entries = entries.map(lambda pairs: ", ".join(sign + symbol for sign, symbol in pairs[:3]))
comparisons = st.one_of(
    st.tuples(number_names, relations, numbers),
    st.tuples(numbers, relations, number_names),
    st.tuples(text_names, relations, texts),
    st.tuples(names, st.sampled_from(["=", "!="]), flags),
    st.tuples(names, relations, names),
    st.tuples(number_names, relations, names),
    st.tuples(text_names, st.sampled_from(["CONTAINS", "STARTS WITH", "ENDS"]), texts | names),
    st.tuples(names, st.just("IS"), st.sampled_from(["KNOWN", "UNKNOWN"])),
    st.tuples(st.just("elements HAS"), st.sampled_from(["ALL", "ANY", "ONLY"]), entries),
    st.tuples(st.just("elements LENGTH"), relations, st.sampled_from(["1", "2", "3.5"])),
    st.tuples(numbers, relations, numbers),
).map(" ".join)
filters = st.recursive(
    comparisons,
    lambda parts: st.one_of(
        parts.map(lambda part: f"NOT ({part})"),
        st.tuples(parts, st.sampled_from(["AND", "OR"]), parts).map(
            lambda three: f"({three[0]}) {three[1]} ({three[2]})"
        ),
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def stored(request, tmp_path_factory):
    """A connection to a database with the rows, and their envelopes."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('filters')}/results.db"
    else:
        url = request.getfixturevalue("postgresql")
    entries = [encode_entry(one) for one in rows()]
    sink = DatabaseSink(url, "filters", {"make": []}, "run")
    sink.write([Arrived("make", entry) for entry in entries], 1)
    sink.close()
    engine = open_reader(parse_url(url))
    with engine.connect() as connection:
        yield connection, [one.envelope for one in rows()]
    engine.dispose()


@settings(
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(text=filters)
def test_sql_and_evaluate_agree(stored, text):
    connection, envelopes = stored
    expression = parse(text)
    condition = Translator(connection.dialect.name).condition(expression)
    query = sa.select(material.c.candidate_id).where(condition)
    found = set(connection.execute(query).scalars())
    assert found == {each.candidate_id for each in envelopes if evaluate(expression, each)}


@pytest.mark.parametrize("name", ["x", "label", "e_above_hull"])
@pytest.mark.parametrize("value", ["0", '"a"'])
def test_the_rows_are_odd_enough(name, value):
    """Each kind of comparison is known for some rows and unknown for others."""
    expression = parse(f"{name} = {value} OR {name} != {value}")
    known = [evaluate(expression, one.envelope) for one in rows()]
    assert 0 < sum(known) < len(known)


@pytest.mark.parametrize("name", ["e_above_hull", "x", "label", "id", "status", "n_atoms"])
@pytest.mark.parametrize("sign", ["", "-"])
def test_order(stored, name, sign):
    connection, _ = stored
    values = [one.value(name) for one in find(connection, order_by=sign + name)]
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    texts = [v for v in values if isinstance(v, str)]
    assert numbers == sorted(numbers, reverse=bool(sign))
    assert texts == sorted(texts, reverse=bool(sign))
    assert values[: len(numbers)] == numbers
    assert len(values) == 120


def test_names_of_the_database_itself(stored):
    connection, _ = stored
    assert len(list(find(connection, parse('status = "kept" AND stage = "make"')))) == 120
    assert len(list(find(connection, parse('campaign = "filters" AND reason IS UNKNOWN')))) == 120
    assert not list(find(connection, parse('campaign = "other" OR status = 3')))
