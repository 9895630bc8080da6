"""Every command that a page shows is run, in a copy of the repository, and gives what is shown.

The commands of one page run one after another in the same copy, as a reader would type them, with
two exceptions. `make test` and `make demo` are what runs these tests, or runs beside them: of
`make` commands only the target is checked. And what a page installs with `pip install -e` goes into
a folder of the copy, not into the environment that the tests run in.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.markdown import ROOT, Block, Shown, agrees, blocks, commands, pages

INSTALLED = "installed"
READERS_PLUGINS = ",".join(["bondstats", *(path.name for path in ROOT.glob("plugins/*"))])
"""What a reader has: not the misbehaving plugin that other tests need."""
COMMAND_TIMEOUT_S = 120
SLOW_TIMEOUT_S = 900


def _id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _is_slow(page: Path) -> bool:
    return any("slow" in block.notes for block in blocks(page))


PAGES = [
    pytest.param(
        page,
        marks=[pytest.mark.slow, pytest.mark.timeout(2 * SLOW_TIMEOUT_S)] if slow else [],
        id=_id(page),
    )
    for page in pages()
    if not page.is_relative_to(ROOT / "plugins")  # they show what to do with a campaign of yours
    if page.name != "cluster.md"  # it needs hosts: tests/cluster/test_page.py makes some
    if page.name != "dashboard.md"  # it needs a terminal: test_dashboard_page.py has one
    if any(block.language == "console" for block in blocks(page))
    for slow in [_is_slow(page)]
]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What git knows of the repository, changes included, in a folder of its own."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    folder = tmp_path / "star-gen"
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_commands_do_what_the_page_says(page: Path, copy: Path):
    for block in blocks(page):
        if "file" in block.notes:
            target = copy / block.notes["file"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text)
        elif "append" in block.notes:
            with (copy / block.notes["append"]).open("a") as file:
                file.write(f"\n{block.text}")
        elif block.language == "console":
            for shown in commands(block):
                _try(page, block, shown, copy)


def _try(page: Path, block: Block, shown: Shown, folder: Path) -> None:
    where = f"{_id(page)}:{shown.line}: $ {shown.command}"
    if shown.command.split()[0] == "make":
        dry = _run(f"make --dry-run --always-make {shown.command.removeprefix('make')}", folder, 60)
        assert dry.returncode == 0, f"{where}\n{dry.stdout}"
        return
    command = re.sub(
        r"^pip install -e ",
        f"python -m pip install -q --no-deps --no-build-isolation --target {INSTALLED} ",
        shown.command,
    )
    timeout_s = SLOW_TIMEOUT_S if "slow" in block.notes else COMMAND_TIMEOUT_S
    done = _run(command, folder, timeout_s)
    expected = int(block.notes.get("exit", "0"))
    assert done.returncode == expected, f"{where}\nexit code {done.returncode}\n{done.stdout}"
    assert agrees(shown.output, done.stdout), (
        f"{where}\nshown:\n{shown.output}\nreal:\n{done.stdout}"
    )


def _run(command: str, folder: Path, timeout_s: float) -> subprocess.CompletedProcess[str]:
    environ = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder / INSTALLED),
        "STARGEN_PLUGINS": READERS_PLUGINS,
        "COLUMNS": "120",
    }
    with subprocess.Popen(
        command, shell=True, cwd=folder, env=environ, text=True, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        try:
            output, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            pytest.fail(f"$ {command}\ntook more than {timeout_s} s")
    return subprocess.CompletedProcess(command, process.returncode, output)


@pytest.mark.parametrize("page", sorted(ROOT.glob("plugins/*/README.md")), ids=_id)
def test_commands_about_a_campaign_of_yours_are_commands(page: Path, tmp_path: Path):
    shown = [s for b in blocks(page) if b.language == "console" for s in commands(b)]
    for each in shown:
        done = _run(each.command, tmp_path, 60)
        assert "no campaign has been run here" in done.stdout, f"$ {each.command}\n{done.stdout}"
