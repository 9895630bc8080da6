"""Star-gen on nodes that do not have it: copied from this machine, into a place of its own there.

What a pool's `bootstrap` names, and all that it requires, goes to each node as archives of
installed distributions (`stargen.launchers.distributions`), piece by piece and each only once;
there `stargen.launchers.onbare` makes an environment of them, around a Python that the node has.
Nothing is fetched from anywhere else, and nothing is compiled: the node's Python and its C library
must be such that what runs here runs there.
"""

from __future__ import annotations

import asyncio
import json
import logging
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import Any, NamedTuple

from stargen.config import Pool
from stargen.errors import NodeError, UserError
from stargen.launchers import onbare
from stargen.launchers.commands import Shell
from stargen.launchers.distributions import Packed, Version, binary_interface, pack
from stargen.launchers.onnode import answer_in

log = logging.getLogger(__name__)

AT_ONCE = 4
"""To so many hosts pieces go at once: this machine's one core encrypts them all."""
_PIECE_BYTES = 8 * 1024 * 1024
_PATIENCE_S = 600.0
"""So long may a piece take on its way, and to be unpacked on a slow disk."""
_WRONG_VERSION = "stargen-needs-another-python"
_LOADER = f"""\
import sys
if sys.version_info[:2] != {sys.version_info[:2]}:
    sys.exit("{_WRONG_VERSION} %d.%d" % sys.version_info[:2])
exec(compile(sys.stdin.buffer.read(int(sys.argv[1])), "onbare", "exec"))
"""


@dataclass(frozen=True, slots=True)
class Archive:
    """One archive, as it is sent."""

    key: str
    path: Path
    size: int

    def part(self, offset: int, most: int) -> Part:
        """What comes next; the last part says how to know that all of it arrived undamaged."""
        with self.path.open("rb") as file:
            file.seek(offset)
            data = file.read(most)
            told = {"key": self.key, "size": self.size, "offset": offset, "length": len(data)}
            digest = ""
            if offset + len(data) == self.size:
                file.seek(0)
                digest = file_digest(file, lambda: blake2b(digest_size=16)).hexdigest()
        return Part(told | {"digest": digest}, data)


class Part(NamedTuple):
    """Some of an archive, and what is said of it."""

    told: dict[str, Any]
    data: bytes


def _next_parts(archives: Sequence[Archive], have: Mapping[str, int]) -> list[Part]:
    """What goes in one command: shells can be slow to start, and most archives are small."""
    parts: list[Part] = []
    room = _PIECE_BYTES
    for each in archives:
        if have[each.key] < each.size and room:
            parts.append(each.part(have[each.key], room))
            room -= len(parts[-1].data)
    return parts


@dataclass(frozen=True, slots=True)
class Luggage:
    """What goes to every node of a pool.

    Parameters
    ----------
    environment : names it; the same for the same contents
    """

    environment: str
    pieces: tuple[Packed, ...]

    @property
    def libc(self) -> Version:
        """The oldest C library that all of it runs with."""
        return max((each.libc for each in self.pieces), default=())

    def archives(self) -> list[Archive]:
        """All of them, made now as far as the cache does not have them."""
        paths = [(each.key, each.archive()) for each in self.pieces]
        return [Archive(key, path, path.stat().st_size) for key, path in paths]


@cache
def luggage_of(names: tuple[str, ...]) -> Luggage:
    """What nodes get where `bootstrap` has these names. UserError if it cannot be packed."""
    pieces = tuple(pack(names))
    together = blake2b("".join(each.key for each in pieces).encode(), digest_size=12)
    return Luggage(together.hexdigest(), pieces)


class Bootstrap:
    """Gives the nodes of one pool their Star-gen.

    The first host of a pool gets everything before the others are asked what they lack: where all
    see the same folder, they lack nothing any more.
    """

    def __init__(self) -> None:
        self._first = asyncio.Lock()
        self._served = False
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._ready: dict[str, Pool] = {}

    async def ready(self, host: str, shell: Shell, settings: Pool, place: Path | None) -> Pool:
        """The settings, with the interpreter that has what `bootstrap` names on that host.

        Parameters
        ----------
        place : folder for it there; in the user's cache if not said

        Raises
        ------
        NodeError : it cannot be brought there, or would not run there
        """
        if not settings.bootstrap:
            return settings
        if host not in self._ready:
            try:
                luggage = await asyncio.to_thread(luggage_of, settings.bootstrap)
            except UserError as error:
                raise NodeError(str(error), node=host) from error
            interpreter = await self._equip(_BareNode(host, shell, settings, place), luggage)
            self._ready[host] = replace(settings, interpreter=interpreter)
        return self._ready[host]

    def forget(self, host: str) -> None:
        """Look at the host again before the next use: what was there may be gone."""
        self._ready.pop(host, None)

    async def _equip(self, bare: _BareNode, luggage: Luggage) -> str:
        """Bring a node what it lacks; the path of the interpreter that has it."""
        try:
            archives = await asyncio.to_thread(luggage.archives)
        except OSError as error:
            raise NodeError(f"packages cannot be packed here: {error}", node=bare.host) from error
        found = await bare.look(luggage, archives)
        if found["interpreter"]:
            return found["interpreter"]
        async with self._first:
            if not self._served:
                interpreter = await bare.equip(luggage, archives)
                self._served = True
                return interpreter
        async with self._gate:
            return await bare.equip(luggage, archives)


async def clean(host: str, shell: Shell, settings: Pool, place: Path | None) -> tuple[int, int]:
    """Remove what was brought to a host; bytes that are free now, environments still in use.

    Raises
    ------
    NodeError : the host cannot be reached, or something cannot be removed
    """
    done = await _BareNode(host, shell, settings, place).ask("clean", {})
    return done["freed"], done["used"]


def packages_of(settings: Pool) -> Path | None:
    """Where it lies on hosts of a pool; None for the user's cache there."""
    return None if settings.folder is None else Path(settings.folder) / "packages"


class _BareNode:
    """A host, seen through its own Python."""

    def __init__(self, host: str, shell: Shell, settings: Pool, place: Path | None) -> None:
        self.host = host
        self._shell = shell
        self._settings = settings
        self._place = str(place or "")
        self._python = settings.interpreter or "python{}.{}".format(*sys.version_info)

    async def look(self, luggage: Luggage, archives: Sequence[Archive]) -> dict[str, Any]:
        """What is there already. NodeError if nothing of it would run there."""
        pieces = {each.key: each.size for each in archives}
        found = await self.ask("ask", {"environment": luggage.environment, "pieces": pieces})
        self._suits(found, luggage)
        return found

    async def equip(self, luggage: Luggage, archives: Sequence[Archive]) -> str:
        found = await self.look(luggage, archives)
        have = found["have"]
        lacking = sum(each.size - have[each.key] for each in archives)
        log.info("%s: %.0f MB of packages go there", self.host, lacking / 1e6)
        while parts := await asyncio.to_thread(_next_parts, archives, have):
            told = {"parts": [part.told for part in parts]}
            data = b"".join(part.data for part in parts)
            before = sum(have.values())
            have |= (await self.ask("take", told, data))["have"]
            if sum(have.values()) <= before:
                raise NodeError(f"{parts[0].told['key']} does not arrive there", node=self.host)
        told = {"environment": luggage.environment, "pieces": list(have)}
        return (await self.ask("make", told))["interpreter"]

    def _suits(self, found: dict[str, Any], luggage: Luggage) -> None:
        mine = binary_interface()
        if found["interface"] != mine:
            problem = (
                f"{self._python} there is {found['interface']}, and what runs here is built for"
                f" {mine}; install Star-gen there, or set `interpreter` of its pool to such a one"
            )
            raise NodeError(problem, node=self.host)
        libc = tuple(int(part) for part in found["libc"].split(".") if part.isdigit())
        if libc < luggage.libc:
            neediest = max(luggage.pieces, key=lambda each: each.libc)
            needed = ".".join(map(str, luggage.libc))
            problem = (
                f"its C library is glibc {found['libc']}, and {neediest.name} {neediest.version}"
                f" as installed here needs {needed}; install Star-gen there"
            )
            raise NodeError(problem, node=self.host)

    async def ask(self, verb: str, told: dict[str, Any], data: bytes = b"") -> dict[str, Any]:
        """What `stargen.launchers.onbare` answers there."""
        script = _script()
        words = [str(len(script)), verb, json.dumps({"place": self._place, **told})]
        command = behind_setup(self._settings, [self._python, "-I", "-c", _LOADER, *words])
        done = await self._shell.run(command, _PATIENCE_S, script + data)
        answer = answer_in(done.stdout)
        if done.status or answer is None:
            raise NodeError(self._why(done.status, done.stderr.strip()), node=self.host)
        return answer

    def _why(self, status: int, said: str) -> str:
        wanted = "{}.{}".format(*sys.version_info)
        if _WRONG_VERSION in said:
            return (
                f"{self._python} there is Python {said.split()[-1]}, and what runs here is for"
                f" {wanted}; set `interpreter` of its pool to a Python {wanted} there"
            )
        if status in (126, 127):
            return (
                f"there is no {self._python} on it ({said}); set `interpreter` of its pool to a"
                f" Python {wanted} there"
            )
        return f"Star-gen cannot be brought there (exit status {status}): {said[-600:]}"


@cache
def _script() -> bytes:
    return Path(onbare.__file__).read_bytes()


def behind_setup(settings: Pool, command: Sequence[str]) -> str:
    """A command line that any login shell understands, behind the pool's setup lines."""
    if settings.setup:
        script = "\n".join(["set -e", *settings.setup, 'exec "$@"'])
        command = ["/bin/bash", "-l", "-c", script, "setup", *command]
    return f"exec {shlex.join(command)}"
