from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from stargen.files import filesystem_of, make_folder, pread_all, sync_folder, write_atomically

MOUNTS = """\
1 0 254:0 / / rw - ext4 /dev/vda rw
2 1 0:40 / /home rw shared:1 - nfs4 server:/home rw
3 2 0:41 / /home/ada/local\\040disk rw - xfs /dev/sdb rw
4 1 0:42 / /scratch rw master:2 propagate_from:3 - lustre mds@tcp:/scratch rw
5 1 0:43 / /remote rw - fuse.sshfs ada@host: rw
6 1 0:44 / /var/lib/box rw - fuse.fuse-overlayfs fuse-overlayfs rw
7 1 0:45 / /over rw - ext4 /dev/sdc rw
8 7 0:46 / /over rw - cifs //server/share rw
9 1 0:47 / /odd rw - fuse.new-thing thing rw
"""


@pytest.fixture
def mountinfo(tmp_path: Path) -> Path:
    path = tmp_path / "mountinfo"
    path.write_text(MOUNTS)
    return path


@pytest.mark.parametrize(
    ("path", "kind", "network"),
    [
        ("/opt/x", "ext4", False),
        ("/home/ada/campaign", "nfs4", True),
        ("/home/ada/local disk/campaign", "xfs", False),
        ("/homework", "ext4", False),
        ("/scratch", "lustre", True),
        ("/remote/x", "fuse.sshfs", True),
        ("/var/lib/box/x", "fuse.fuse-overlayfs", False),
        ("/over/x", "cifs", True),
        ("/odd/x", "fuse.new-thing", True),
    ],
)
def test_the_deepest_and_last_mount_counts(mountinfo: Path, path: str, kind: str, network: bool):
    found = filesystem_of(Path(path), mountinfo)
    assert (found.kind, found.network) == (kind, network)


def test_without_mount_information_a_disk_is_unknown(tmp_path: Path):
    found = filesystem_of(tmp_path, tmp_path / "none")
    assert (found.kind, found.network) == ("unknown", False)


def test_a_real_path_lies_on_something(tmp_path: Path):
    assert filesystem_of(tmp_path / "not" / "there").kind != ""


def test_an_atomic_write_replaces_and_leaves_nothing_beside(tmp_path: Path):
    path = tmp_path / "f"
    write_atomically(path, b"old")
    write_atomically(path, b"ne", memoryview(b"w"))
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_an_atomic_write_that_fails_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "f"
    write_atomically(path, b"old")

    def fails(fd: int) -> None:
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="input/output"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_a_folder_that_knows_no_sync_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def says(number: int):
        def fsync(fd: int) -> None:
            raise OSError(number, os.strerror(number))

        return fsync

    monkeypatch.setattr(os, "fsync", says(errno.EINVAL))
    sync_folder(tmp_path)
    monkeypatch.setattr(os, "fsync", says(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        sync_folder(tmp_path)


def test_folders_are_made_down_to_the_last(tmp_path: Path):
    make_folder(tmp_path / "a" / "b" / "c")
    make_folder(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()


def test_reading_at_an_offset_joins_short_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "f"
    path.write_bytes(bytes(range(100)))
    whole = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, offset: whole(fd, min(size, 7), offset))
    with path.open("rb") as file:
        assert pread_all(file.fileno(), 50, 10) == bytes(range(10, 60))
        assert pread_all(file.fileno(), 50, 90) == bytes(range(90, 100))
        assert pread_all(file.fileno(), 50, 100) == b""
