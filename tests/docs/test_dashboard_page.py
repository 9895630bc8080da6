"""Every command of the page on the dashboard is typed into a terminal, and shows what it says."""

import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest
from support.markdown import ROOT, blocks, commands
from support.terminal import PATIENCE_S, Terminal

PAGE = ROOT / "docs" / "how-to" / "dashboard.md"
SHOWN = [shown.command for b in blocks(PAGE) if b.language == "console" for shown in commands(b)]
IN_A_TERMINAL = [command for command in SHOWN if "--web" not in command]
STARGEN = [sys.executable, "-m", "stargen.cli"]

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="there is no tmux")


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder in which the page's campaign has run."""
    folder = tmp_path_factory.mktemp("desk")
    text = (ROOT / "examples" / "01-echo" / "campaign.toml").read_text()
    (folder / "oxides.toml").write_text(text)
    up = [*STARGEN, "up", "oxides.toml", "--folder", "campaigns/li-oxides"]
    subprocess.run(up, cwd=folder, check=True, capture_output=True, timeout=PATIENCE_S)
    return folder


def typed(command):
    """With `stargen` where this environment has it, in this folder."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "LANG": "C.UTF-8", "TERM": "screen-256color"}, shlex.split(
        command, comments=True
    )


@pytest.mark.parametrize("command", IN_A_TERMINAL)
def test_the_dashboard_opens_and_closes(here, tmp_path, command):
    environment, words = typed(command)
    line = ["sh", "-c", f"cd {here} && exec {shlex.join(words)}"]
    with closing(Terminal(tmp_path, line, **environment)) as terminal:
        terminal.until("done")
        assert terminal.until_over("q") == 0


def test_it_is_served_to_a_browser(here):
    (command,) = set(SHOWN) - set(IN_A_TERMINAL)
    environment, words = typed(command)
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [*words, "--port", str(port)], cwd=here, env={**os.environ, **environment}
    )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                with urllib.request.urlopen(f"http://localhost:{port}", timeout=5) as answer:
                    assert b"textual" in answer.read()
                break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.2)
    finally:
        process.terminate()
        process.wait(timeout=30)
