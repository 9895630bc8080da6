from contextlib import suppress
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stargen.crystal import Envelope
from stargen.errors import ExpressionError, UserError
from stargen.expressions import evaluate, parse

LITHIA = Envelope(
    "make/7",
    bytes(16),
    "Li2O",
    6,
    {
        "e_above_hull": 0.03,
        "steps": 12,
        "limit_steps": 12.0,
        "label": 'rock "salt"',
        "prefix": "rock",
        "converged": True,
        "none": None,
        "nan": nan,
        "infinite": inf,
    },
)


def matches(text: str) -> bool:
    return evaluate(parse(text), LITHIA)


@pytest.mark.parametrize(
    "text",
    [
        "e_above_hull < 0.1",
        "e_above_hull<=.03",
        "0.1 > e_above_hull",
        "-1 < e_above_hull",
        "e_above_hull > 1e-3 AND e_above_hull < +3.E-2 OR steps = 12",
        "steps = limit_steps",
        "steps >= 12 AND steps <= 12 AND steps != 13",
        "converged = TRUE",
        "TRUE = converged",
        "converged != FALSE",
        'label CONTAINS "salt"',
        "label STARTS WITH prefix",
        'label STARTS "rock"',
        r'label ENDS WITH "\"salt\""',
        r'label = "rock \"salt\""',
        'label > "rock"',
        'elements HAS "Li"',
        'elements HAS ALL "Li","O"',
        'elements HAS ANY "Fe", "O"',
        'elements HAS ONLY "Li","O","Fe"',
        'elements HAS < "M"',
        'elements HAS ALL < "M", > "M"',
        'elements HAS ONLY < "M", = "O"',
        "elements LENGTH 2",
        "elements LENGTH >= 2",
        "nelements = 2 AND nsites = 6 AND n_atoms = 6",
        'id = "make/7"',
        'chemical_formula_reduced = "Li2O"',
        'formula = "OLi2"',
        'formula = "Li4O2"',
        "none IS UNKNOWN AND nan IS UNKNOWN AND infinite IS UNKNOWN AND missing IS UNKNOWN",
        "steps IS KNOWN AND elements IS KNOWN AND formula IS KNOWN",
        "NOT missing IS KNOWN",
        "NOT (steps = 1 OR steps = 2)",
        "missing < 1 OR steps = 12",
        "1 < 2",
    ],
)
def test_match(text):
    assert matches(text)


@pytest.mark.parametrize(
    "text",
    [
        "e_above_hull > 0.1",
        "steps = 12 AND steps = 13",
        "steps = 1 OR steps = 2 AND steps = 12",
        "NOT steps = 12",
        'label CONTAINS "Salt"',
        'elements HAS ALL "Li","Fe"',
        'elements HAS ANY "Fe","N"',
        'elements HAS ONLY "Li"',
        'elements HAS > "P"',
        'elements HAS ONLY < "M"',
        "elements LENGTH 3",
        'formula != "Li4O2"',
        "2 < 1",
    ],
)
def test_no_match(text):
    assert not matches(text)


@pytest.mark.parametrize("name", ["missing", "none", "nan", "infinite"])
@pytest.mark.parametrize("relation", ["=", "!=", "<", ">="])
def test_a_comparison_with_an_absent_value_matches_neither_plain_nor_negated(name, relation):
    assert not matches(f"{name} {relation} 1")
    assert not matches(f"NOT {name} {relation} 1")
    assert not matches(f"{name} {relation} {name}")
    assert not matches(f"NOT ({name} {relation} 1 AND steps = 12)")
    assert matches(f"NOT ({name} {relation} 1 AND steps = 13)")


@pytest.mark.parametrize(
    "text", ['steps = "12"', "converged = 1", "label < 3", "converged < steps", "converged = label"]
)
def test_values_of_different_kinds_do_not_compare(text):
    assert not matches(text)
    assert not matches(f"NOT {text}")


def test_precedence_is_not_then_and_then_or():
    assert matches("steps = 12 OR steps = 12 AND steps = 13")
    assert not matches("(steps = 12 OR steps = 12) AND steps = 13")
    assert matches("NOT steps = 13 AND steps = 12")


def test_names_are_the_properties_it_reads():
    expression = parse('a < 1 AND (b = c OR id = "x") AND elements HAS "Li" AND d IS KNOWN')
    assert expression.names == {"a", "b", "c", "d"}
    assert parse("a = 1", known=["a"]).names == {"a"}


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("", 1, "found the end"),
        ("e_above_hull <", 15, "expected a"),
        ("e_above_hull < 0.1 steps", 20, "expected AND, OR or the end"),
        ("(steps < 1", 11, "expected )"),
        ("steps == 1", 8, "equality is written ="),
        ("steps <> 1", 8, "written !="),
        ("steps < 1 and steps > 0", 11, "capitals: AND"),
        ("steps = 'a'", 9, "double quotes"),
        ('label = "rock', 9, "not closed"),
        ("Steps = 1", 1, "lower case"),
        ("converged > TRUE", 13, "found `TRUE`"),
        ("steps < 1 && steps > 0", 11, "write AND"),
        ('elements = "Li"', 1, "HAS"),
        ('label HAS "x"', 1, "not a list"),
        ("label LENGTH 2", 1, "not a list"),
        ("elements HAS 3", 14, "holds texts"),
        ('nsites = "six"', 10, "is a number, not a text"),
        ('steps CONTAINS "x" AND nsites STARTS "x"', 24, "is a number, not a text"),
        ("steps < 1e999", 9, "too large"),
    ],
)
def test_an_error_says_where_and_what(text, column, says):
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert caught.value.column == column
    assert says in str(caught.value)
    assert isinstance(caught.value, UserError)


def test_an_unknown_name_brings_the_nearest():
    with pytest.raises(ExpressionError, match="did you mean `e_above_hull`") as caught:
        parse("steps > 1 AND e_above_hul < 0.1", known=["e_above_hull", "steps"])
    assert caught.value.column == 15
    with pytest.raises(ExpressionError, match=r"known here: .*steps"):
        parse("zzz < 0.1", known=["steps"])
    assert parse("nelements = 2", known=[]).names == frozenset()


def test_deep_nesting_is_refused_and_long_chains_are_not():
    deep = "NOT (" * 60 + "a = 1" + ")" * 60
    with pytest.raises(ExpressionError, match="nested"):
        parse(deep)
    assert matches(" OR ".join(["steps = 1"] * 3000 + ["steps = 12"]))
    assert matches("(" * 500 + "steps = 12" + ")" * 500)


@given(st.text(max_size=40))
def test_any_text_is_either_read_or_refused(text):
    with suppress(ExpressionError):
        parse(text)


@given(st.text(max_size=20))
def test_a_quoted_text_means_itself(text):
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    envelope = LITHIA._replace(properties={"label": text})
    assert evaluate(parse(f'label = "{quoted}"'), envelope)


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70))
def test_a_number_means_itself(number):
    envelope = LITHIA._replace(properties={"x": float(number)})
    assert evaluate(parse(f"x = {number!r}"), envelope)
