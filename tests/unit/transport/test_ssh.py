"""A host reached by SSH: a server in this process, which lets everybody in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh
import pytest

from stargen.config import Ssh
from stargen.errors import LinkLost
from stargen.transport.greeting import Identity
from stargen.transport.link import Link, Stream
from stargen.transport.session import USUAL, Session
from stargen.transport.ssh import SshHost


class Open(asyncssh.SSHServer):
    def begin_auth(self, username: str) -> bool:
        return False


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[SshHost]:
    """Every command on it ends at once."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    server = await asyncssh.listen(
        "127.0.0.1", 0, server_factory=Open, server_host_keys=[key],
        process_factory=lambda process: process.exit(3), encoding=None,
    )  # fmt: skip
    port = server.get_port()
    public = key.export_public_key().decode().strip()
    (tmp_path / "known").write_text(f"[127.0.0.1]:{port} {public}\n")
    (tmp_path / "config").write_text(
        f"Host there\n HostName 127.0.0.1\n Port {port}\n UserKnownHostsFile {tmp_path}/known\n"
    )
    options = Ssh(config=str(tmp_path / "config"))
    made = SshHost("there", options, keepalive_s=5, gate=asyncio.Semaphore(1))
    yield made
    await made.close()
    server.close()


def new_link() -> Link:
    me = Identity("master", "c")
    return Link(Session(me, expects="agent", session_id=bytes(16), peer="there", limits=USUAL))


async def test_how_a_command_ended(host: SshHost):
    assert (await host.run("anything", 10)).status == 3


async def test_a_stream_that_ends_before_the_first_word_is_a_lost_link(host: SshHost):
    link = new_link()
    stream = Stream(link)
    await host.pipe(stream, "anything")
    await asyncio.sleep(0.2)  # by now it has ended
    link.greet(stream)
    with pytest.raises(LinkLost):
        await link.wait_open(10)
