"""A command line to type into, a campaign that has run for a while, and a master that answers."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass

import pytest
from support.campaigns import TEXT, lay

from stargen.cli import main
from stargen.cli.pictures import remembered
from stargen.errors import UserError
from stargen.master.control import SOCKET_NAME, ControlServer


@dataclass
class Answer:
    code: int
    out: str
    err: str


@pytest.fixture
def stargen(capsys):
    """Types a command line, and gives what it answers."""

    def type_in(*arguments):
        code = main.run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Answer(code, said.out, said.err)

    return type_in


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory with a campaign file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "salts.toml").write_text(TEXT)
    return tmp_path


@pytest.fixture
def campaign(here):
    """A campaign that was interrupted."""
    return lay(here / "campaigns" / "salts")


class Steered:
    """Stands for a master: remembers what it was asked, and ends when it is told to."""

    def __init__(self, picture):
        self.asked = []
        self._picture = picture
        self._ended = asyncio.Event()
        self._loop = None

    async def serve(self, path):
        self._loop = asyncio.get_running_loop()
        serving = asyncio.create_task(ControlServer(self).serve(path))
        await self._ended.wait()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)

    def end(self):
        """From any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ended.set)

    def picture(self):
        return self._picture

    def failures(self):
        return self._picture["failures"]

    def explain(self, target):
        if target == "none":
            raise UserError("there is no job none", hint="did you mean make?")
        return [f"{target} waits.", "No node has joined yet."]

    def ask(self, action, target, by):
        if target == "none":
            raise UserError("there is no job none")
        self.asked.append((action, target))

    async def kept(self):
        pass

    def stop(self, by, *, now):
        self.asked.append(("stop", now))
        self._ended.set()

    def records(self, after, most):
        return []


@pytest.fixture
def master(campaign):
    """A master of that campaign."""
    steered = Steered(remembered(campaign) | {"state": "running", "reason": ""})
    path = campaign.socket(SOCKET_NAME)
    thread = threading.Thread(target=asyncio.run, args=(steered.serve(path),))
    thread.start()
    deadline = time.monotonic() + 10
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    yield steered
    steered.end()
    thread.join(10)
