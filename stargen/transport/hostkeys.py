"""Host keys: who answers under a host's name, and the file of those that are known."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from stargen.config import Ssh
from stargen.errors import UserError

_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class HostKey:
    """The key that a host shows.

    Parameters
    ----------
    line : as it stands in a file of known hosts
    known : whether it stands there already
    file : that file
    """

    host: str
    algorithm: str
    fingerprint: str
    line: str
    known: bool
    file: Path


def host_key(host: str, options: Ssh) -> HostKey:
    """Ask a host for its key, by name, port and file as ssh_config has them.

    Raises
    ------
    UserError : the host shows none, or another one than the known one
    """
    said = _ssh_config(host, options)
    name, port = said["hostname"], int(said["port"])
    file = Path(said["userknownhostsfile"].split()[0]).expanduser()
    shown = _run("ssh-keyscan", "-T", "10", "-t", "ed25519,ecdsa,rsa", "-p", str(port), name)
    lines = [line for line in shown.splitlines() if line and not line.startswith("#")]
    if not lines:
        raise UserError(f"{host} ({name}, port {port}) shows no host key", hint="is it reachable?")
    line = min(lines, key=lambda text: ("ed25519" not in text, "ecdsa" not in text))
    marked, algorithm, key = line.split()[:3]
    old = _run("ssh-keygen", "-F", marked, "-f", str(file)) if file.is_file() else ""
    known = any(key in text.split() for text in old.splitlines())
    if not known and any(algorithm in text.split() for text in old.splitlines()):
        raise UserError(
            f"{host} shows another {algorithm} key than the one in {file}",
            hint="it may have been installed anew, or somebody sits between; if you are sure, "
            f"remove the old one: ssh-keygen -R {marked} -f {file}",
        )
    fingerprint = _run("ssh-keygen", "-lf", "-", told=line).split()[1]
    return HostKey(host, algorithm, fingerprint, line, known, file)


def remember(key: HostKey) -> None:
    """Store a key among the known ones."""
    key.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(key.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with open(fd, "a") as file:  # noqa: PTH123 - a descriptor, for its mode
        file.write(key.line + "\n")


def _ssh_config(host: str, options: Ssh) -> dict[str, str]:
    words = ["ssh", "-G"]
    words += ["-F", options.config] if options.config else []
    words += ["-p", str(options.port)] if options.port else []
    pairs = (line.split(maxsplit=1) for line in _run(*words, host).splitlines())
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def _run(*words: str, told: str | None = None) -> str:
    if shutil.which(words[0]) is None:
        raise UserError(f"there is no {words[0]} here", hint="install the OpenSSH client")
    try:
        done = subprocess.run(
            words, input=told, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(f"{words[0]} does not end") from error
    return done.stdout
