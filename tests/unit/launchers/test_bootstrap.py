"""Star-gen for nodes without it; here with small distributions, and this machine for a node."""

import asyncio
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.disks import small_disk

from stargen.config import Pool
from stargen.errors import LinkLost, NodeError, UserError
from stargen.launchers import bootstrap, distributions
from stargen.launchers.bootstrap import Bootstrap, clean, luggage_of
from stargen.launchers.commands import LocalShell
from stargen.launchers.distributions import closure, pack

PURE = "py3-none-any"
POOL = Pool(launcher="ssh", bootstrap=("tiny",), interpreter=sys.executable)


def install(site: Path, name: str, *requires: str, tags: tuple[str, ...] = (PURE,)) -> None:
    """Put a distribution with one module, one big file and one script into `site`."""
    told = site / f"{name}-1.0.dist-info"
    package = site / name
    for folder in (told, package, site.parent / "bin"):
        folder.mkdir(parents=True, exist_ok=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0"]
    (told / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {r}" for r in requires)]))
    (told / "WHEEL").write_text("\n".join(f"Tag: {tag}" for tag in tags))
    (package / "__init__.py").write_text(f"name = {name!r}\n")
    (package / "data").write_bytes(os.urandom(5000))
    (site.parent / "bin" / name).write_text("#!/bin/sh\n")
    files = [f"{name}/__init__.py", f"{name}/data", f"{name}/__pycache__/__init__.pyc"]
    files += [f"../bin/{name}", f"{told.name}/METADATA", f"{told.name}/WHEEL"]
    (told / "RECORD").write_text("".join(f"{file},,\n" for file in files))


@pytest.fixture
def site(tmp_path, monkeypatch) -> Path:
    """Where distributions are installed: tiny, which needs tinier."""
    made = tmp_path / "lib" / "site"
    install(made, "tiny", "tinier>=0.5", "other; extra == 'all'")
    install(made, "tinier", "absent; python_version < '3'")
    monkeypatch.syspath_prepend(str(made))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(bootstrap, "_PIECE_BYTES", 2000)
    luggage_of.cache_clear()
    return made


class Counting(LocalShell):
    """This machine, and what went there."""

    def __init__(self) -> None:
        self.verbs: list[str] = []
        self.bytes = 0

    async def run(self, command, timeout_s, told=b""):
        self.verbs.append(next(v for v in ("ask", "take", "make", "clean") if f" {v} " in command))
        self.bytes += len(told) - len(bootstrap._script())
        return await super().run(command, timeout_s, await self.altered(told))

    async def altered(self, told: bytes) -> bytes:
        return told


async def equipped(shell: LocalShell, place: Path, pool: Pool = POOL) -> str:
    return (await Bootstrap().ready("cn1", shell, pool, place)).interpreter or ""


def imported(python: str) -> str:
    text = "import tiny, tinier; print(tiny.name, tinier.name)"
    return subprocess.run([python, "-I", "-c", text], capture_output=True, text=True).stdout


@contextmanager
def at_work(python: str) -> Iterator[None]:
    """A process that runs in the environment."""
    words = [python, "-c", "import tiny; print(1, flush=True); input()"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.communicate(b"\n")


# --- what is packed -------------------------------------------------------------------------------


def test_all_that_is_required_goes_along_and_nothing_else(site):
    install(site, "other")
    assert [each.name for each in closure(["tiny"])] == ["tinier", "tiny"]
    assert [each.name for each in closure(["tiny[all]"])] == ["other", "tinier", "tiny"]
    with pytest.raises(UserError, match="absent, which the site file's bootstrap names"):
        closure(["absent"])
    install(site, "lame", "absent")
    with pytest.raises(UserError, match="absent, which lame names, is not installed here"):
        closure(["lame"])


def test_an_archive_holds_modules_and_metadata_and_is_made_once(site, tmp_path):
    _, tiny = pack(["tiny"])
    archive = tiny.archive()
    with tarfile.open(archive) as tar:
        names = ["tiny-1.0.dist-info/METADATA", "tiny-1.0.dist-info/WHEEL"]
        assert tar.getnames() == [*names, "tiny/__init__.py", "tiny/data"]
    written = archive.stat().st_mtime_ns
    assert tiny.archive() == archive
    content = archive.read_bytes()
    assert archive.stat().st_mtime_ns >= written
    archive.unlink()
    assert tiny.archive().read_bytes() == content, "the same from the same files"
    (site / "tiny" / "data").write_bytes(b"new")
    assert pack(["tiny"])[1].key != tiny.key


def test_archives_that_nobody_wants_are_forgotten(site):
    old, new = (each.archive for each in pack(["tiny"]))
    os.utime(old(), (0, 0))
    kept = new()
    assert list(kept.parent.iterdir()) == [kept]


def test_an_editable_installation_is_packed_from_its_sources():
    packed = {each.name: each for each in pack(["stargen"])}["stargen"]
    told = f"stargen-{packed.version}.dist-info"
    assert {"stargen/__init__.py", "stargen/expressions/grammar.lark"} & packed.files.keys()
    assert f"{told}/entry_points.txt" in packed.files
    assert f"{told}/direct_url.json" not in packed.files
    assert not [name for name in packed.files if "__editable__" in name or "__pycache__" in name]


@pytest.mark.parametrize(
    ("tags", "libc"),
    [
        ((PURE,), ()),
        (("cp311-cp311-manylinux_2_28_x86_64",), (2, 28)),
        (("cp311-cp311-manylinux_2_17_x86_64", "cp311-cp311-manylinux2014_x86_64"), (2, 17)),
        (("cp311-cp311-manylinux1_x86_64",), (2, 5)),
    ],
)
def test_wheels_say_which_c_library_they_need(site, tags, libc):
    install(site, "made", tags=tags)
    assert pack(["made"])[0].libc == libc


def test_what_was_built_here_needs_the_c_library_of_here(site, monkeypatch):
    monkeypatch.setattr(distributions, "libc_ver", lambda: ("glibc", "2.36"))
    install(site, "made", tags=("cp311-cp311-linux_x86_64",))
    assert pack(["made"])[0].libc == (2, 36)


# --- how it gets there ----------------------------------------------------------------------------


async def test_a_node_gets_everything_once(site, tmp_path):
    shell = Counting()
    python = await equipped(shell, tmp_path / "there")
    assert imported(python) == "tiny tinier\n"
    assert shell.verbs == ["ask", "ask", *["take"] * shell.verbs.count("take"), "make"]
    assert shell.bytes == sum(file.stat().st_size for file in (tmp_path / "cache").rglob("*.gz"))
    again = Counting()
    assert await equipped(again, tmp_path / "there") == python
    assert (again.verbs, again.bytes) == (["ask"], 0)


async def test_what_has_changed_goes_there_alone(site, tmp_path):
    first = await equipped(Counting(), tmp_path / "there")
    (site / "tinier" / "__init__.py").write_text("name = 'tinier still'\n")
    luggage_of.cache_clear()
    shell = Counting()
    second = await equipped(shell, tmp_path / "there")
    assert imported(second) == "tiny tinier still\n"
    assert imported(first) == "tiny tinier\n", "agents of the older one go on"
    assert shell.bytes < 6000


class Cut(Counting):
    """The second part arrives by three quarters, and the link is gone."""

    async def altered(self, told: bytes) -> bytes:
        return told[:-500] if self.verbs.count("take") == 2 else told

    async def run(self, command, timeout_s, told=b""):
        done = await super().run(command, timeout_s, told)
        if self.verbs.count("take") == 2:
            raise LinkLost("the link was cut", node="cn1")
        return done


async def test_a_copy_that_was_cut_goes_on_where_it_was(site, tmp_path):
    with pytest.raises(LinkLost):
        await equipped(Cut(), tmp_path / "there")
    assert not list((tmp_path / "there" / "environments").iterdir())
    shell = Counting()
    assert imported(await equipped(shell, tmp_path / "there")) == "tiny tinier\n"
    whole = sum(file.stat().st_size for file in (tmp_path / "cache").rglob("*.gz"))
    assert shell.bytes == whole - 3500


class Damaging(Counting):
    async def altered(self, told: bytes) -> bytes:
        return told[:-1] + b"?" if self.verbs.count("take") == 2 else told


async def test_what_arrives_damaged_is_refused_and_comes_again(site, tmp_path):
    with pytest.raises(NodeError, match="arrived damaged"):
        await equipped(Damaging(), tmp_path / "there")
    assert imported(await equipped(Counting(), tmp_path / "there")) == "tiny tinier\n"


async def test_two_masters_help_each_other(site, tmp_path):
    shells = [Counting(), Counting()]
    pythons = await asyncio.gather(*(equipped(shell, tmp_path / "there") for shell in shells))
    assert pythons[0] == pythons[1]
    assert imported(pythons[0]) == "tiny tinier\n"
    assert len(list((tmp_path / "there" / "environments").iterdir())) == 1
    assert list((tmp_path / "there" / "parts").iterdir()) == []


async def test_hosts_with_one_folder_are_given_it_once(site, tmp_path):
    giver, shells = Bootstrap(), [Counting() for _ in range(3)]
    asked = (giver.ready(f"cn{i}", s, POOL, tmp_path / "t") for i, s in enumerate(shells))
    pools = await asyncio.gather(*asked)
    assert len({pool.interpreter for pool in pools}) == 1
    assert sorted("take" in shell.verbs for shell in shells) == [False, False, True]


async def test_what_was_removed_meanwhile_comes_again(site, tmp_path):
    giver, shell = Bootstrap(), Counting()
    asked = ("cn1", shell, POOL, tmp_path / "there")
    python = (await giver.ready(*asked)).interpreter or ""
    await giver.ready(*asked)
    assert shell.verbs[-1] == "make", "it is not asked about again and again"
    await clean("cn1", LocalShell(), POOL, tmp_path / "there")
    giver.forget("cn1")
    assert (await giver.ready(*asked)).interpreter == python
    assert imported(python) == "tiny tinier\n"


# --- where it cannot be ---------------------------------------------------------------------------


async def refused(pool: Pool = POOL, place: Path = Path("/nowhere")) -> str:
    with pytest.raises(NodeError) as caught:
        await equipped(LocalShell(), place, pool)
    return caught.value.problem


async def test_another_python_is_refused(site, monkeypatch):
    monkeypatch.setattr(bootstrap, "_LOADER", bootstrap._LOADER.replace("(3, ", "(4, "))
    version = "{}.{}".format(*sys.version_info)
    assert f"there is Python {version}, and what runs here is for" in await refused()


async def test_another_processor_is_refused(site, monkeypatch):
    monkeypatch.setattr(bootstrap, "binary_interface", lambda: "cpython-311-aarch64-linux-gnu")
    assert "is built for cpython-311-aarch64-linux-gnu" in await refused()


async def test_an_older_c_library_is_refused(site):
    install(site, "tinier", tags=("cp311-cp311-manylinux_2_99_x86_64",))
    assert "and tinier 1.0 as installed here needs 2.99" in await refused()


async def test_a_node_without_that_python_is_refused(site):
    pool = Pool(launcher="ssh", bootstrap=("tiny",), interpreter="/nowhere/python")
    assert "there is no /nowhere/python on it" in await refused(pool)


async def test_a_full_disk_is_said_and_holds_nothing_half_made(site, tmp_path):
    with small_disk(tmp_path / "disk", "8k") as disk:
        assert "No space left" in await refused(place=disk / "there")
        assert not list((disk / "there" / "environments").iterdir())
        assert not list((disk / "there" / "pieces").iterdir())


async def test_what_is_in_use_stays_until_it_is_not(site, tmp_path):
    place = tmp_path / "there"
    python = await equipped(Counting(), place)
    (site / "tiny" / "data").write_bytes(b"new")
    luggage_of.cache_clear()
    await equipped(Counting(), place)
    with at_work(python):
        freed, used = await clean("cn1", LocalShell(), POOL, place)
        assert (freed > 0, used) == (True, 1)
        assert imported(python) == "tiny tinier\n"
    assert (await clean("cn1", LocalShell(), POOL, place))[1] == 0
    assert not place.exists()
    assert await clean("cn1", LocalShell(), POOL, place) == (0, 0)
