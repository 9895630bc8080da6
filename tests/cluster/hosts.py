"""Throw-away hosts on one machine, for tests.

Each host is a network, PID, UTS and mount namespace with its own address, its own sshd as process 1
and a scratch disk of its own. The master runs in a further namespace, the hub, which has no default
route: nothing leaves the machine. Killing a host's process 1 kills everything on it, as a power
loss does.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
_TOOLS = ("ip", "unshare", "nsenter", "ssh-keygen", "sshd")
_PATIENCE_S = 10.0

SSHD = """\
Port 22
ListenAddress {address}
HostKey {folder}/host_key
AuthorizedKeysFile {keys}
PidFile none
StrictModes no
UsePAM no
UseDNS no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxSessions 100
PrintMotd no
PrintLastLog no
{more}
"""

BOOT = """\
hostname "$2"
mount -t tmpfs -o size=256m none "$1/scratch"
sed 's|^root:[^:]*:|root:*:|' /etc/shadow >"$1/shadow"; chmod 600 "$1/shadow"
mount --bind "$1/shadow" /etc/shadow
touch "$1/bashrc" ~/.bashrc; mount --bind "$1/bashrc" ~/.bashrc
exec "$3" -D -e -f "$1/sshd_config"
"""


def why_not() -> str | None:
    """Why there can be no such hosts here; None if there can."""
    if os.getuid() != 0:
        return "namespaces need root"
    missing = [tool for tool in _TOOLS if shutil.which(tool, path=PATH) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (Debian: openssh-server, iproute2)"
    made = subprocess.run(
        ["unshare", "--net", "--pid", "--fork", "--mount", "true"], capture_output=True
    )
    return None if made.returncode == 0 else f"no namespaces here: {made.stderr.decode().strip()}"


def run(*words: str | Path, check: bool = True) -> str:
    done = subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "PATH": PATH},
    )
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr}")
    return done.stdout


@dataclass
class Host:
    """One of them."""

    name: str
    address: str
    namespace: str
    folder: Path
    pid: int = 0
    sshd: str = ""
    _wrapper: subprocess.Popen[bytes] | None = None

    def bashrc(self, text: str) -> None:
        """What its shells read when they start."""
        (self.folder / "bashrc").write_text(text)

    def processes(self) -> dict[int, str]:
        """What runs on it besides its sshd: {pid as seen from outside: command line}."""
        if not self.pid:
            return {}
        mine = str(Path(f"/proc/{self.pid}/ns/pid").readlink())
        found: dict[int, str] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError):
                    if str((entry / "ns" / "pid").readlink()) == mine:
                        line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                        if line and "sshd" not in line:
                            found[int(entry.name)] = line.strip()
        return found


@dataclass
class Hosts:
    """Several hosts and the hub from which they are reached."""

    folder: Path
    count: int
    prefix: str = field(default_factory=lambda: f"sg{os.getpid() % 10000}")
    hosts: list[Host] = field(default_factory=list)

    @property
    def hub(self) -> str:
        return f"{self.prefix}hub"

    def up(self) -> None:
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / "id")
        shutil.copy(self.folder / "id.pub", self.folder / "authorized_keys")
        run("ip", "netns", "add", self.hub)
        self.in_hub("ip", "link", "set", "lo", "up")
        self.in_hub("ip", "link", "add", "br0", "type", "bridge", "forward_delay", "0")
        self.in_hub("ip", "addr", "add", "10.77.0.1/24", "dev", "br0")
        self.in_hub("ip", "link", "set", "br0", "up")
        for number in range(1, self.count + 1):
            self._wire(number)
        for host in self.hosts:
            self.start(host)
        self._tell_ssh()

    def _wire(self, number: int) -> None:
        name = f"cn{number}"
        folder = self.folder / name
        (folder / "scratch").mkdir(parents=True)
        (folder / "bashrc").touch()
        host = Host(name, f"10.77.0.{10 + number}", f"{self.prefix}{name}", folder)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "host_key")
        run("ip", "netns", "add", host.namespace)
        inside = ("ip", "-n", host.namespace)
        run("ip", "-n", self.hub, "link", "add", f"v{number}", "type", "veth",
            "peer", "name", "eth0", "netns", host.namespace)  # fmt: skip
        run("ip", "-n", self.hub, "link", "set", f"v{number}", "master", "br0", "up")
        run(*inside, "link", "set", "lo", "up")
        run(*inside, "addr", "add", f"{host.address}/24", "dev", "eth0")
        run(*inside, "link", "set", "eth0", "up")
        self.hosts.append(host)

    def _tell_ssh(self) -> None:
        known, config = [], []
        for host in self.hosts:
            kind, key, *_ = (host.folder / "host_key.pub").read_text().split()
            known.append(f"{host.address} {kind} {key}")
            config += [
                f"Host {host.name}",
                f"  HostName {host.address}",
                "  User root",
                f"  IdentityFile {self.folder}/id",
                "  IdentitiesOnly yes",
                f"  UserKnownHostsFile {self.folder}/known_hosts",
            ]
        (self.folder / "known_hosts").write_text("\n".join(known) + "\n")
        (self.folder / "ssh_config").write_text("\n".join(config) + "\n")

    # --- what befalls a host ------------------------------------------------------------------

    def start(self, host: Host, more: str = "") -> None:
        """Boot it; `more` lines for its sshd_config."""
        text = SSHD.format(
            address=host.address,
            folder=host.folder,
            keys=self.folder / "authorized_keys",
            more=more,
        )
        (host.folder / "sshd_config").write_text(text)
        Path("/run/sshd").mkdir(exist_ok=True)
        with (host.folder / "boot.log").open("wb") as log:
            host._wrapper = subprocess.Popen(
                ["ip", "netns", "exec", host.namespace, "unshare", "--uts", "--pid", "--fork",
                 "--kill-child", "--mount-proc", "bash", "-c", BOOT, "boot",
                 str(host.folder), host.name, shutil.which("sshd", path=PATH) or "sshd"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, "PATH": PATH},
            )  # fmt: skip
        run("ip", "-n", self.hub, "link", "set", self._veth(host), "up")
        deadline = time.monotonic() + _PATIENCE_S
        while not self._answers(host):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{host.name}: {(host.folder / 'boot.log').read_text()}")
            time.sleep(0.05)
        children = Path(f"/proc/{host._wrapper.pid}/task/{host._wrapper.pid}/children")
        host.pid = int(children.read_text().split()[0])

    def _answers(self, host: Host) -> bool:
        probe = f"exec 3<>/dev/tcp/{host.address}/22"
        words = ["ip", "netns", "exec", self.hub, "bash", "-c", probe]
        return subprocess.run(words, capture_output=True).returncode == 0

    def cut(self, host: Host) -> None:
        """No packet to or from it, and nobody is told."""
        run("ip", "-n", self.hub, "link", "set", self._veth(host), "down")

    def heal(self, host: Host) -> None:
        run("ip", "-n", self.hub, "link", "set", self._veth(host), "up")

    def kill(self, host: Host) -> None:
        """Everything on it dies at once."""
        with suppress(ProcessLookupError):
            os.kill(host.pid, signal.SIGKILL)
        if host._wrapper is not None:
            host._wrapper.wait(timeout=_PATIENCE_S)
        host.pid = 0

    def freeze(self, host: Host, number: int = signal.SIGSTOP) -> None:
        """Stop every process on it; its network stays up."""
        for pid in host.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        os.kill(host.pid, number)

    def thaw(self, host: Host) -> None:
        self.freeze(host, signal.SIGCONT)

    def _veth(self, host: Host) -> str:
        return f"v{host.name.removeprefix('cn')}"

    # --- the login node -----------------------------------------------------------------------

    def in_hub(self, *words: str | Path) -> str:
        return run("ip", "netns", "exec", self.hub, *words)

    def popen(self, words: list[str], **more: object) -> subprocess.Popen[str]:
        """Run a command where the hosts can be reached."""
        return subprocess.Popen(
            ["ip", "netns", "exec", self.hub, *words],
            text=True,
            **more,  # type: ignore[arg-type]
        )

    def down(self) -> None:
        for host in self.hosts:
            if host.pid:
                self.kill(host)
            run("ip", "netns", "del", host.namespace, check=False)
        run("ip", "netns", "del", self.hub, check=False)
