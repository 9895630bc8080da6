import sys
from types import ModuleType

import pytest

from stargen.calculators.contract import CalculatorInfo
from stargen.calculators.registry import Announced, Registry, make
from stargen.errors import PluginError


def announced(name="t.map", distribution="stargen-t", target="fake_t:info", **more):
    return Announced(
        **{"group": "calculators", "version": "1.0", **more},
        name=name,
        distribution=distribution,
        target=target,
    )


@pytest.fixture
def fake(monkeypatch):
    """Puts attributes into a module that entry points can name."""
    module = ModuleType("fake_t")
    monkeypatch.setitem(sys.modules, "fake_t", module)
    return module


def refusal(registry, name="t.map"):
    with pytest.raises(PluginError) as caught:
        registry.calculator(name)
    return str(caught.value)


def test_what_this_core_brings_is_found():
    registry = Registry.installed({})
    names = [each.name for each in registry.listing("calculators")]
    assert {"echo.source", "echo.map", "echo.keyed", "echo.gather", "exec.run"} <= set(names)
    assert names == sorted(names)
    assert registry.calculator("echo.map").name == "echo.map"
    assert registry.load("launchers", "local").__name__ == "LocalLauncher"
    assert registry.find("calculators", "echo.map").distribution == "stargen"


def test_listing_imports_nothing(fake):
    registry = Registry([announced(target="no_such_module:info")])
    assert [each.version for each in registry.listing("calculators")] == ["1.0"]


def test_a_missing_calculator_names_the_nearest_and_the_installed():
    message = refusal(Registry([announced(), announced("u.map")]), "t.mapp")
    assert "there is no calculator t.mapp" in message
    assert "did you mean t.map?" in message
    assert "installed: t.map, u.map" in message
    assert "the plugin vasp is not installed" in refusal(Registry([announced()]), "vasp.relax")


def test_a_broken_plugin_is_named_and_hurts_no_other(fake):
    fake.info = CalculatorInfo("t.map", 1, "m:f")
    registry = Registry([announced(), announced("b.map", "stargen-b", "no_such_module:info")])
    message = refusal(registry, "b.map")
    assert "b.map of stargen-b 1.0 cannot be loaded: ModuleNotFoundError" in message
    assert registry.calculator("t.map") is fake.info


def test_two_distributions_with_one_name_are_both_named(fake):
    fake.info = CalculatorInfo("t.map", 1, "m:f")
    registry = Registry([announced(), announced(distribution="other", version="2.0")])
    assert "t.map is claimed by other 2.0 and stargen-t 1.0" in refusal(registry)
    assert len(registry.listing("calculators")) == 2
    assert Registry([announced(), announced()]).calculator("t.map") is fake.info


@pytest.mark.parametrize(("api", "hint"), [(0, "speaks api 0"), (99, "speaks api 99")])
def test_an_api_of_another_time_says_which_side_to_upgrade(fake, api, hint):
    fake.info = CalculatorInfo("t.map", api, "m:f")
    message = refusal(Registry([announced()]))
    assert hint in message
    assert ("upgrade stargen\n" in message + "\n") == (api == 99)
    assert ("upgrade stargen-t\n" in message + "\n") == (api == 0)


def test_an_entry_point_must_name_an_info_of_that_name(fake):
    fake.info = "something"
    assert "is a str" in refusal(Registry([announced()]))
    fake.info = CalculatorInfo("t.other", 1, "m:f")
    assert "but its info is called t.other" in refusal(Registry([announced()]))


def test_the_environment_narrows_what_is_found():
    names = {
        a.distribution
        for a in Registry.installed({"STARGEN_PLUGINS": "none-such"}).listing("calculators")
    }
    assert names == {"stargen"}


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [("t", True), ("stargen-t", True), ("stargen-t,u", True), ("u", False)],
)
def test_a_plugin_is_wanted_by_either_name(wanted, kept, monkeypatch):
    class Point:
        name, value = "t.map", "fake_t:info"

        class dist:
            name, version = "stargen-t", "1"

    monkeypatch.setattr(
        "stargen.calculators.registry.entry_points",
        lambda group: [Point] if group == "stargen.calculators" else [],
    )
    registry = Registry.installed({"STARGEN_PLUGINS": wanted})
    assert bool(registry.listing("calculators")) is kept


def test_a_factory_is_made_or_says_why_not(fake):
    fake.Thing = dict
    assert make(CalculatorInfo("t.map", 1, "fake_t:Thing")) == {}
    with pytest.raises(PluginError, match=r"t\.map cannot be made by fake_t:Nothing"):
        make(CalculatorInfo("t.map", 1, "fake_t:Nothing"))
