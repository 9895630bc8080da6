"""The control socket: requests, streams, and what it says no to."""

from __future__ import annotations

import asyncio
import json
import socket
import stat

import pytest

from stargen.errors import UserError
from stargen.master.control import ControlClient, ControlServer, NoMaster


class Master:
    """Says what it was asked."""

    def __init__(self):
        self.asked = []

    def picture(self):
        return {"state": "running", "asked": len(self.asked)}

    def failures(self):
        return [{"count": 3}]

    def explain(self, target):
        if target != "make":
            raise UserError(f"there is no job {target}", hint="make?")
        return {"why": "because"}

    def ask(self, action, target, by):
        self.asked.append((action, target, by))

    async def kept(self):
        self.asked[-1] = (*self.asked[-1], "kept")

    def stop(self, by, *, now):
        self.asked.append(("stop", now, by))

    def records(self, after, most):
        return [(n, b"\x00record %d" % n) for n in range(after + 1, 4)]


def served(tmp_path, use):
    """Run `use(path)` in a thread while a master serves the socket."""
    master, path = Master(), tmp_path / "control"

    async def main():
        serving = asyncio.create_task(ControlServer(master).serve(path))
        while not path.exists():  # noqa: ASYNC110 - the server has nobody to tell
            await asyncio.sleep(0.005)
        try:
            return await asyncio.to_thread(use, path)
        finally:
            serving.cancel()
            await asyncio.wait((serving,))

    result = asyncio.run(main())
    assert not path.exists()
    return master, result


def test_questions_are_answered_over_a_private_socket(tmp_path):
    def use(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with ControlClient(path) as client:
            return client.status(), client.failures(), client.explain("make")

    _, answers = served(tmp_path, use)
    assert answers == ({"state": "running", "asked": 0}, [{"count": 3}], {"why": "because"})


def test_requests_reach_the_master_with_who_asked(tmp_path):
    def use(path):
        with ControlClient(path) as client:
            client.ask("hold", "make")
            client.ask("retry")
            client.stop()
            client.stop(now=True)

    master, _ = served(tmp_path, use)
    assert [request[3:] for request in master.asked] == [("kept",), ("kept",), (), ()]
    assert [request[:2] for request in master.asked] == [
        ("hold", "make"),
        ("retry", ""),
        ("stop", False),
        ("stop", True),
    ]
    assert all(request[2] for request in master.asked)


def test_streams_go_on_until_the_client_hangs_up(tmp_path):
    def use(path):
        with ControlClient(path) as client:
            watching = client.watch(0.05)
            pictures = [next(watching) for _ in range(3)]
        with ControlClient(path) as client:
            records = client.records(1)
            return pictures, [next(records) for _ in range(2)]

    _, (pictures, records) = served(tmp_path, use)
    assert len(pictures) == 3
    assert records == [(2, b"\x00record 2"), (3, b"\x00record 3")]


def test_no_is_a_sentence(tmp_path):
    def use(path):
        with ControlClient(path) as client:
            with pytest.raises(UserError, match="there is no job mak"):
                client.explain("mak")
            with pytest.raises(UserError, match="nothing here is called dance"):
                client.ask("dance")
            return client.status()["state"]

    assert served(tmp_path, use)[1] == "running"


@pytest.mark.parametrize("line", [b"{}\n", b"[]\n", b"\xff\n", b"not json\n", b'{"do": "watch"'])
def test_nonsense_is_refused_and_others_are_served_on(tmp_path, line):
    def use(path):
        with socket.socket(socket.AF_UNIX) as rude:
            rude.settimeout(5)
            rude.connect(str(path))
            rude.sendall(line)
            rude.shutdown(socket.SHUT_WR)
            answer = rude.makefile().readline()
        with ControlClient(path) as client:
            assert client.status()["state"] == "running"
        return answer

    answer = served(tmp_path, use)[1]
    assert "error" in json.loads(answer)


def test_without_a_master_the_client_says_so(tmp_path):
    with pytest.raises(NoMaster):
        ControlClient(tmp_path / "control")
    with pytest.raises(NoMaster):
        ControlClient.of(tmp_path)


def test_a_master_that_ends_ends_the_stream(tmp_path):
    path = tmp_path / "control"

    async def main():
        serving = asyncio.create_task(ControlServer(Master()).serve(path))
        await asyncio.sleep(0.05)
        watching = asyncio.create_task(
            asyncio.to_thread(lambda: list(ControlClient(path).watch(0.05)))
        )
        await asyncio.sleep(0.2)
        serving.cancel()
        return serving, watching

    async def whole():
        _, watching = await main()
        return watching

    loop = asyncio.new_event_loop()
    watching = loop.run_until_complete(whole())
    for task in asyncio.all_tasks(loop):
        if task is not watching:
            task.cancel()
    assert len(loop.run_until_complete(watching)) >= 2
    loop.close()
