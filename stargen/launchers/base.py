"""What a launcher is: how agents come to run on nodes, and how the master reaches them.

A launcher is a class under the entry point group ``stargen.launchers``, named by a pool's
`launcher` key and made once for each pool. It starts agents, finds those that still live from an
earlier master, and ends them with proof. Whatever fails between it and a node is a `NodeError`; the
master tries again with growing pauses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # a node that starts an agent reads this too, and needs none of it
    from stargen.config import Pool
    from stargen.launchers.report import NodeReport
    from stargen.launchers.trying import Trial
    from stargen.transport.greeting import Identity
    from stargen.transport.link import Link
    from stargen.transport.session import Limits

RANK = "STARGEN_RANK"
"""Environment variable: which of an allocation's nodes a process is on."""
_SOCKET_NAME_CHARS = 16


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A node that the campaign may use.

    Parameters
    ----------
    name : unique in the campaign
    pool : name of its pool, whose settings are `settings`
    host : machine it is on, as the site file names it; empty for this one
    allocation : the batch system's, that it belongs to; empty if it belongs to none
    campaign_id, campaign_folder : what the agent works for
    run_folder : where the agent's log and pid note lie
    socket : short path of the UNIX socket that the agent listens on, on its own machine
    lease_s : seconds that the agent works on without a master
    """

    name: str
    pool: str
    settings: Pool
    campaign_id: str
    campaign_folder: Path
    run_folder: Path
    socket: Path
    lease_s: float
    host: str = ""
    allocation: str = ""


class Access(Protocol):
    """A running agent, as far as the launcher knows, and the way to it."""

    async def connect(self, me: Identity, limits: Limits) -> Link:
        """An open link to the agent.

        Raises
        ------
        NodeError : it cannot be reached; AgentGone if it is known to be dead
        """
        ...

    def is_gone(self) -> bool:
        """True if the agent's process is known to have ended; False also when nobody knows."""
        ...


class Launcher(Protocol):
    """Starts, finds and ends the agents of one pool."""

    async def start(self, node: NodeSpec) -> Access:
        """Make sure that an agent runs on the node: the one that lives already, or a new one.

        Raises
        ------
        NodeError : none could be started
        """
        ...

    async def stop(self, node: NodeSpec, agent_id: str, grace_s: float) -> list[int]:
        """End the node's agent and all that it started; returns the pids of who is left: nobody.

        The agent has been asked to shut down over its link; it gets `grace_s` more seconds.
        """
        ...

    async def report(
        self, host: str, settings: Pool, token: Path, trials: Sequence[Trial] = ()
    ) -> NodeReport:
        """What a host of the pool is like; `token` is a file that it sees if it shares our disk.

        What `trials` say is tried there.

        Raises
        ------
        NodeError : it cannot be reached, or cannot say
        """
        ...

    def describe(self, node: NodeSpec) -> str:
        """Where the agent is and where its messages go, for people."""
        ...


def socket_name(node: str) -> str:
    """What the node's socket is called: short enough for the system."""
    if len(node.encode()) > _SOCKET_NAME_CHARS:
        node = blake2b(node.encode(), digest_size=_SOCKET_NAME_CHARS // 2).hexdigest()
    return f"agent-{node}"


LauncherFactory = Callable[[], Launcher]
