"""What is done on a node whose Python has no Star-gen, to give it one.

The master sends the text of this file, and the node's Python runs it; so it imports nothing but the
standard library. Answers are one line of JSON behind `MARK`, as with `stargen.launchers.onnode`.

Theory of operation. Below one place lie `parts` (archives that are on their way), `pieces` (a
folder for each distribution, named by its hash) and `environments` (each a virtual environment
whose files are hard links to those of its pieces). All but parts appear by renaming, so what is
there is whole. A part is only ever appended to, at the offset that both sides agree on: a copy that
was cut goes on where it stopped, and two senders help each other instead of getting in each other's
way.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import sys
import sysconfig
import tarfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

MARK = "stargen-answer "
_CHUNK = 1 << 20


class Place:
    """Where everything lies on this node."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.parts = root / "parts"
        self.pieces = root / "pieces"
        self.environments = root / "environments"

    def prepare(self) -> None:
        for folder in (self.parts, self.pieces, self.environments):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def have(self, key: str, size: int) -> int:
        """How much of a piece's archive has come."""
        if (self.pieces / key).is_dir():
            return size
        with suppress(OSError):
            return (self.parts / key).stat().st_size
        return 0

    @contextmanager
    def alone(self) -> Generator[None]:
        """One process at a time; where the disk knows no locks, renaming has to do."""
        with (self.root / "lock").open("w") as file:
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


def ask(place: Place, told: dict[str, Any]) -> dict[str, Any]:
    """What this Python is, which environment there is, and how much of each piece."""
    python = place.environments / told["environment"] / "bin" / "python"
    return {
        "interface": sysconfig.get_config_var("SOABI") or sys.implementation.cache_tag,
        "libc": platform.libc_ver()[1],
        "interpreter": str(python) if python.exists() else "",
        "have": {key: place.have(key, size) for key, size in told["pieces"].items()},
    }


def take(place: Place, told: dict[str, Any]) -> dict[str, Any]:
    """Parts come on standard input, one behind another; the last one of a piece makes it one."""
    place.prepare()
    have = {part["key"]: _take(place, **part) for part in told["parts"]}
    return {"have": have}


def _take(place: Place, key: str, size: int, offset: int, length: int, digest: str) -> int:
    data = sys.stdin.buffer.read(length)
    with place.alone():
        part = place.parts / key
        if place.have(key, size) == offset:
            with part.open("ab") as file:
                file.write(data)
            if part.stat().st_size >= size:
                _unpack(part, place.pieces / key, digest)
        return place.have(key, size)


def _unpack(part: Path, piece: Path, digest: str) -> None:
    beside = piece.with_name(f"{piece.name}.tmp")
    found = hashlib.blake2b(digest_size=16)
    with part.open("rb") as file:
        while data := file.read(_CHUNK):
            found.update(data)
    try:
        if found.hexdigest() != digest:
            raise OSError(f"{part.name} arrived damaged")
        shutil.rmtree(beside, ignore_errors=True)
        with tarfile.open(part, "r:gz") as tar:
            if hasattr(tarfile, "data_filter"):  # Python 3.11.4
                tar.extraction_filter = tarfile.data_filter
            tar.extractall(beside)
        beside.rename(piece)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        part.unlink()


def make(place: Place, told: dict[str, Any]) -> dict[str, Any]:
    """Put the environment together from its pieces."""
    environment = place.environments / told["environment"]
    with place.alone():
        if not environment.is_dir():
            beside = environment.with_name(f"{environment.name}.tmp")
            shutil.rmtree(beside, ignore_errors=True)
            _make_environment(beside, [place.pieces / key for key in told["pieces"]])
            beside.rename(environment)
    return {"interpreter": str(environment / "bin" / "python")}


def _make_environment(folder: Path, pieces: list[Path]) -> None:
    """What venv makes, without its scripts; venv itself is not installed everywhere."""
    base = str(getattr(sys, "_base_executable", "") or sys.executable)
    packages = folder / "lib" / "python{}.{}".format(*sys.version_info) / "site-packages"
    packages.mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "bin" / "python").symlink_to(base)
    settings = f"home = {Path(base).parent}\ninclude-system-site-packages = false\n"
    (folder / "pyvenv.cfg").write_text(settings)
    for piece in pieces:
        for path in piece.rglob("*"):
            there = packages / path.relative_to(piece)
            if path.is_dir():
                there.mkdir(exist_ok=True)
            else:
                _link(path, there)


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except FileExistsError:  # two distributions bring it
        pass
    except OSError:  # the disk knows no hard links
        shutil.copy2(source, target)


def clean(place: Place, told: dict[str, Any]) -> dict[str, Any]:
    """Remove everything, but for environments that processes run in."""
    if not place.root.is_dir():
        return {"freed": 0, "used": 0}
    with place.alone():
        before = _bytes_in(place.root)
        used = set(_in_use(place.environments))
        for folder in (place.parts, place.pieces):
            shutil.rmtree(folder, ignore_errors=True)
        for environment in place.environments.glob("*"):
            if environment.name not in used:
                shutil.rmtree(environment, ignore_errors=True)
        freed = before - _bytes_in(place.root)
    if not used:
        shutil.rmtree(place.root, ignore_errors=True)
    return {"freed": freed, "used": len(used)}


def _in_use(environments: Path) -> Iterator[str]:
    """Names of the environments whose Python some process runs."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            program = os.fsdecode((process / "cmdline").read_bytes().partition(b"\0")[0])
            yield Path(program).relative_to(environments).parts[0]


def _bytes_in(folder: Path) -> int:
    """What is below a folder; several names of one file count once."""
    files = [path.lstat() for path in folder.rglob("*") if path.is_file()]
    return sum({status.st_ino: status.st_size for status in files}.values())


def main(verb: str, text: str) -> None:
    """Do what the master asks, and answer."""
    told = json.loads(text)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = Place(Path(told["place"] or cache / "stargen" / "packages"))
    try:
        answer = {"ask": ask, "take": take, "make": make, "clean": clean}[verb](place, told)
    except OSError as error:
        sys.exit(f"{place.root}: {error}")
    print(f"\n{MARK}{json.dumps(answer)}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[-2:])
