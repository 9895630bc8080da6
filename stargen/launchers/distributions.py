"""Installed distributions as archives: what is copied to nodes that have no Star-gen.

An archive holds one distribution as it lies in site-packages: its modules, its libraries and its
metadata, but no scripts. Wheels would be nicer, but an installed environment has none left, and a
login node often has no index to fetch them from. What an editable installation points to is packed
from there. Archives are named by the hash of what is in them and kept in the user's cache, so that
each is made once; they are gzip, since a bare Python knows nothing better.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import sys
import sysconfig
import tarfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from platform import libc_ver
from threading import get_ident

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from stargen.errors import UserError

Version = tuple[int, ...]

_LEVEL = 3
_UNUSED_S = 30 * 86_400.0
"""An archive that nobody wanted for so long is removed from the cache."""
_LIBC = re.compile(r"manylinux(?:_(\d+)_(\d+)|(1|2010|2014))_")
_OLD_NAMES = {"1": (2, 5), "2010": (2, 12), "2014": (2, 17)}
"""Source: PEP 600, legacy manylinux aliases."""


@dataclass(frozen=True, slots=True)
class Packed:
    """One distribution, whose archive has been made or will be.

    Parameters
    ----------
    key : hash of what is in it
    libc : the oldest glibc that it runs with; empty if it does not care
    files : {path in site-packages: file here}
    """

    name: str
    version: str
    key: str
    libc: Version
    files: dict[str, Path]

    def archive(self) -> Path:
        """The archive's file, made now if the cache does not have it."""
        folder = cache_folder()
        path = folder / f"{self.name}-{self.version}-{self.key}.tar.gz"
        with suppress(OSError):
            os.utime(path)
            return path
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _forget_unused(folder)
        beside = path.with_name(f"{path.name}.{os.getpid()}-{get_ident()}.tmp")
        try:
            with (
                beside.open("wb") as file,
                gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as packed,
                tarfile.open(fileobj=packed, mode="w|") as tar,
            ):
                for name, source in self.files.items():
                    tar.add(source, name, recursive=False, filter=_plain)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
        return path


def pack(names: Iterable[str]) -> list[Packed]:
    """Distributions and all that they require, by name.

    Raises
    ------
    UserError : one is not installed here, or in a way that does not say what belongs to it
    """
    return [_packed(each) for each in closure(names)]


def closure(names: Iterable[str]) -> list[Distribution]:
    """Distributions and all that they require on this machine, by name. UserError as `pack`."""
    found: dict[str, Distribution] = {}
    todo = [(Requirement(name), "the site file's bootstrap") for name in names]
    seen: set[tuple[str, frozenset[str]]] = set()
    while todo:
        wanted, who = todo.pop()
        name = canonicalize_name(wanted.name)
        if (name, frozenset(wanted.extras)) in seen:
            continue
        seen.add((name, frozenset(wanted.extras)))
        try:
            found[name] = distribution(name)
        except PackageNotFoundError as error:
            raise UserError(
                f"{wanted.name}, which {who} names, is not installed here",
                hint=f"python -m pip install {wanted.name}",
            ) from error
        for text in found[name].requires or ():
            required = Requirement(text)
            marker = required.marker
            extras = ("", *wanted.extras)
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
                todo.append((required, name))
    return [found[name] for name in sorted(found)]


def binary_interface() -> str:
    """What libraries for this Python are built for: its version, processor and system."""
    return str(sysconfig.get_config_var("SOABI") or sys.implementation.cache_tag)


def cache_folder() -> Path:
    """Where archives are kept on this machine."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "stargen", "archives")


def _packed(found: Distribution) -> Packed:
    files = dict(sorted(_files(found)))
    known = {path.as_posix(): path.hash.value for path in found.files or () if path.hash}
    digest = blake2b(binary_interface().encode(), digest_size=16)
    for name, source in files.items():
        content = known.get(name) or blake2b(source.read_bytes(), digest_size=16).hexdigest()
        digest.update(f"{name}\0{content}\0".encode())
    name = canonicalize_name(found.name)
    return Packed(name, found.version, digest.hexdigest(), _libc_of(found), files)


def _files(found: Distribution) -> Iterator[tuple[str, Path]]:
    """(path in site-packages, file here) of all that belongs to it."""
    recorded = found.files
    if recorded is None:
        raise UserError(
            f"it is not recorded which files belong to {found.name} {found.version}",
            hint=f"python -m pip install --force-reinstall --no-deps {found.name}",
        )
    editable = _is_editable(found)
    for path in recorded:
        source = Path(str(path.locate()))
        elsewhere = path.is_absolute() or ".." in path.parts or "__pycache__" in path.parts
        pointer = editable and not path.parts[0].endswith(".dist-info")
        own = editable and path.name in ("RECORD", "direct_url.json")
        if not (elsewhere or pointer or own) and source.is_file():
            yield path.as_posix(), source
    if editable:
        yield from _edited(found)


def _is_editable(found: Distribution) -> bool:
    told = json.loads(found.read_text("direct_url.json") or "{}")
    return bool(told.get("dir_info", {}).get("editable"))


def _edited(found: Distribution) -> Iterator[tuple[str, Path]]:
    """The modules that an editable installation points to."""
    tops = (found.read_text("top_level.txt") or "").split()
    if not tops:
        raise UserError(
            f"{found.name} is installed as editable, and does not say which modules are its",
            hint="install it without --editable",
        )
    for top in tops:
        spec = find_spec(top)
        for place in (spec and spec.submodule_search_locations) or ():
            folder = Path(place)
            for path in folder.rglob("*"):
                if path.is_file() and "__pycache__" not in path.parts:
                    yield f"{top}/{path.relative_to(folder).as_posix()}", path
        if spec is not None and not spec.submodule_search_locations and spec.origin:
            yield Path(spec.origin).name, Path(spec.origin)


def _libc_of(found: Distribution) -> Version:
    """By the tags of the wheel that it was installed from; one built here wants what is here."""
    lines = (found.read_text("WHEEL") or "").splitlines()
    tags = [line.removeprefix("Tag: ") for line in lines if line.startswith("Tag: ")]
    oldest: list[Version] = []
    for tag in tags:
        match = _LIBC.search(tag)
        if match is not None and match[3]:
            oldest.append(_OLD_NAMES[match[3]])
        elif match is not None:
            oldest.append((int(match[1]), int(match[2])))
        elif not tag.endswith("-any"):
            oldest.append(tuple(int(part) for part in libc_ver()[1].split(".") if part))
    return min(oldest, default=())


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without what differs from one machine to another."""
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o755 if entry.mode & 0o100 else 0o644
    return entry


def _forget_unused(folder: Path) -> None:
    for path in folder.iterdir():
        with suppress(OSError):
            if path.stat().st_mtime < time.time() - _UNUSED_S:
                path.unlink()
