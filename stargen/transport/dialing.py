"""The agents' side of `stargen.transport.dialback`: reach the master, and be there for it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from pathlib import Path

import asyncssh

from stargen.errors import NodeError
from stargen.transport.dialback import USER
from stargen.transport.meeting import MeetingPlace, Where
from stargen.transport.ssh import CIPHERS, KEEPALIVE_MISSED, words_of

log = logging.getLogger(__name__)

_KEEPALIVE_S = 5.0
_CONNECT_S = 10.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 15.0

Connection = asyncssh.SSHClientConnection


async def reach(place: MeetingPlace) -> Connection:
    """A connection to the master, over whichever of its addresses answers, and as it.

    Raises
    ------
    NodeError : none does
    """
    where = place.where()
    problems: list[str] = []
    for address in where.addresses:
        try:
            async with asyncio.timeout(_CONNECT_S):
                return await _connect(place, where, address)
        except TimeoutError:
            problems.append(f"{address}: no answer in {_CONNECT_S:g} s")
        except (OSError, asyncssh.Error) as error:
            problems.append(f"{address}: {words_of(error)}")
    problem = f"it is not reached at port {where.port}: {'; '.join(problems)}"
    raise NodeError(problem, node=f"the master on {where.host}")


async def _connect(place: MeetingPlace, where: Where, address: str) -> Connection:
    return await asyncssh.connect(
        address,
        where.port,
        username=USER,
        client_keys=[str(place.agent_key)],
        known_hosts=([asyncssh.import_public_key(where.key)], [], []),
        preferred_auth="publickey",
        agent_path=None,
        config=None,
        gss_host=None,
        encryption_algs=CIPHERS,
        compression_algs=None,
        keepalive_interval=_KEEPALIVE_S,
        keepalive_count_max=KEEPALIVE_MISSED,
    )


async def be_there(
    place: MeetingPlace, name: str, agent: Path, *, say: Callable[[str], None] = log.info
) -> None:
    """Let the master reach the socket `agent` under `name`, again and again, until cancelled.

    Masters come and go, and may be elsewhere the next time; whoever writes that down is found.
    """
    pause_s, said = _FIRST_PAUSE_S, ""
    while True:
        try:
            connection = await reach(place)
            async with connection:
                await connection.forward_remote_path(name, str(agent))
                say(f"reported to the master at {_peer(connection)}")
                pause_s, said = _FIRST_PAUSE_S, ""
                await connection.wait_closed()
                say("the connection to the master is over")
        except (NodeError, OSError, asyncssh.Error) as error:
            problem = error.problem if isinstance(error, NodeError) else words_of(error)
            if problem != said:
                say(problem)
                said = problem
        await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _peer(connection: Connection) -> str:
    host, port, *_ = connection.get_extra_info("peername")
    return f"{host} port {port}"
