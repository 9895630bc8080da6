import json
import sys
from dataclasses import dataclass
from types import ModuleType

import pytest

from stargen.calculators.contract import CalculatorInfo
from stargen.calculators.registry import Announced, Registry


@dataclass(frozen=True)
class Needy:
    path: str


@pytest.fixture
def installed(monkeypatch):
    """Four calculators: one sound, one that breaks the contract, one needy, one broken."""
    module = ModuleType("fake_p")
    module.Bad = type("Bad", (), {"open": lambda *_: None, "close": lambda *_: None,
                                  "run": lambda self, candidates, context: []})  # fmt: skip
    module.bad = CalculatorInfo("p.bad", 1, "fake_p:Bad", summary="returns nothing")
    module.needy = CalculatorInfo("p.needy", 1, "fake_p:Bad", params=Needy, summary="reads")
    monkeypatch.setitem(sys.modules, "fake_p", module)
    rows = [
        Announced("calculators", "echo.map", "stargen", "1", "stargen.calculators.echo:map_"),
        Announced("calculators", "p.bad", "stargen-p", "2", "fake_p:bad"),
        Announced("calculators", "p.needy", "stargen-p", "2", "fake_p:needy"),
        Announced("calculators", "p.gone", "stargen-p", "2", "no_such_module:x"),
    ]
    monkeypatch.setattr(Registry, "installed", classmethod(lambda cls: Registry(rows)))


def states(answer):
    return {row["name"]: row["state"] for row in json.loads(answer.out)}


def test_a_broken_plugin_does_not_break_the_listing(stargen, installed):
    answer = stargen("plugins", "--json")
    assert answer.code == 1
    assert states(answer) == {
        "echo.map": "ready",
        "p.bad": "ready",
        "p.needy": "ready",
        "p.gone": "broken",
    }
    shown = stargen("plugins").out
    assert "p.gone of stargen-p 2 cannot be loaded: ModuleNotFoundError" in shown
    assert "Hands candidates on" in shown
    titles = [line for line in shown.splitlines() if line.startswith("stargen")]
    assert titles == ["stargen 1", "stargen-p 2"]


def test_check_tries_each_calculator(stargen, installed):
    answer = stargen("plugins", "--check", "--json")
    assert answer.code == 1
    assert states(answer) == {
        "echo.map": "sound",
        "p.bad": "unsound",
        "p.needy": "not tried",
        "p.gone": "broken",
    }
    assert "neither a candidate nor a Drop" in stargen("plugins", "--check").out


def test_without_a_flaw_it_is_fine(stargen, monkeypatch):
    monkeypatch.setenv("STARGEN_PLUGINS", "none")
    assert stargen("plugins", "--check").code == 0
