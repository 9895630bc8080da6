"""The real dashboard: in a terminal of tmux while a master dies and comes back; in a browser."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from support.terminal import PATIENCE_S, Terminal

from stargen.master.control import ControlClient
from stargen.master.detached import detach
from stargen.store import CampaignFolder

TEXT = """
[campaign]
name = "seen"
seed = 1
[[job]]
name = "make"
use = "echo.source"
grain = 1
params = { count = 100000, seconds = 0.2 }
"""
STARGEN = [sys.executable, "-m", "stargen.cli"]
needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="there is no tmux")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture
def campaign(tmp_path):
    """A campaign that runs in a process of its own; its file, folder and master."""
    file, folder = tmp_path / "campaign.toml", tmp_path / "out"
    file.write_text(TEXT)
    site = tmp_path / "stargen.toml"
    site.write_text('[pool.local]\nlauncher = "local"\n[pool.local.limits]\ncores = 2\n')
    run = Run(file, folder, site)
    run.start()
    yield run
    subprocess.run([*STARGEN, "down", "--now", "--campaign", str(folder)], check=False, timeout=90)


class Run:
    """Starts masters of one campaign."""

    def __init__(self, file, folder, site):
        self.file, self.folder, self.site = file, folder, site
        self.pid = 0

    def start(self):
        self.pid = detach(self.file, folder=self.folder, config=self.site).pid

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)


def top(folder, *more):
    return [*STARGEN, "top", "--campaign", str(folder), *more]


@pytest.mark.slow
@needs_tmux
def test_a_live_campaign_in_a_terminal_through_the_death_of_its_master(campaign, tmp_path):
    environment = {"LANG": "C.UTF-8", "TERM": "screen-256color"}
    with closing(Terminal(tmp_path, top(campaign.folder), **environment)) as terminal:
        terminal.until("seen +● running")
        terminal.press("2")
        terminal.until(r"nodes by state.*■ 1 busy")
        terminal.press("3")
        terminal.until(r"make/\d+ +(running|buffered)")
        terminal.press("Enter")
        terminal.until("story, the newest first")
        campaign.kill()
        terminal.until("no master; the journal speaks")
        campaign.start()
        terminal.until(r"● running[^?]*\n(?!.*no master)")
        terminal.press("6")
        assert "EpochStarted" not in terminal.until("TasksFinished")
        terminal.tmux("resize-window", "-t", "top", "-x", "20", "-y", "5")
        terminal.until("seen")
        terminal.tmux("resize-window", "-t", "top", "-x", "80", "-y", "24")
        terminal.until("TasksFinished")
        terminal.press("q")
        assert terminal.until_over() == 0
    os.kill(campaign.pid, 0)  # it runs on


@pytest.mark.slow
@needs_tmux
def test_several_look_and_none_disturbs_the_others_or_the_campaign(campaign, tmp_path):
    environment = {"LANG": "C.UTF-8", "TERM": "screen-256color"}
    with ExitStack() as stack:
        viewers = []
        for name in ("killed", "stopped", "watching"):
            (tmp_path / name).mkdir()
            terminal = Terminal(tmp_path / name, top(campaign.folder), **environment)
            viewers.append(stack.enter_context(closing(terminal)))
        killed, stopped, watching = viewers
        for each in viewers:
            each.until("seen +● running")
        for each in (stopped, watching):
            each.press("3")
            each.until(r"make/\d+ +finished")
        before, memory_mib = finished(campaign), memory_of(campaign.pid)
        stack.enter_context(closing(asked_and_never_read(campaign)))
        os.kill(killed.pid, signal.SIGKILL)
        os.kill(stopped.pid, signal.SIGSTOP)
        passed(campaign, before + 50)
        assert newest_shown(watching, before + 40) > before, "the one who is left sees it go on"
        assert newest_shown(stopped) <= before + 40, "the other one stands still"
        os.kill(stopped.pid, signal.SIGCONT)
        newest_shown(stopped, before + 50)
        for number in (signal.SIGSTOP, signal.SIGCONT, signal.SIGCONT):
            os.kill(stopped.pid, number)
            time.sleep(0.3)
        stopped.press("2")
        stopped.until(r"nodes by state.*■ 1 busy")
        stopped.press("q")
        assert stopped.until_over() == 0, "it waits for none of its threads"
        assert memory_of(campaign.pid) < memory_mib + 8, "what nobody reads is not kept"
        watching.press("q")
        assert watching.until_over() == 0
        passed(campaign, finished(campaign) + 10)


def asked_and_never_read(campaign):
    """A connection to the master at whose other end nobody listens to the answers."""
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(CampaignFolder(campaign.folder).socket("control")))
    client.setblocking(False)
    many = b'{"do": "status"}\n' * 20_000  # whose answers come to 60 MB and more
    with suppress(BlockingIOError):
        while many:
            many = many[client.send(many) :]
    return client


def finished(campaign):
    with ControlClient.of(campaign.folder) as master:
        return master.status()["jobs"][0]["tasks"]["finished"]


def passed(campaign, number):
    deadline = time.monotonic() + PATIENCE_S
    while finished(campaign) < number:
        assert time.monotonic() < deadline, "the campaign stands still"
        time.sleep(0.2)


def newest_shown(terminal, at_least=0):
    """The newest finished task in a terminal that shows tasks, once it is so new."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        seen = terminal.screen()
        newest = max(map(int, re.findall(r"make/(\d+) +finished", seen)), default=0)
        if newest >= at_least:
            return newest
        assert time.monotonic() < deadline, f"{at_least} is not shown:\n{seen}"
        time.sleep(0.2)


def memory_of(pid):
    """MiB that a process has at present."""
    told = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", told)[1]) / 1024


@pytest.mark.slow
@needs_tmux
def test_a_campaign_that_was_started_with_a_view_outlives_it(tmp_path):
    file, folder = tmp_path / "campaign.toml", tmp_path / "out"
    file.write_text(TEXT)
    command = [*STARGEN, "up", str(file), "--folder", str(folder), "--tui"]
    try:
        with closing(Terminal(tmp_path, command, LANG="C.UTF-8", TERM="screen-256color")) as view:
            view.until("seen +● running")
            view.press("q")
            assert view.until_over() == 0
        with ControlClient.of(folder) as master:
            begun = master.status()
            os.kill(begun["master"]["pid"], 0)
            assert begun["state"] == "running"
    finally:
        command = [*STARGEN, "down", "--now", "--campaign", str(folder)]
        subprocess.run(command, check=False, timeout=90)


@pytest.mark.slow
@needs_tmux
def test_a_terminal_without_utf_8_or_colours_gets_ascii_without_colours(campaign, tmp_path):
    environment = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environment |= {"NO_COLOR": "1", "TERM": "screen-256color"}
    with closing(Terminal(tmp_path, top(campaign.folder), **environment)) as terminal:
        terminal.until(r"seen +\* running")
        assert terminal.screen().isascii()
        colours = set(re.findall(r"\x1b\[[\d;]*m", terminal.screen("-e")))
        assert all(is_grey(code) for code in colours), colours
        terminal.press("q")
        assert terminal.until_over() == 0


def is_grey(code):
    """Whether an escape sequence sets no colour but a grey."""
    found = re.findall(r"[34]8;2;(\d+);(\d+);(\d+)", code)
    found += [(n, n, n) for n in re.findall(r"[34]8;5;2(?:3[2-9]|4\d|5[0-5])", code)]
    rest = re.sub(r"[34]8;2;\d+;\d+;\d+|[34]8;5;\d+", "", code)
    coloured = re.findall(r"(?<![\d])(?:3[1-6]|4[1-6]|9[1-6]|10[1-6])(?=[;m])", rest)
    return all(len(set(rgb)) == 1 for rgb in found) and not coloured


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")
def test_a_browser_shows_it_through_textual_serve(campaign, tmp_path):
    pytest.importorskip("textual_serve")
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = top(campaign.folder, "--web", "--port", str(port))
    server = subprocess.Popen(command, env={**os.environ, "LANG": "C.UTF-8"})
    try:
        until_listening(port)
        picture = tmp_path / "page.png"
        options = "headless no-sandbox disable-gpu disable-quic no-first-run hide-scrollbars"
        options += " disable-background-networking disable-component-update disable-sync"
        subprocess.run(
            [
                CHROMIUM,
                *(f"--{option}" for option in options.split()),
                f"--user-data-dir={tmp_path / 'profile'}",
                f"--screenshot={picture}",
                "--window-size=1000,600",
                "--timeout=20000",
                f"http://localhost:{port}",
            ],
            check=True,
            capture_output=True,
            timeout=PATIENCE_S,
        )
        assert many_colours(picture) > 100
    finally:
        server.terminate()
        server.wait(30)
    os.kill(campaign.pid, 0)


def many_colours(picture):
    """How many different colours a picture has: an empty page has few."""
    image = pytest.importorskip("PIL.Image").open(picture)
    return len(image.convert("RGB").getcolors(maxcolors=2**24))


def until_listening(port):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with suppress(OSError), closing(socket.create_connection(("localhost", port), 1.0)):
            return
        time.sleep(0.2)
    raise AssertionError("nothing listens")
