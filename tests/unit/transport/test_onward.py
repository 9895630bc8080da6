"""The way to a host through the first of its group, with hosts that are not there."""

from __future__ import annotations

from typing import cast

from stargen.config import Ssh
from stargen.errors import NodeError
from stargen.launchers.ssh import first_of_groups
from stargen.transport.link import Stream
from stargen.transport.onward import FirstHost, OnwardHost
from stargen.transport.ssh import Finished

STREAM = cast("Stream", None)


class FakeHost:
    """Notes what it is asked; answers by `status`, or with `problem`."""

    def __init__(self, status: int = 0, problem: str = "") -> None:
        self.status = status
        self.problem = problem
        self.asked: list[str] = []

    async def run(self, command: str, timeout_s: float, told: bytes = b"") -> Finished:
        return Finished(self._answer(command), "", "ssh: no route")

    async def carry(self, stream: Stream, socket: str, bridge: str) -> None:
        self._answer(socket)

    async def pipe(self, stream: Stream, command: str) -> None:
        self._answer(command)

    async def renew(self) -> None:
        self.asked.append("renew")

    async def close(self) -> None:
        self.asked.append("close")

    def _answer(self, asked: str) -> int:
        self.asked.append(asked)
        if self.problem:
            raise NodeError(self.problem, node="fake")
        return self.status


def behind(first: FirstHost, direct: FakeHost, name: str = "cn2") -> OnwardHost:
    first.use(name)
    options = Ssh(onward="ssh -F '/etc/their config'", connect_s=7)
    return OnwardHost(name, options, first, lambda: direct, keepalive_s=5)


async def test_commands_and_streams_go_on_from_the_first_host():
    way, direct = FakeHost(), FakeHost()
    host = behind(FirstHost(way), direct)
    assert (await host.run("exec echo 'a b'", 1.0)).status == 0
    await host.carry(STREAM, "/socket", "exec bridge /socket")
    assert direct.asked == []
    command, bridge = way.asked
    assert command.startswith("exec ssh -F '/etc/their config' -T -o BatchMode=yes")
    assert "ConnectTimeout=7 " in command
    assert command.endswith(""" -- cn2 'exec echo '"'"'a b'"'"''""")
    assert bridge.endswith(" -- cn2 'exec bridge /socket'")


async def test_a_command_that_fails_on_the_host_itself_is_not_run_twice():
    way, direct = FakeHost(status=1), FakeHost()
    assert (await behind(FirstHost(way), direct).run("x", 1.0)).status == 1
    assert direct.asked == []


async def test_whom_the_first_host_does_not_reach_is_logged_in_to(caplog):
    way, direct, other = FakeHost(status=255), FakeHost(), FakeHost()
    first = FirstHost(way)
    host = behind(first, direct)
    assert (await host.run("start", 1.0)).status == 0
    await host.carry(STREAM, "/socket", "bridge")
    assert direct.asked == ["start", "/socket"]
    assert "cn2" in caplog.text
    assert "ssh: no route" in caplog.text
    way.status = 0
    await behind(first, other, "cn3").run("start", 1.0)
    assert other.asked == [], "the others are still reached through it"


async def test_a_first_host_that_fails_is_not_asked_again(caplog):
    way = FakeHost(problem="it cannot be reached")
    first = FirstHost(way)
    directs = [FakeHost() for _ in range(3)]
    for at, direct in enumerate(directs):
        await behind(first, direct, f"cn{at}").run("start", 1.0)
    assert [direct.asked for direct in directs] == [["start"]] * 3
    assert len(way.asked) == 1
    assert caplog.text.count("it cannot be reached") == 3


async def test_after_a_lost_link_the_host_is_logged_in_to():
    way, direct = FakeHost(), FakeHost()
    host = behind(FirstHost(way), direct)
    await host.renew()
    await host.carry(STREAM, "/socket", "bridge")
    await host.renew()
    assert direct.asked == ["/socket", "renew"]
    assert way.asked == []


async def test_the_connection_is_closed_when_the_last_of_a_group_leaves():
    way, direct = FakeHost(), FakeHost()
    first = FirstHost(way)
    first.use("cn1")
    host = behind(first, direct)
    await first.leave("cn1")
    assert way.asked == []
    await host.close()
    assert way.asked == ["close"]


def test_groups_are_cut_in_the_order_of_the_site_file():
    names = ["cn1", "cn2", "cn3", "gpu1", "gpu2"]
    assert first_of_groups(names, 2) == {
        "cn1": "cn1", "cn2": "cn1", "cn3": "cn3", "gpu1": "cn3", "gpu2": "gpu2",
    }  # fmt: skip
    assert all(first_of_groups(names, 1)[name] == name for name in names)
