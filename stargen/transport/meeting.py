"""Where agents in allocations find their master: a folder that both see, with keys and addresses.

    <campaign>/run/meet/    mode 0700
        master              the key that the master proves itself by, mode 0600
        agent               the key that agents prove themselves by, mode 0600
        where.json          addresses and port of the master that runs now, and its public key

The keys are made once for each campaign. A master that starts writes anew where it is, and agents
read that again before each attempt: it may have moved.
"""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import asyncssh
import psutil

from stargen.errors import NodeError
from stargen.files import write_atomically
from stargen.store import WHERE, CampaignFolder

_ALGORITHM = "ssh-ed25519"


@dataclass(frozen=True, slots=True)
class Where:
    """Where a master listens.

    Parameters
    ----------
    host, pid : who it is, for people
    addresses : names and numbers that it may be reached by, the likeliest first
    key : its public key, in one line
    """

    host: str
    pid: int
    addresses: tuple[str, ...]
    port: int
    key: str


@dataclass(frozen=True, slots=True)
class MeetingPlace:
    """The folder of the two keys and the note."""

    folder: Path

    @classmethod
    def of(cls, campaign: Path) -> MeetingPlace:
        """That of the campaign in the folder `campaign`."""
        return cls(CampaignFolder(campaign).meeting)

    @property
    def agent_key(self) -> Path:
        return self.folder / "agent"

    @property
    def master_key(self) -> Path:
        return self.folder / "master"

    @property
    def note(self) -> Path:
        return self.folder / WHERE

    def prepare(self) -> None:
        """Make the folder and the keys, if they are not there."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        for path in (self.master_key, self.agent_key):
            if not path.is_file():
                write_atomically(
                    path, asyncssh.generate_private_key(_ALGORITHM).export_private_key()
                )
            path.chmod(0o600)

    def tell(self, port: int) -> Where:
        """Write down that the master is this process, listening on `port` of all addresses."""
        public = asyncssh.read_private_key(self.master_key).export_public_key().decode().strip()
        where = Where(socket.gethostname(), os.getpid(), own_addresses(), port, public)
        write_atomically(self.note, json.dumps(asdict(where)).encode())
        return where

    def where(self) -> Where:
        """Where the newest master said that it is.

        Raises
        ------
        NodeError : nobody has said, or it cannot be read
        """
        try:
            told = json.loads(self.note.read_text())
            return Where(**told | {"addresses": tuple(told["addresses"])})
        except (OSError, ValueError, TypeError, KeyError) as error:
            problem = f"{self.note} does not say where it is: {error}"
            raise NodeError(problem, node="the master") from error

    def forget(self) -> None:
        """The master of this process listens no more."""
        with suppress(NodeError, OSError):
            where = self.where()
            if (where.host, where.pid) == (socket.gethostname(), os.getpid()):
                self.note.unlink()


def own_addresses() -> tuple[str, ...]:
    """By which names and numbers others may reach this machine; itself last."""
    up = {name for name, stats in psutil.net_if_stats().items() if stats.isup}
    found = [
        address.address.partition("%")[0]
        for name, addresses in psutil.net_if_addrs().items()
        for address in addresses
        if name in up and address.family in (socket.AF_INET, socket.AF_INET6)
    ]
    outer = [a for a in found if not a.startswith(("127.", "fe80:")) and a != "::1"]
    return (*dict.fromkeys([socket.gethostname(), *outer]), "127.0.0.1")
