from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stargen.errors import ConfigError, Problems
from stargen.toml import Document
from stargen.typed import Bounds, Reader, near, plain, unknown_hint


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Inner:
    x: int
    y: float = 0.5

    def __post_init__(self):
        if self.x == 13:
            raise ValueError("13 brings bad luck")


@dataclass(frozen=True, slots=True)
class Outer:
    name: str = "n"
    size: int | Literal["auto"] = "auto"
    inner: Inner | None = None
    inners: tuple[Inner, ...] = ()
    either: Inner | tuple[Inner, ...] = ()
    pair: tuple[int, str] = (0, "")
    names: list[str] = field(default_factory=list)
    colour: Colour = Colour.RED
    level: Literal[1, 2] = 1
    table: Mapping[str, float] = field(default_factory=dict)
    wait_s: Annotated[float, Bounds(above=0, most=100)] = 1.0
    flag: bool = False
    path: Path = Path()
    or_: Any = None


def read(text, cls=Outer):
    reader = Reader(Document(text, "f.toml", ConfigError))
    value = reader.table(cls, reader.document.values)
    reader.finish()
    return value


def refusal(text, cls=Outer):
    with pytest.raises((ConfigError, Problems)) as caught:
        read(text, cls)
    return str(caught.value)


def test_every_kind_of_hint_is_read():
    assert read(
        """
        name = "a"
        size = 3
        inner = { x = 1, y = 2 }
        inners = [{ x = 1 }, { x = 2 }]
        either = [{ x = 3 }]
        pair = [1, "b"]
        names = ["c"]
        colour = "blue"
        level = 2
        table = { a = 1, b = 2.5 }
        wait_s = 100
        flag = true
        path = "a/b"
        or = [1, "x"]
        """
    ) == Outer(
        "a",
        3,
        Inner(1, 2.0),
        (Inner(1), Inner(2)),
        (Inner(3),),
        (1, "b"),
        ["c"],
        Colour.BLUE,
        2,
        {"a": 1.0, "b": 2.5},
        100.0,
        True,
        Path("a/b"),
        [1, "x"],
    )
    assert read("either = { x = 1 }").either == Inner(1)
    assert isinstance(read("wait_s = 2").wait_s, float)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nam = 1", ["f.toml:1: nam: unknown key", "did you mean name?"]),
        ("zzzz = 1", ["unknown key", "known here: name, size"]),
        ("name = 3", ["found 3, expected text in quotes", 'write name = "3"']),
        ("flag = 1", ["found 1, expected true or false"]),
        ("\nsize = true", ["f.toml:2", 'found true, expected a whole number or one of "auto"']),
        ("size = 3.0", ["found 3.0", "write size = 3"]),
        ('size = "auta"', ['"auta" is not one of "auto"', "did you mean auto?"]),
        ("inner = {}", ["inner: the key `x` is missing", "add x = ..."]),
        ("inners = [{ x = 1 },\n{ x = 'b' }]", ["f.toml:2: inners.x", "expected a whole number"]),
        ("inner = { x = 13 }", ["inner: 13 brings bad luck"]),
        ("either = { x = 1, z = 1 }", ["either.z: unknown key"]),
        ("either = 1", ["expected a table or a list"]),
        ("pair = [1]", ["has 1 values, must have 2"]),
        ("names = 'a'", ["expected a list", 'write names = ["a"]']),
        ("colour = 'rad'", ['"rad" is not one of "red", "blue"', "did you mean red?"]),
        ("level = 3", ["3 is not one of 1, 2"]),
        ("table = { a = 'x' }", ["table.a: found"]),
        ("wait_s = 0", ["wait_s: is 0, must be more than 0"]),
        ("wait_s = 101", ["must be at most 100"]),
        ("wait_s = inf", ["must be a finite number"]),
        ("wait_s = '30 s'", ['found "30 s"', "write wait_s = 30"]),
        ("wait_s = '0.5 min'", ["write wait_s = 30"]),
        ("wait_s = 'long'", ["wait_s is in seconds"]),
    ],
)
def test_a_refusal_says_where_what_and_what_to_write(text, words):
    message = refusal(text)
    for word in words:
        assert word in message


def test_all_problems_come_at_once():
    message = refusal("nam = 1\nwait_s = -1\ninner = { x = 'a', z = 2 }")
    assert [line for line in message.splitlines() if not line.startswith(" ")] == [
        "f.toml:1: nam: unknown key",
        "f.toml:2: wait_s: is -1, must be more than 0",
        "f.toml:3: inner.z: unknown key",
        'f.toml:3: inner.x: found "a", expected a whole number',
    ]


def test_an_unknown_key_alone_does_not_hide_the_rest():
    reader = Reader(Document("name = 'a'\nother = 1"))
    assert reader.table(Outer, reader.document.values) == Outer("a")
    assert len(reader.problems) == 1


def test_keys_of_others_are_left_alone():
    reader = Reader(Document("use = 'x'\nx = 1"))
    assert reader.table(Inner, reader.document.values, ignore=("use",)) == Inner(1)
    assert not reader.problems


def test_none_is_read_where_it_is_allowed():
    reader = Reader(Document(""))
    assert reader.table(Outer, {"inner": None, "name": "a"}) == Outer("a")
    assert reader.table(Outer, {"name": None}) is None


def test_suggestions():
    assert near("relx", ["relax", "static"]) == "did you mean relax?"
    assert near("zzz", ["relax"]) is None
    assert unknown_hint("zzz", ["b", "a"]) == "known here: b, a"


def test_plain_writes_the_keys_of_the_file():
    assert plain(Outer(inner=Inner(1), colour=Colour.BLUE, or_=(1, Path("x")))) == {
        "name": "n",
        "size": "auto",
        "inner": {"x": 1, "y": 0.5},
        "inners": [],
        "either": [],
        "pair": [0, ""],
        "names": [],
        "colour": "blue",
        "level": 1,
        "table": {},
        "wait_s": 1.0,
        "flag": False,
        "path": ".",
        "or": [1, "x"],
    }


_TOML_VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["x", "y", "name", "or"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(list(Outer.__dataclass_fields__)), _TOML_VALUES))
def test_any_value_is_read_or_refused_with_words(values):
    reader = Reader(Document(""))
    result = reader.table(Outer, values)
    assert (result is None) <= bool(reader.problems)
    for problem in reader.problems:
        assert str(problem)
