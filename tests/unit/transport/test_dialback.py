"""The master's SSH server: agents are found again, and nobody else gets anything."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import stat
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncssh
import pytest

from stargen.config import Pool
from stargen.errors import AgentGone, LinkLost, NodeError
from stargen.launchers.base import NodeSpec
from stargen.master.dialed import DialedNode
from stargen.transport.dialback import CONTROL, USER, Caller, DialServer
from stargen.transport.dialing import be_there, reach
from stargen.transport.greeting import Identity
from stargen.transport.local import serve_unix
from stargen.transport.meeting import MeetingPlace
from stargen.transport.session import Limits

MASTER = Identity("master", "c1", "m")
AGENT = Identity("agent", "c1", "a")


class Desk:
    """A server, and who has reported."""

    def __init__(self, folder: Path):
        self.place = MeetingPlace.of(folder)
        self.callers: list[Caller] = []
        self.came = asyncio.Event()
        self.server = DialServer(
            self.place,
            wanted=lambda name: name.startswith("p-"),
            on_caller=self.welcome,
            control=folder / "control",
        )

    def welcome(self, caller: Caller):
        self.callers.append(caller)
        self.came.set()

    async def next(self) -> Caller:
        async with asyncio.timeout(10):
            await self.came.wait()
        self.came.clear()
        return self.callers[-1]


@asynccontextmanager
async def serving(folder: Path):
    desk = Desk(folder)
    await desk.server.open()
    try:
        yield desk
    finally:
        await desk.server.close()


@asynccontextmanager
async def reporting(place: MeetingPlace, socket: Path, name: str = "p-1"):
    said: list[str] = []
    task = asyncio.create_task(be_there(place, name, socket, say=said.append))
    try:
        yield said
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def nobody_left(desk: Desk) -> None:
    """Wait until nobody is about to prove itself any more."""
    async with asyncio.timeout(10):
        while desk.server.strangers:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.01)


def spec(folder: Path) -> NodeSpec:
    return NodeSpec("p-1", "p", Pool(), "c1", folder, folder, folder / "a", 60.0)


async def attempt(place: MeetingPlace, **changed):
    where = place.where()
    usual = {
        "username": USER, "client_keys": [str(place.agent_key)], "known_hosts": None,
        "config": None, "agent_path": None,
    }  # fmt: skip
    return await asyncssh.connect("127.0.0.1", where.port, **usual | changed)


async def test_a_master_reaches_agents_that_report_and_again_after_a_cut(tmp_path):
    links = []
    async with serving(tmp_path) as desk:
        await serve_unix(tmp_path / "a", AGENT, links.append, expects="master")
        dialed = DialedNode()
        async with reporting(desk.place, tmp_path / "a"):
            dialed.welcome(await desk.next())
            access = await dialed.start(spec(tmp_path))
            link = await access.connect(MASTER, Limits(heartbeat_s=0.2, timeout_s=5, resume_s=20))
            link.send(b"hello")
            assert await links[0].receive() == [b"hello"]
            desk.callers[-1].hang_up()
            link.send(b"again")
            dialed.welcome(await desk.next())
            assert await links[0].receive() == [b"again"]
            assert len(links) == 1, "the session goes on"
            await link.close("done")


async def test_agents_find_the_next_master(tmp_path):
    async with reporting(MeetingPlace.of(tmp_path), tmp_path / "a") as said:
        async with serving(tmp_path) as desk:
            assert (await desk.next()).name == "p-1"
            first = desk.place.where()
        async with serving(tmp_path) as desk:
            await desk.next()
            assert desk.place.where().port != first.port
            assert desk.place.where().key == first.key, "it is the same campaign's"
    assert any("does not say where it is" in text for text in said)


async def test_a_caller_without_an_agent_says_so(tmp_path):
    async with serving(tmp_path) as desk, reporting(desk.place, tmp_path / "nobody"):
        caller = await desk.next()
        with pytest.raises(AgentGone, match="does not listen"):
            await caller.carry(object())  # type: ignore[arg-type]
        caller.hang_up()
        await caller.wait_closed()
        with pytest.raises(LinkLost):
            await caller.carry(object())  # type: ignore[arg-type]


async def test_keys_are_for_their_owner_alone(tmp_path):
    async with serving(tmp_path) as desk:
        assert stat.S_IMODE(desk.place.folder.stat().st_mode) == 0o700
        for path in (desk.place.agent_key, desk.place.master_key):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        told = desk.place.note.read_text()
        assert "PRIVATE" not in told
        before = desk.place.agent_key.read_bytes()
    desk.place.agent_key.chmod(0o644)
    async with serving(tmp_path) as desk:
        assert desk.place.agent_key.read_bytes() == before, "made once for each campaign"
        assert stat.S_IMODE(desk.place.agent_key.stat().st_mode) == 0o600
    assert not desk.place.note.exists(), "nobody is there any more"


async def test_another_client_key_or_user_is_refused(tmp_path):
    other = asyncssh.generate_private_key("ssh-ed25519")
    async with serving(tmp_path) as desk:
        for changed in (
            {"client_keys": [other]},
            {"username": "root"},
            {"client_keys": [], "password": "x"},
            {"client_keys": [str(desk.place.master_key)]},
        ):
            with pytest.raises(asyncssh.PermissionDenied):
                await attempt(desk.place, **changed)
        assert not desk.callers
        await nobody_left(desk)


async def test_a_master_with_another_key_is_not_believed(tmp_path):
    async with serving(tmp_path) as desk:
        note = json.loads(desk.place.note.read_text())
        other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
        desk.place.note.write_text(json.dumps(note | {"key": other.strip()}))
        with pytest.raises(NodeError, match="not reached"):
            await reach(desk.place)
        assert not desk.callers


async def test_whoever_is_let_in_gets_nothing_but_to_report(tmp_path):
    async with serving(tmp_path) as desk, await attempt(desk.place) as connection:
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.run("id")
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.start_sftp_client()
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.open_connection("127.0.0.1", 22)
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.open_unix_connection("/tmp/anything")
        with pytest.raises(asyncssh.ChannelListenError):
            await connection.forward_remote_port("", 0, "127.0.0.1", 22)
        for name in ("q-1", "../../etc/passwd", "", CONTROL):
            with pytest.raises(asyncssh.ChannelListenError):
                await connection.forward_remote_path(name, "/nowhere")
        assert not desk.callers


async def test_garbage_ends_its_connection_and_nothing_else(tmp_path):
    async with serving(tmp_path) as desk, reporting(desk.place, tmp_path / "a"):
        caller = await desk.next()
        port = desk.place.where().port
        for garbage in (
            b"GET / HTTP/1.1\r\n\r\n",
            os.urandom(70_000),
            b"SSH-2.0-x\r\n" + b"\xff" * 9000,
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(garbage)
            async with asyncio.timeout(10):
                with suppress(OSError):
                    while await reader.read(65_536):
                        pass
            writer.close()
        assert caller.lives
        assert len(desk.callers) == 1
        await nobody_left(desk)


async def test_too_many_strangers_are_hung_up_on_and_agents_still_come(tmp_path, monkeypatch):
    monkeypatch.setattr("stargen.transport.dialback._STRANGERS", 4)
    async with serving(tmp_path) as desk:
        port = desk.place.where().port
        writers = [(await asyncio.open_connection("127.0.0.1", port))[1] for _ in range(12)]
        await asyncio.sleep(0.2)
        assert len(desk.server.strangers) <= 5
        for writer in writers:
            writer.close()
        async with reporting(desk.place, tmp_path / "a"):
            await desk.next()


async def test_no_key_appears_in_what_is_logged(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    async with serving(tmp_path) as desk, reporting(desk.place, tmp_path / "a"):
        await desk.next()
        with pytest.raises(asyncssh.PermissionDenied):
            await attempt(desk.place, username="root")
        secret = desk.place.agent_key.read_text().splitlines()[1:-1]
    assert not any(line in caplog.text for line in secret)
    assert "PRIVATE" not in caplog.text
