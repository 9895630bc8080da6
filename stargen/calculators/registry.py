"""What is installed: calculators, launchers, sinks and commands, by Python entry points.

Three depths of loading keep a broken or heavy plugin from hurting anyone who does not use it: names
and versions come from metadata alone (not even numpy is imported for them); an info, a launcher, a
sink or a command is imported when it is asked for by name; a factory only where it runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Literal, cast

from stargen.errors import PluginError
from stargen.typed import near

if TYPE_CHECKING:
    from stargen.calculators.contract import Calculator, CalculatorInfo, Program

Group = Literal["calculators", "launchers", "sinks", "commands"]

GROUPS: tuple[Group, ...] = ("calculators", "launchers", "sinks", "commands")

NARROWED_BY = "STARGEN_PLUGINS"
"""Environment variable: only these distributions, by comma, beside the core itself."""

_CORE = "stargen"
_ONE: Mapping[Group, str] = {
    "calculators": "calculator",
    "launchers": "launcher",
    "sinks": "sink",
    "commands": "command",
}


@dataclass(frozen=True, slots=True)
class Announced:
    """One entry point, as its distribution's metadata tells; nothing is imported.

    Parameters
    ----------
    target : ``module:attribute``
    """

    group: Group
    name: str
    distribution: str
    version: str
    target: str

    def load(self) -> Any:
        """Import it.

        Raises
        ------
        PluginError : whatever goes wrong inside
        """
        try:
            return EntryPoint(name=self.name, group=self.group, value=self.target).load()
        except Exception as error:
            raise PluginError(
                f"{self.name} of {self.distribution} {self.version} cannot be loaded:"
                f" {type(error).__name__}: {error}",
                hint=f"reinstall {self.distribution}, or leave it out with {NARROWED_BY}",
            ) from error


class Registry:
    """The entry points of the installed distributions."""

    def __init__(self, announced: Iterable[Announced]) -> None:
        unique = dict.fromkeys(announced)  # one distribution may be found on the path twice
        self._announced = sorted(unique, key=lambda a: (a.group, a.name, a.distribution))

    @classmethod
    def installed(cls, environ: Mapping[str, str] | None = None) -> Registry:
        """What this interpreter finds, narrowed by `STARGEN_PLUGINS` if that is set."""
        environ = os.environ if environ is None else environ
        wanted = {name.strip() for name in environ.get(NARROWED_BY, "").split(",")} - {""}
        found = (
            Announced(group, point.name, point.dist.name, point.dist.version, point.value)
            for group in GROUPS
            for point in entry_points(group=f"stargen.{group}")
            if point.dist is not None
        )
        return cls(a for a in found if not wanted or _is_wanted(a.distribution, wanted))

    def listing(self, group: Group) -> list[Announced]:
        """All of a group by name; one name may stand there twice, see `clash`."""
        return [each for each in self._announced if each.group == group]

    def find(self, group: Group, name: str) -> Announced:
        """The one of that name.

        Raises
        ------
        PluginError : if there is none (the nearest and the installed ones are named), or two
            distributions claim the name
        """
        found = [each for each in self.listing(group) if each.name == name]
        if not found:
            raise self._missing(group, name)
        problem = clash(found)
        if problem is not None:
            raise problem
        return found[0]

    def calculator(self, name: str) -> CalculatorInfo:
        """The info of a calculator.

        Raises
        ------
        PluginError : if it is missing, claimed twice, broken, or of another time than this core
        """
        from stargen.calculators.contract import CalculatorInfo

        announced = self.find("calculators", name)
        info = announced.load()
        if not isinstance(info, CalculatorInfo):
            raise PluginError(
                f"{announced.target} of {announced.distribution} is a {type(info).__name__}",
                hint="the entry point must name a stargen.CalculatorInfo",
            )
        _check_api(announced, info)
        if info.name != name:
            raise PluginError(
                f"{announced.distribution} announces {name}, but its info is called {info.name}",
                hint="entry point and CalculatorInfo.name must agree",
            )
        return info

    def _missing(self, group: Group, name: str) -> PluginError:
        names = list(dict.fromkeys(each.name for each in self.listing(group)))
        hints = [near(name, names), f"installed: {', '.join(names) or 'none'}"]
        plugin, dot, _ = name.partition(".")
        if dot and not any(known.startswith(f"{plugin}.") for known in names):
            hints.insert(0, f"the plugin {plugin} is not installed;")
        hint = " ".join(part for part in hints if part)
        return PluginError(f"there is no {_ONE[group]} {name}", hint=hint)

    def load(self, group: Group, name: str) -> Any:
        """A launcher, sink or command by name, imported. PluginError as `find` and `load`."""
        return self.find(group, name).load()


def clash(claims: Iterable[Announced]) -> PluginError | None:
    """The error if several distributions claim one name."""
    claims = list(claims)
    if len(claims) < 2:
        return None
    owners = " and ".join(f"{each.distribution} {each.version}" for each in claims)
    return PluginError(
        f"{claims[0].name} is claimed by {owners}",
        hint=f"uninstall one of them, or name the other in {NARROWED_BY}",
    )


def make(info: CalculatorInfo) -> Calculator | Program:
    """A new calculator or program of this info; imports its factory.

    Raises
    ------
    PluginError : if the factory cannot be found or fails
    """
    module, _, attribute = info.factory.partition(":")
    try:
        factory: Any = import_module(module)
        for part in attribute.split("."):
            factory = getattr(factory, part)
        return cast("Calculator | Program", factory())
    except Exception as error:
        raise PluginError(
            f"{info.name} cannot be made by {info.factory}: {type(error).__name__}: {error}"
        ) from error


def _check_api(announced: Announced, info: CalculatorInfo) -> None:
    from stargen.calculators.contract import API_SUPPORTED

    lowest, highest = API_SUPPORTED[0], API_SUPPORTED[-1]
    if info.api in API_SUPPORTED:
        return
    spoken = f"{lowest}" if lowest == highest else f"{lowest} to {highest}"
    older = announced.distribution if info.api < lowest else _CORE
    raise PluginError(
        f"{info.name} of {announced.distribution} {announced.version} speaks api {info.api},"
        f" this stargen speaks {spoken}",
        hint=f"upgrade {older}",
    )


def _is_wanted(distribution: str, wanted: set[str]) -> bool:
    name = distribution.lower().replace("_", "-")
    return name == _CORE or name in wanted or name.removeprefix(f"{_CORE}-") in wanted
