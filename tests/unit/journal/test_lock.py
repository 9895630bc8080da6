from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from stargen.errors import JournalLocked
from stargen.journal import lock as lock_module
from stargen.journal.lock import Holder, acquire, read_holder, this_process

NOW = 1_700_000_000.0


@pytest.fixture
def without_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(fd: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, "function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuses)


def leave(folder: Path, change: Callable[[Holder], Holder]) -> None:
    """A lock file that a process like this one, but for `change`, left behind."""
    (folder / "lock").write_text(json.dumps(asdict(change(this_process(NOW)))))


def dead(holder: Holder) -> Holder:
    return replace(holder, started=holder.started - 1)


def test_the_lock_names_its_holder_and_goes_with_it(tmp_path: Path):
    lock = acquire(tmp_path, NOW)
    holder = read_holder(tmp_path / "lock")
    assert holder == this_process(NOW)
    assert lock.note is None
    lock.check()
    lock.release()
    assert list(tmp_path.iterdir()) == []


def test_a_second_one_in_this_process_is_refused(tmp_path: Path):
    lock = acquire(tmp_path, NOW)
    with pytest.raises(JournalLocked, match=f"process {os.getpid()} on "):
        acquire(tmp_path, NOW)
    lock.check()
    lock.release()
    acquire(tmp_path, NOW).release()


@pytest.mark.usefixtures("without_flock")
def test_a_living_holder_is_refused_without_flock_too(tmp_path: Path):
    lock = acquire(tmp_path, NOW)
    with pytest.raises(JournalLocked):
        acquire(tmp_path, NOW)
    lock.release()


def test_a_holder_in_another_process_is_refused_until_it_dies(tmp_path: Path):
    script = (
        "import sys; from pathlib import Path; from stargen.journal.lock import acquire\n"
        "lock = acquire(Path(sys.argv[1]), 0.0); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(JournalLocked, match=f"process {other.pid} on "):
            acquire(tmp_path, NOW, takeover=True)
        other.kill()
        other.wait()
    lock = acquire(tmp_path, NOW)
    assert lock.note is not None
    assert f"process {other.pid}" in lock.note
    assert "without closing" in lock.note
    lock.release()


@pytest.mark.usefixtures("without_flock")
def test_a_dead_holder_is_known_by_the_start_of_its_process(tmp_path: Path):
    leave(tmp_path, dead)
    lock = acquire(tmp_path, NOW)
    assert "without closing" in str(lock.note)
    lock.release()


@pytest.mark.usefixtures("without_flock")
def test_a_holder_before_the_last_boot_is_dead(tmp_path: Path):
    leave(tmp_path, lambda holder: replace(holder, boot="an earlier one"))
    lock = acquire(tmp_path, NOW)
    assert "without closing" in str(lock.note)
    lock.release()


@pytest.mark.usefixtures("without_flock")
def test_a_holder_on_another_host_is_replaced_on_demand_only(tmp_path: Path):
    leave(tmp_path, lambda holder: replace(holder, host="elsewhere", boot="its own"))
    with pytest.raises(JournalLocked, match="on elsewhere since"):
        acquire(tmp_path, NOW)
    lock = acquire(tmp_path, NOW, takeover=True)
    assert "taken over from" in str(lock.note)
    assert read_holder(tmp_path / "lock") == this_process(NOW)
    lock.release()


def test_a_private_disk_is_held_by_no_other_host(tmp_path: Path):
    leave(tmp_path, lambda holder: replace(holder, host="elsewhere", boot="its own"))
    acquire(tmp_path, NOW).release()


def test_a_lock_file_that_names_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "lock").write_text("{")
    monkeypatch.setattr(lock_module, "_try_flock", lambda fd: None)
    with pytest.raises(JournalLocked, match="left no name"):
        acquire(tmp_path, NOW)
    monkeypatch.undo()
    lock = acquire(tmp_path, NOW)
    assert "without a name" in str(lock.note)
    lock.release()


def test_a_holder_that_was_replaced_notices_and_leaves_the_file_alone(tmp_path: Path):
    lock = acquire(tmp_path, NOW)
    (tmp_path / "new").write_text(
        json.dumps(asdict(replace(this_process(NOW), host="elsewhere", pid=42)))
    )
    (tmp_path / "new").replace(tmp_path / "lock")
    with pytest.raises(JournalLocked, match="process 42 on elsewhere"):
        lock.check()
    lock.release()
    assert (tmp_path / "lock").exists()


def test_a_removed_lock_file_is_noticed(tmp_path: Path):
    lock = acquire(tmp_path, NOW)
    (tmp_path / "lock").unlink()
    with pytest.raises(JournalLocked, match="removed"):
        lock.check()
    lock.release()


def test_a_file_system_without_hard_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuses(self: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, "operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuses)
    lock = acquire(tmp_path, NOW)
    with pytest.raises(JournalLocked):
        acquire(tmp_path, NOW)
    lock.release()
    assert list(tmp_path.iterdir()) == []
