"""Files that survive a crash whole, and what kind of disk lies under a path."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

MOUNTINFO = Path("/proc/self/mountinfo")

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What the system says when a disk or a quota is full."""

NETWORK_TYPES = frozenset(
    {"9p", "afs", "beegfs", "beegfs_nodev", "ceph", "cifs", "coda", "gfs2", "glusterfs", "gpfs"}
    | {"lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "pvfs2", "quobyte"}
    | {"smb3", "smbfs", "virtiofs", "wekafs"}
)
LOCAL_FUSE_TYPES = frozenset({"fuse.fuse-overlayfs", "fuse.ntfs-3g", "fuse.mergerfs"})


@dataclass(frozen=True, slots=True)
class Filesystem:
    """The file system under a path, and whether other hosts may hold it too."""

    kind: str
    mount: Path
    network: bool


def write_atomically(path: Path, *parts: bytes | memoryview) -> None:
    """Put `parts`, one after another, into `path`: after a crash it is the old file or the new.

    Written beside, synced, renamed; then the folder is synced, for a rename is only a change to it.
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable: names made, renamed or removed in it."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    except OSError as error:
        # Some network file systems know no fsync of a folder; their servers log names themselves.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(fd)


def make_folder(folder: Path, mode: int = 0o777) -> None:
    """Make the folder and its missing parents, each durable in the one above."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode)
        sync_folder(folder.parent)


def pread_all(fd: int, size: int, offset: int) -> bytes:
    """`size` bytes from `offset`, fewer only where the file ends."""
    data = os.pread(fd, size, offset)
    if len(data) == size or not data:
        return data
    parts = [data]
    have = len(data)
    while have < size and (more := os.pread(fd, size - have, offset + have)):
        parts.append(more)
        have += len(more)
    return b"".join(parts)


def filesystem_of(path: Path, mountinfo: Path = MOUNTINFO) -> Filesystem:
    """The file system that `path` lies on; it need not exist yet.

    A FUSE type that is not known to be local counts as network, for the consequences of taking a
    shared disk for a private one are the worse ones.
    """
    real = Path(os.path.realpath(path))
    found = Filesystem(kind="unknown", mount=Path("/"), network=False)
    try:
        lines = mountinfo.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return found
    for mount, kind in _mounts(lines):
        # Later lines are mounted over earlier ones, so the last of the deepest wins.
        if real.is_relative_to(mount) and len(mount.parts) >= len(found.mount.parts):
            found = Filesystem(kind=kind, mount=mount, network=_is_network(kind))
    return found


def _mounts(lines: Iterable[str]) -> Iterable[tuple[Path, str]]:
    for line in lines:
        left, separator, right = line.partition(" - ")
        fields = left.split(" ")
        if separator and len(fields) > 4:
            yield Path(_unescape(fields[4])), right.split(" ")[0]


def _unescape(field: str) -> str:
    """The kernel writes space, tab, newline and backslash in octal."""
    for octal, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(octal, char)
    return field


def _is_network(kind: str) -> bool:
    if kind.startswith("fuse."):
        return kind not in LOCAL_FUSE_TYPES
    return kind in NETWORK_TYPES
