"""Links over real sockets and in memory."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import threading

import pytest

from stargen.errors import (
    HandshakeRefused,
    LinkLost,
    LocalProtocolError,
    RemoteProtocolError,
)
from stargen.transport.blocking import BlockingLink
from stargen.transport.greeting import Identity
from stargen.transport.local import bind_unix, connect_socket, connect_unix, serve_unix
from stargen.transport.memory import MemoryHub, memory_pair
from stargen.transport.session import USUAL, Limits

MASTER = Identity("master", "c1", "m")
AGENT = Identity("agent", "c1", "a")


async def collect(link, count):
    got = []
    async with asyncio.timeout(10):
        while len(got) < count:
            got += await link.receive()
    return got


async def served(path, limits=USUAL):
    arrived = asyncio.get_running_loop().create_future()
    server = await serve_unix(path, AGENT, arrived.set_result, expects="master", limits=limits)
    link = await connect_unix(path, MASTER, expects="agent", limits=limits)
    return server, link, await arrived


def test_messages_travel_both_ways_over_a_private_unix_socket(tmp_path):
    async def main():
        path = tmp_path / "s"
        server, master, agent = await served(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert master.peer.name == "a"
        assert agent.peer.name == "m"
        for n in range(1000):
            master.send(b"%d" % n)
        assert await collect(agent, 1000) == [b"%d" % n for n in range(1000)]
        agent.send(b"back")
        assert await master.receive() == [b"back"]
        await master.close("enough")
        with pytest.raises(LinkLost, match="enough"):
            await agent.receive()
        server.close()
        assert not path.exists()

    asyncio.run(main())


def test_a_listener_hears_what_came_before_it_and_what_comes_until_the_end(tmp_path):
    async def main():
        server, master, agent = await served(tmp_path / "s")
        master.send(b"early")
        await asyncio.sleep(0.05)
        heard = []
        listening = asyncio.create_task(agent.listen(heard.extend))
        for word in (b"one", b"two"):
            master.post(word)
        await asyncio.sleep(0.05)
        assert heard == [b"early"], "what is posted waits for a flush"
        master.flush()
        await master.close("enough")
        with pytest.raises(LinkLost, match="enough"):
            await listening
        assert heard == [b"early", b"one", b"two"]
        server.close()

    asyncio.run(main())


def test_a_listener_that_fails_ends_the_link_with_its_error(tmp_path):
    async def main():
        server, master, agent = await served(tmp_path / "s")

        def hear(messages):
            raise RemoteProtocolError(f"what is {messages}?")

        listening = asyncio.create_task(agent.listen(hear))
        await asyncio.sleep(0)
        master.send(b"strange")
        with pytest.raises(RemoteProtocolError, match="strange"):
            await listening
        await asyncio.wait_for(master.wait_lost(), 5)
        server.close()

    asyncio.run(main())


def test_a_listener_may_go_and_another_come(tmp_path):
    async def main():
        server, master, agent = await served(tmp_path / "s")
        listening = asyncio.create_task(agent.listen(lambda messages: None))
        await asyncio.sleep(0)
        listening.cancel()
        await asyncio.wait([listening])
        master.send(b"later")
        assert await agent.receive() == [b"later"]
        server.close()

    asyncio.run(main())


def test_what_came_before_the_end_is_still_received(tmp_path):
    async def main():
        server, master, agent = await served(tmp_path / "s")
        master.send(b"last words")
        await master.close()
        await asyncio.sleep(0.01)
        assert await agent.receive() == [b"last words"]
        with pytest.raises(LinkLost):
            await agent.receive()
        server.close()

    asyncio.run(main())


def test_a_very_large_message_lets_heartbeats_through(tmp_path):
    limits = Limits(heartbeat_s=0.1, timeout_s=2.0, window=4 * 2**20)

    async def main():
        server, master, agent = await served(tmp_path / "s", limits)
        big = os.urandom(2**20) * 200
        master.send(big)
        master.send(b"after")
        first, second = await collect(agent, 2)
        assert first == big
        assert second == b"after"
        await master.close()
        server.close()

    asyncio.run(main())


def test_drain_waits_for_the_stream_to_take_what_was_sent(tmp_path):
    async def main():
        server, master, agent = await served(tmp_path / "s", Limits(resume_s=0.0))
        for _ in range(40):
            master.send(bytes(2**20))
        assert master.buffered >= 40 * 2**20
        waiting = asyncio.create_task(master.drain())
        assert sum(map(len, await collect(agent, 40))) == 40 * 2**20
        await waiting
        assert master.buffered < 2 * 2**20
        await master.close()
        server.close()

    asyncio.run(main())


def test_nobody_there_is_a_lost_link(tmp_path):
    with pytest.raises(LinkLost, match="No such file"):
        asyncio.run(connect_unix(tmp_path / "none", MASTER, expects="agent"))


@pytest.mark.parametrize(
    ("me", "words"),
    [
        (Identity("master", "c2"), "works for campaign"),
        (Identity("worker", "c1"), "expects a master"),
        (Identity("master", "c1", protocol=(2, 0), version="9.9"), "upgrade stargen at the agent"),
        (Identity("master", "c1", protocol=(0, 9), version="0.0"), "upgrade stargen at the master"),
    ],
)
def test_refusals_are_sentences(tmp_path, me, words):
    async def main():
        server = await serve_unix(tmp_path / "s", AGENT, lambda link: None, expects="master")
        try:
            await connect_unix(tmp_path / "s", me, expects="agent")
        finally:
            server.close()

    with pytest.raises(HandshakeRefused, match=words):
        asyncio.run(main())


def test_a_minor_version_is_no_obstacle(tmp_path):
    async def main():
        server = await serve_unix(tmp_path / "s", AGENT, lambda link: None, expects="master")
        newer = Identity("master", "c1", protocol=(AGENT.protocol[0], AGENT.protocol[1] + 7))
        link = await connect_unix(tmp_path / "s", newer, expects="agent")
        await link.close()
        server.close()

    asyncio.run(main())


def test_a_living_socket_is_not_taken_and_a_dead_one_is(tmp_path):
    path = tmp_path / "s"
    alive = bind_unix(path)
    with pytest.raises(LocalProtocolError, match="another process"):
        bind_unix(path)
    alive.close()
    bind_unix(path).close()


def test_a_cut_stream_is_mended_without_loss():
    async def main():
        limits = Limits(resume_s=5.0, window=1000)
        one, other, hub = await memory_pair(MASTER, AGENT, limits=limits)
        sent = [b"%d" % n for n in range(500)]
        got: list[bytes] = []

        async def listen():
            while len(got) < len(sent):
                got.extend(await other.receive())

        listening = asyncio.create_task(listen())
        for n, message in enumerate(sent):
            one.send(message)
            other.send(message)
            if n % 50 == 0:
                await asyncio.sleep(0)
                hub.cut()
                await asyncio.sleep(0.06)
        async with asyncio.timeout(10):
            await listening
            back = await collect(one, len(sent))
        assert got == sent
        assert back == sent
        await one.close()

    asyncio.run(main())


def test_a_link_that_cannot_be_mended_in_time_is_lost_on_both_sides():
    async def main():
        one, other, hub = await memory_pair(MASTER, AGENT, limits=Limits(resume_s=0.2))
        hub.down = True
        hub.cut()
        for link in (one, other):
            async with asyncio.timeout(5):
                with pytest.raises(LinkLost):
                    await link.receive()

    asyncio.run(main())


def test_a_restarted_other_side_does_not_know_the_session(tmp_path):
    async def main():
        server, master, agent = await served(tmp_path / "s")
        server.close()
        again = await serve_unix(tmp_path / "s", AGENT, lambda link: None, expects="master")
        agent._stream.transport.abort()  # the old process's end
        async with asyncio.timeout(5):
            with pytest.raises(LinkLost, match="does not know this session"):
                await master.receive()
        again.close()

    asyncio.run(main())


def test_silence_is_noticed():
    async def main():
        limits = Limits(heartbeat_s=0.05, timeout_s=0.3, resume_s=0.0)
        hub_links = []
        hub = MemoryHub(AGENT, hub_links.append, expects="master", limits=limits)
        link = await hub.connect(MASTER, expects="agent", limits=limits)
        link.send(b"x")
        await asyncio.sleep(0.6)
        assert link.lost is None  # heartbeats are enough
        hub_links[0]._timer.cancel()  # the other side falls silent
        async with asyncio.timeout(5):
            with pytest.raises(LinkLost, match="silent"):
                await link.receive()

    asyncio.run(main())


def test_a_slow_reader_stops_the_writer_and_not_the_link(tmp_path):
    async def main():
        limits = Limits(heartbeat_s=0.05, timeout_s=0.3, resume_s=0.0)
        server, master, agent = await served(tmp_path / "s", limits)
        for _ in range(50):
            master.send(bytes(2**20))
        await asyncio.sleep(0.7)
        assert master.buffered > 0
        assert len(await collect(agent, 50)) == 50
        assert master.lost is None
        await master.close()
        server.close()

    asyncio.run(main())


def test_noise_before_the_greeting_is_skipped_and_shown_if_none_follows(tmp_path):
    async def noisy(reader, writer):
        writer.write(b"bash: python9: command not found\n")
        await writer.drain()
        writer.close()

    async def main():
        server = await asyncio.start_unix_server(noisy, str(tmp_path / "s"))
        async with server:
            await connect_unix(tmp_path / "s", MASTER, expects="agent")

    with pytest.raises(LinkLost, match="command not found"):
        asyncio.run(main())


def test_a_worker_speaks_over_a_socket_pair_without_a_loop():
    ours, theirs = socket.socketpair()
    log = []

    def worker():
        link = BlockingLink(theirs, Identity("worker", "c1", "w"), expects="agent")
        log.append(link.accept().name)
        assert link.receive(0.0) == []
        link.send(b"ready")
        try:
            while True:
                link.send_all(m.upper() for m in link.receive())
        except LinkLost as end:
            log.append(end.problem)
        link.close()

    async def main():
        thread = threading.Thread(target=worker)
        thread.start()
        link = await connect_socket(ours, AGENT, expects="worker", peer="w")
        assert await link.receive() == [b"ready"]
        big = b"x" * (3 * 2**20)
        for message in (b"a", b"b", big):
            link.send(message)
        assert await collect(link, 3) == [b"A", b"B", big.upper()]
        await link.close("go home")
        thread.join(5)

    asyncio.run(main())
    assert log == ["a", "closed: go home"]


def test_a_dead_worker_is_a_lost_link():
    async def main():
        ours, theirs = socket.socketpair()
        connecting = asyncio.create_task(
            connect_socket(ours, AGENT, expects="worker", peer="worker 1")
        )
        await asyncio.sleep(0.01)
        theirs.close()
        await connecting

    with pytest.raises(LinkLost, match="worker 1"):
        asyncio.run(main())
