from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import jsonschema
import pytest
import tomli

from stargen.calculators.contract import CalculatorInfo
from stargen.config import Settings
from stargen.scheduling.campaign_schema import campaign_schema
from stargen.schema import descriptions, document_schema, table_schema
from stargen.typed import Bounds

ROOT = Path(__file__).resolve().parents[2]


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Base:
    """The base.

    Parameters
    ----------
    one, two : numbers of
        some kind
    """

    one: int
    two: Annotated[float, Bounds(above=0, most=2)] = 1.0


@dataclass(frozen=True)
class Outer(Base):
    """What it is,
    in a line.

    More words.

    Parameters
    ----------
    or : the other way
    """

    or_: Literal["a", 3] | None = None
    colour: Colour = Colour.RED
    pair: tuple[int, str] = (1, "")
    many: tuple[Base, ...] = ()
    table: Mapping[str, bool] = field(default_factory=dict)
    path: Path = Path("x")
    some: Any = None


def test_descriptions_come_from_the_documentation():
    assert descriptions(Outer) == {
        "": "What it is, in a line.",
        "one": "numbers of some kind",
        "two": "numbers of some kind",
        "or": "the other way",
    }


def test_a_table_is_described():
    schema = table_schema(Outer)
    assert schema["description"] == "What it is, in a line."
    assert schema["required"] == ["one"]
    assert schema["additionalProperties"] is False
    properties = schema["properties"]
    assert properties["two"] == {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 2,
        "description": "numbers of some kind",
        "default": 1.0,
    }
    assert properties["or"] == {"enum": ["a", 3], "description": "the other way"}
    assert properties["colour"] == {"enum": ["red"], "default": "red"}
    assert properties["pair"]["items"] == [{"type": "integer"}, {"type": "string"}]
    assert properties["many"]["items"]["required"] == ["one"]
    assert properties["table"] == {
        "type": "object",
        "additionalProperties": {"type": "boolean"},
        "default": {},
    }
    assert properties["path"] == {"type": "string", "default": "x"}
    assert properties["some"] == {}
    jsonschema.Draft7Validator.check_schema(schema)


@pytest.mark.parametrize(
    ("change", "good"),
    [
        ({}, True),
        ({"two": 2}, True),
        ({"two": 0}, False),
        ({"one": "x"}, False),
        ({"or": 3}, True),
        ({"or": 4}, False),
        ({"pair": [1]}, False),
        ({"other": 1}, False),
    ],
)
def test_values_are_judged_as_the_reader_judges_them(change, good):
    validator = jsonschema.Draft7Validator(table_schema(Outer))
    assert validator.is_valid({"one": 1, **change}) is good


def test_the_site_file_fits_its_schema():
    schema = document_schema(Settings, "site")
    jsonschema.Draft7Validator.check_schema(schema)
    text = (ROOT / "stargen.toml").read_text("utf-8")
    jsonschema.validate(tomli.loads(text), schema, jsonschema.Draft7Validator)


def test_a_campaign_fits_its_schema_with_the_parameters_of_its_calculators():
    infos = [
        CalculatorInfo("t.one", 1, "m:f", params=Base, summary="one"),
        CalculatorInfo("t.none", 1, "m:f"),
    ]
    schema = campaign_schema(infos)
    jsonschema.Draft7Validator.check_schema(schema)
    validator = jsonschema.Draft7Validator(schema)

    def fits(job):
        return validator.is_valid(tomli.loads(f"[campaign]\nname = 'c'\n[[job]]\nname='j'\n{job}"))

    assert fits("use = 't.one'\nparams = { one = 1 }")
    assert not fits("use = 't.one'\nparams = { one = 'x' }")
    assert not fits("use = 't.one'\nparams = { tow = 1.0, one = 1 }")
    assert not fits("use = 't.two'")
    assert fits("input = 'i'\n[[job.step]]\nuse = 't.one'\none = 3\n[[job.step]]\nuse = 't.none'")
    assert not fits("input = 'i'\n[[job.step]]\nuse = 't.none'\none = 3")
    assert not fits("input = 'i'\n[[job.step]]\none = 3")
    assert fits("select = { where = 'a < 1' }\nresources = { cores = 2, or = { gpus = 1 } }")
