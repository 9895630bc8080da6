"""Who an agent is: remembered in its folder, so that a successor there goes on as the same one."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

from stargen.errors import UserError
from stargen.files import write_atomically

_FILE = "agent.json"
_LOCK = "lock"
_ID_BYTES = 8


@dataclass(slots=True)
class AgentIdentity:
    """What is remembered of an agent.

    Parameters
    ----------
    agent_id : names all agents that ran in this folder, one after another
    incarnation : counts them
    campaign_id : what they work for; empty until the first master says
    epoch : of the newest master that they have seen; older ones are refused
    master : what that master calls itself
    """

    agent_id: str
    incarnation: int = 0
    campaign_id: str = ""
    epoch: int = 0
    master: str = ""

    @property
    def mark(self) -> str:
        """What the environment of everything that it starts bears."""
        return f"{self.agent_id}.{self.incarnation}"

    @property
    def family(self) -> str:
        """What the marks of all incarnations begin with."""
        return f"{self.agent_id}."

    def save(self, folder: Path) -> None:
        write_atomically(folder / _FILE, json.dumps(asdict(self)).encode())


def assume_identity(folder: Path, campaign_id: str) -> AgentIdentity:
    """The next incarnation of the agent that lives in `folder`, or a first one."""
    identity = _remembered(folder) or AgentIdentity(secrets.token_hex(_ID_BYTES))
    if campaign_id and identity.campaign_id not in ("", campaign_id):
        raise UserError(f"{folder} belongs to an agent of campaign {identity.campaign_id}")
    identity.campaign_id = identity.campaign_id or campaign_id
    identity.incarnation += 1
    identity.save(folder)
    return identity


def _remembered(folder: Path) -> AgentIdentity | None:
    """What was kept in `folder`; None if nothing was, or it is damaged."""
    try:
        found = AgentIdentity(**json.loads((folder / _FILE).read_text()))
        bytes.fromhex(found.agent_id)  # folders are named by it, and removed
    except (FileNotFoundError, ValueError, TypeError):
        return None
    example = AgentIdentity(secrets.token_hex(_ID_BYTES))
    pairs = zip(astuple(found), astuple(example), strict=True)
    return found if all(type(one) is type(other) for one, other in pairs) else None


@contextmanager
def lock_folder(folder: Path) -> Generator[None]:
    """Hold `folder` against a second agent.

    Raises
    ------
    UserError : another agent lives there
    """
    fd = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(fd, 32, 0).decode(errors="replace").strip()
        os.close(fd)
        raise UserError(f"another agent (process {holder}) works in {folder}") from None
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(fd)
