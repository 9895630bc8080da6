"""Agents on other hosts, started and reached by SSH; they outlive the connection and the master."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stargen.config import Pool, Ssh
from stargen.errors import AgentGone, LinkLost, NodeError
from stargen.launchers.agentprocess import interpreter
from stargen.launchers.base import NodeSpec
from stargen.launchers.bootstrap import Bootstrap, behind_setup, packages_of
from stargen.launchers.onnode import answer_in, settings_to_json, spec_to_json, trials_to_json
from stargen.launchers.report import NodeReport
from stargen.launchers.trying import LONGEST_S, Trial
from stargen.transport.door import HANDSHAKE_S
from stargen.transport.greeting import Identity
from stargen.transport.link import Link, Stream
from stargen.transport.onward import FirstHost, OnwardHost
from stargen.transport.openssh import OpensshHost
from stargen.transport.session import Limits as Patience
from stargen.transport.session import Session
from stargen.transport.ssh import Finished, RemoteHost, SshHost

LOGINS = 8
"""Logins under way at once: beyond ten an sshd with stock settings begins to drop them."""
START_S = 120.0
"""How long a node may take to start an agent: shells can be slow, and so can a cold disk."""
_KEEPALIVE_S = 5.0
_SAID = 600

_NOT_FOUND = (126, 127)


class SshAccess:
    """The agent of a node, through its host's SSH connection."""

    def __init__(self, node: NodeSpec, host: RemoteHost, socket: str) -> None:
        self._node = node
        self._host = host
        self._socket = socket
        self._gone = False
        self._first = True

    async def connect(self, me: Identity, limits: Patience) -> Link:
        session = Session(
            me, expects="agent", session_id=os.urandom(16), peer=self._node.name, limits=limits
        )
        link = Link(session, self._reconnect)
        await self._open(link)
        await link.wait_open(HANDSHAKE_S + self._node.settings.ssh.connect_s)
        return link

    def is_gone(self) -> bool:
        return self._gone

    async def _open(self, link: Link) -> None:
        stream = Stream(link)
        bridge = _remote(self._node.settings, "bridge", self._socket)
        try:
            await self._host.carry(stream, self._socket, bridge)
        except AgentGone:
            self._gone = True
            raise
        link.greet(stream)

    async def _reconnect(self, link: Link) -> None:
        """After a cut: over a new connection; a host out of reach may be back a moment later."""
        await self._host.renew()
        try:
            await self._open(link)
        except AgentGone as error:
            raise LinkLost(error.problem, node=self._node.name) from error
        except NodeError:
            return


class SshLauncher:
    """Launcher of pools whose nodes are reached by SSH."""

    def __init__(self) -> None:
        self._hosts: dict[str, RemoteHost] = {}
        self._first: dict[str, FirstHost] = {}
        self._first_of: dict[str, str] | None = None
        self._gate = asyncio.Semaphore(LOGINS)
        self._bootstrap = Bootstrap()

    async def start(self, node: NodeSpec) -> SshAccess:
        host = self._host(node.host, node.settings)
        node = replace(node, settings=await self._ready(node.host, node.settings))
        told = spec_to_json(_there(node))
        try:
            answer = await self._ask(node.name, host, node.settings, START_S, "start", told)
        except NodeError:
            self._bootstrap.forget(node.host)
            raise
        return SshAccess(node, host, answer["socket"])

    async def stop(self, node: NodeSpec, agent_id: str, grace_s: float) -> list[int]:
        host = self._host(node.host, node.settings)
        words = ("stop", spec_to_json(_there(node)), agent_id, str(grace_s))
        try:
            settings = await self._ready(node.host, node.settings)
            answer = await self._ask(node.name, host, settings, START_S + grace_s, *words)
        finally:
            await self._leave(node.host, host)
        return answer["left"]

    async def report(
        self, host: str, settings: Pool, token: Path, trials: Sequence[Trial] = ()
    ) -> NodeReport:
        reached = self._host(host, settings)
        words = ("report", settings_to_json(settings), str(token), trials_to_json(trials))
        try:
            settings = await self._ready(host, settings)
            patience_s = START_S + LONGEST_S * len(trials)
            answer = await self._ask(host, reached, settings, patience_s, *words)
        finally:
            await self._leave(host, reached)
        return NodeReport(**answer)

    async def _ready(self, host: str, settings: Pool) -> Pool:
        """The settings, with an interpreter that has Star-gen on that host."""
        place = packages_of(settings)
        return await self._bootstrap.ready(host, self._host(host, settings), settings, place)

    async def _ask(
        self,
        name: str,
        host: RemoteHost,
        settings: Pool,
        timeout_s: float,
        *words: str,
    ) -> dict[str, Any]:
        """What `stargen.launchers.onnode` answers on the host."""
        done = await host.run(_remote(settings, *words), timeout_s)
        answer = answer_in(done.stdout)
        if done.status or answer is None:
            raise NodeError(_why(done, settings), node=name)
        return answer

    def describe(self, node: NodeSpec) -> str:
        folder = _there(node).run_folder
        return f"{node.name}: by SSH; its messages go to {folder}/agent-{node.name}.log there"

    def _host(self, name: str, settings: Pool) -> RemoteHost:
        """The host, from here on in use."""
        if self._first_of is None:
            self._first_of = first_of_groups(settings.names, settings.ssh.group)
        leader = self._first_of.get(name, name)
        first = self._first.get(leader)
        if first is None:
            first = FirstHost(host_of(leader, settings.ssh, self._gate))
            self._first[leader] = first
        first.use(name)
        host = self._hosts.get(name)
        if host is None:
            host = first.host if name == leader else self._onward(name, settings.ssh, first)
            self._hosts[name] = host
        return host

    def _onward(self, name: str, options: Ssh, first: FirstHost) -> OnwardHost:
        return OnwardHost(
            name,
            options,
            first,
            lambda: host_of(name, options, self._gate),
            keepalive_s=_KEEPALIVE_S,
        )

    async def _leave(self, name: str, host: RemoteHost) -> None:
        """Hang up, unless others are reached through it."""
        if name in self._first:
            await self._first[name].leave(name)
        else:
            await host.close()


def first_of_groups(names: Sequence[str], group: int) -> dict[str, str]:
    """{host: the one that it is reached through}, which is itself for the first of each group."""
    return {name: names[at - at % group] for at, name in enumerate(names)}


def host_of(name: str, options: Ssh, gate: asyncio.Semaphore | None = None) -> RemoteHost:
    """A host by its name, reached as the options say; `gate` bounds the logins under way."""
    if options.client == "openssh":
        return OpensshHost(name, options, keepalive_s=_KEEPALIVE_S)
    gate = gate or asyncio.Semaphore(LOGINS)
    return SshHost(name, options, keepalive_s=_KEEPALIVE_S, gate=gate)


def _there(node: NodeSpec) -> NodeSpec:
    """The node as its own host sees it: with its own folder, if it does not share the master's."""
    if node.settings.folder is None:
        return node
    folder = Path(node.settings.folder) / f"{node.campaign_folder.name}-{node.campaign_id}"
    return replace(node, campaign_folder=folder, run_folder=folder / "run")


def _remote(settings: Pool, *words: str) -> str:
    """A command line that any login shell understands."""
    command = [interpreter(settings), "-m", "stargen.launchers.onnode", *words]
    return behind_setup(settings, command)


def _why(done: Finished, settings: Pool) -> str:
    """Why the node did not do as told, in words for the user."""
    python = interpreter(settings)
    said = done.stderr.strip()[-_SAID:] or done.stdout.strip()[-_SAID:] or "it said nothing"
    if done.status in _NOT_FOUND:
        return (
            f"there is no {python} on it ({said}); set `interpreter` of its pool to the"
            " Python there that has Star-gen"
        )
    if "No module named stargen" in done.stderr or "No module named 'stargen" in done.stderr:
        return (
            f"{python} there has no Star-gen; install it there, or set `interpreter` of its pool to"
            " a Python that has it"
        )
    return f"no agent could be started (exit status {done.status}): {said}"
