"""The page about clusters: its files and commands, on real hosts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cluster.hosts import Hosts
from support.markdown import ROOT, agrees, blocks, commands
from support.real_campaigns import Marked

_HOSTS = 'hosts = ["cn[1-4]"]'
"""The line of the page's site file behind which the test names its own ssh_config."""


@pytest.mark.timeout(120)
def test_what_the_page_says_works(hosts: Hosts, tmp_path: Path):
    desk = Marked(tmp_path / "work")
    known = tmp_path / "known_hosts"
    config = tmp_path / "ssh_config"
    theirs = (hosts.folder / "ssh_config").read_text()
    config.write_text(theirs.replace(f"{hosts.folder}/known_hosts", str(known)))
    environment = desk.environment()
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    for block in blocks(ROOT / "docs" / "how-to" / "cluster.md"):
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
