import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.disks import small_disk

from stargen.executing import packing
from stargen.executing.packing import DamagedArchive, pack_folder, unpack_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "task"
    (made / "sub").mkdir(parents=True)
    (made / "sub" / "a").write_text("1")
    (made / "b").write_bytes(bytes(range(256)) * 100)
    (made / "c").write_bytes(os.urandom(1_000_000))
    return made


def same(one: Path, other: Path) -> bool:
    files = [path.relative_to(one) for path in one.rglob("*") if path.is_file()]
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in files)


def test_a_packed_folder_comes_back(folder, tmp_path):
    archive = tmp_path / "kept" / "folder.tar.zst"
    pack_folder(folder, archive)
    unpack_folder(archive, tmp_path / "back")
    assert same(folder, tmp_path / "back")
    assert [path.name for path in archive.parent.iterdir()] == ["folder.tar.zst"]
    assert archive.stat().st_size < 1_010_000


def test_a_failed_packing_leaves_the_old_archive(tmp_path):
    archive = tmp_path / "folder.tar.zst"
    archive.write_bytes(b"old")
    with pytest.raises(OSError, match="nothing"):
        pack_folder(tmp_path / "nothing", archive)
    assert archive.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [archive]


KILLED = """
import os, sys
from pathlib import Path
from stargen.executing import packing

class Dying(packing.zstandard.ZstdCompressor):
    def stream_writer(self, file, **more):
        class File:
            def write(self, data):
                file.write(bytes(data)[:1000]); file.flush()
                os.kill(os.getpid(), 9)
            def flush(self): pass
        return super().stream_writer(File(), **more)

packing.zstandard.ZstdCompressor = Dying
packing.pack_folder(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_who_is_killed_while_packing_leaves_the_old_archive(folder, tmp_path):
    archive = tmp_path / "kept" / "folder.tar.zst"
    pack_folder(folder, archive)
    before = archive.read_bytes()
    (folder / "sub" / "a").write_text("2")
    done = subprocess.run([sys.executable, "-c", KILLED, folder, archive])
    assert done.returncode == -9
    (cut,) = set(archive.parent.iterdir()) - {archive}
    assert cut.stat().st_size == 1000
    assert archive.read_bytes() == before
    with pytest.raises(DamagedArchive, match="it ends too early"):
        unpack_folder(cut, tmp_path / "back")


def test_a_full_disk_leaves_the_old_archive_and_no_other(folder, tmp_path):
    with small_disk(tmp_path / "disk", "1500k") as disk:
        archive = disk / "folder.tar.zst"
        pack_folder(folder, archive)
        before = archive.read_bytes()
        with pytest.raises(OSError, match="No space left") as caught:
            pack_folder(folder, archive)
        assert caught.value.errno == errno.ENOSPC
        assert archive.read_bytes() == before
        assert list(disk.iterdir()) == [archive]


@pytest.mark.parametrize("where", [10, 300_000, 900_000, -5, -1])
def test_what_was_cut_is_known_as_such(folder, tmp_path, where):
    archive = tmp_path / "folder.tar.zst"
    pack_folder(folder, archive)
    archive.write_bytes(archive.read_bytes()[:where])
    with pytest.raises(DamagedArchive):
        unpack_folder(archive, tmp_path / "back")


@pytest.mark.parametrize("where", [0, 20, 500_000, -2])
def test_what_was_changed_is_known_as_such(folder, tmp_path, where):
    archive = tmp_path / "folder.tar.zst"
    pack_folder(folder, archive)
    data = bytearray(archive.read_bytes())
    data[where] ^= 0x55
    archive.write_bytes(data)
    with pytest.raises(DamagedArchive):
        unpack_folder(archive, tmp_path / "back")


def test_it_is_synced_before_it_has_its_name(folder, tmp_path, monkeypatch):
    synced: list[bool] = []
    archive = tmp_path / "folder.tar.zst"
    monkeypatch.setattr(packing.os, "fsync", lambda fd: synced.append(archive.exists()))
    pack_folder(folder, archive)
    assert synced == [False, True]
