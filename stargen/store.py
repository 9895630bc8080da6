"""Where things lie: a campaign's folder, and the local folder for its sockets."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from stargen.errors import ConfigError
from stargen.files import Filesystem, filesystem_of, make_folder, write_atomically

SOCKET_PATH_BYTES = 100
"""Longest path of a socket; the system's limit is 104 to 108, by platform."""

WHERE = "where.json"
"""In the folder `meeting`: addresses of the master that runs now."""

SOCKET_NAME_BYTES = 24
"""Room that is kept for a socket's own name."""


@dataclass(frozen=True, slots=True)
class CampaignFolder:
    """Everything that one campaign leaves on disk.

    ::

        <root>/campaign.toml     the campaign as it is run
               journal/          what happened; see docs/reference/journal.md
               checkpoints/      restart states of calculators
               scratch/          folders of running tasks, where a node has no disk of its own
               run/              notes of running agents and masters
    """

    root: Path

    @property
    def campaign_file(self) -> Path:
        return self.root / "campaign.toml"

    @property
    def journal(self) -> Path:
        return self.root / "journal"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def scratch(self) -> Path:
        return self.root / "scratch"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def meeting(self) -> Path:
        """Where a master on another machine is found, and the keys to it."""
        return self.run / "meet"

    def prepare(self) -> None:
        """Make what is missing."""
        for folder in (self.journal, self.checkpoints, self.scratch, self.run):
            make_folder(folder)

    def keep_campaign_file(self, text: str) -> None:
        """Put the text of the campaign file beside what comes of it."""
        if not self.campaign_file.is_file() or self.campaign_file.read_text("utf-8") != text:
            write_atomically(self.campaign_file, text.encode())

    def keep_origin(self, folder: Path) -> None:
        """Remember where the campaign file lies: relative paths in it begin there."""
        write_atomically(self.run / "origin", os.fsencode(folder.resolve()))

    @property
    def origin(self) -> Path | None:
        """Where the campaign file lies; None if nobody has said."""
        try:
            return Path(os.fsdecode((self.run / "origin").read_bytes()))
        except FileNotFoundError:
            return None

    def filesystem(self) -> Filesystem:
        """What the folder lies on; if it is a network, no lock or shared memory is relied on."""
        return filesystem_of(self.root)

    def socket(self, name: str) -> Path:
        """Path for the socket `name` of this campaign on this host, short enough for the system.

        Raises
        ------
        ConfigError : if there is no private local folder to put it in
        """
        if len(name.encode()) > SOCKET_NAME_BYTES:
            raise ValueError(f"the name of a socket has at most {SOCKET_NAME_BYTES} bytes: {name}")
        return runtime_folder(self.root) / name


def runtime_folder(
    campaign: Path, environ: Mapping[str, str] = os.environ, temporary: Path = Path("/tmp")
) -> Path:
    """The local folder for a campaign's sockets, for this user alone; made if it is missing.

    It lies under `temporary`, and under XDG_RUNTIME_DIR only where that cannot be: that variable is
    not set in every login of a user, and its folder goes with her last login, while masters and
    agents stay.

    Raises
    ------
    ConfigError : if neither can be used
    """
    name = blake2b(os.fsencode(os.path.realpath(campaign)), digest_size=8).hexdigest()
    bases = [temporary / f"stargen-{os.getuid()}"]
    if environ.get("XDG_RUNTIME_DIR"):
        bases.append(Path(environ["XDG_RUNTIME_DIR"], "stargen"))
    refused: list[str] = []
    for base in bases:
        folder = base / name
        problem = _too_long(folder) or _make_private(base) or _make_private(folder)
        if problem is None:
            return folder
        refused.append(problem)
    raise ConfigError(
        f"no folder for sockets: {'; '.join(refused)}",
        hint="let XDG_RUNTIME_DIR name a short local folder that is yours alone",
    )


def _too_long(folder: Path) -> str | None:
    room = SOCKET_PATH_BYTES - 1 - SOCKET_NAME_BYTES
    return f"{folder} is too long a path" if len(os.fsencode(folder)) > room else None


def _make_private(folder: Path) -> str | None:
    """Make the folder with mode 0700; what is wrong with it if it is there and not ours alone."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode):
            return f"{folder} is no folder"
        if found.st_uid != os.getuid():
            return f"{folder} belongs to another user"
        if stat.S_IMODE(found.st_mode) != 0o700:
            folder.chmod(0o700)
    except OSError as error:
        return f"{folder}: {error.strerror}"
    return None
