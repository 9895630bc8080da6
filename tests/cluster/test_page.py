"""The page about clusters: its files and commands, on real hosts and a real Slurm."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cluster.batch import Login
from cluster.hosts import Hosts
from cluster.slurm import Slurm
from support.markdown import ROOT, Block, agrees, blocks, commands
from support.real_campaigns import Marked, wait_for

_HOSTS = 'hosts = ["cn[1-4]"]'
"""The line of the page's site file behind which the test names its own ssh_config."""


_PAGE = ROOT / "docs" / "how-to" / "cluster.md"
_BATCH = "## From a batch system"


def part(*, batch: bool) -> list[Block]:
    """The blocks of the page that are for batch systems, or those that are not."""
    begins = _PAGE.read_text().splitlines().index(_BATCH)
    return [block for block in blocks(_PAGE) if (block.line > begins) == batch]


@pytest.mark.timeout(120)
def test_what_the_page_says_of_ssh_works(hosts: Hosts, tmp_path: Path):
    desk = Marked(tmp_path / "work")
    known = tmp_path / "known_hosts"
    config = tmp_path / "ssh_config"
    theirs = (hosts.folder / "ssh_config").read_text()
    config.write_text(theirs.replace(f"{hosts.folder}/known_hosts", str(known)))
    environment = desk.environment()
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    for block in part(batch=False):
        if "file" in block.notes:
            text = block.text.replace(_HOSTS, f'{_HOSTS}\nssh = {{ config = "{config}" }}')
            (desk.base / block.notes["file"]).write_text(text)
        for shown in commands(block) if block.language == "console" else []:
            done = hosts.popen(
                ["bash", "-c", shown.command],
                cwd=desk.base,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            text, _ = done.communicate(timeout=90)
            assert done.returncode == 0, f"{shown.command}:\n{text}"
            assert agrees(shown.output, text), f"{shown.command}:\n{text}"
    assert known.read_text().count("ssh-ed25519") == 4


@pytest.mark.timeout(240)
def test_what_the_page_says_of_batch_systems_works(slurm: Slurm, tmp_path: Path):
    login = Login(tmp_path / "work", slurm)
    environment = login.environment()
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    for block in [*part(batch=False), *part(batch=True)]:
        if "file" in block.notes:
            login.write(block.notes["file"], block.text)
    try:
        for block in part(batch=True):
            for shown in commands(block) if block.language == "console" else []:
                done = subprocess.run(
                    ["bash", "-c", shown.command],
                    cwd=login.base,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    timeout=150,
                )
                text = done.stdout + done.stderr
                assert done.returncode == 0, f"{shown.command}:\n{text}"
                assert agrees(shown.output, text), f"{shown.command}:\n{text}"
        far = login.base / "campaigns" / "overnight"
        assert wait_for(lambda: "done: every job is done" in _output(far), 90.0), _output(far)
        assert login.nothing_left()
    finally:
        login.sweep()
        slurm.clear()


def _output(folder: Path) -> str:
    path = folder / "run" / "allocations" / "master.out"
    return path.read_text() if path.exists() else ""
