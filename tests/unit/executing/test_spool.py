import errno
import os

import pytest

from stargen import messages
from stargen.executing.spool import Spool, refs_of
from stargen.messages import AttemptRef, TaskDone, TaskFault, TasksDone, TasksFailed


def done(*numbers, size=10):
    return TasksDone(3, [TaskDone(n, 1, n, 0.5, [b"x" * size]) for n in numbers])


def ref(n):
    return AttemptRef(3, n, 1, n)


def keep(spool, message):
    spool.append(messages.encode(message), refs_of(message))


def test_results_come_back_as_they_were(tmp_path):
    spool = Spool(tmp_path)
    failed = TasksFailed([TaskFault(4, 7, 1, 9, "calculation", "s", "m")])
    keep(spool, done(1, 2))
    keep(spool, failed)
    assert spool.refs() == [ref(1), ref(2), AttemptRef(4, 7, 1, 9)]
    assert list(spool.read([ref(2), AttemptRef(4, 7, 1, 9)])) == [done(2), failed]
    spool.close()


def test_a_successor_adopts_what_is_not_acknowledged(tmp_path):
    first = Spool(tmp_path)
    keep(first, done(1, 2))
    keep(first, done(3))
    first.acknowledge([ref(1)])
    second = Spool(tmp_path)  # the first was killed: it never closed
    assert set(second.refs()) >= {ref(2), ref(3)}
    assert list(second.read([ref(3)])) == [done(3)]
    keep(second, done(4))
    second.acknowledge(second.refs())
    second.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cut", [1, 7, 9, 20])
def test_a_torn_end_is_cut_off(tmp_path, cut):
    spool = Spool(tmp_path)
    keep(spool, done(1))
    keep(spool, done(2))
    spool.close()
    (path,) = tmp_path.glob("*.spool")
    path.write_bytes(path.read_bytes()[:-cut])
    assert Spool(tmp_path).refs() == [ref(1)]


def test_a_flipped_byte_never_becomes_a_result(tmp_path):
    spool = Spool(tmp_path)
    keep(spool, done(1))
    spool.close()
    (path,) = tmp_path.glob("*.spool")
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    assert len(Spool(tmp_path)) == 0


def test_acknowledged_segments_are_deleted_and_the_current_one_is_cut(tmp_path, monkeypatch):
    monkeypatch.setattr("stargen.executing.spool._SEGMENT_BYTES", 1000)
    monkeypatch.setattr("stargen.executing.spool._WORTH_CUTTING", 100)
    spool = Spool(tmp_path)
    for n in range(10):
        keep(spool, done(n, size=400))
    assert len(list(tmp_path.iterdir())) > 2
    spool.acknowledge([ref(n) for n in range(9)])
    assert len(list(tmp_path.iterdir())) == 1
    assert list(spool.read([ref(9)])) == [done(9, size=400)]
    spool.acknowledge([ref(9)])
    assert spool.size == 0
    spool.close()


def test_a_full_disk_holds_results_in_memory_until_there_is_room(tmp_path, monkeypatch):
    spool = Spool(tmp_path)
    keep(spool, done(1))
    real = os.write

    def refuse(fd, data):
        real(fd, data[:5])  # a short write, then the disk is full
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", refuse)
    keep(spool, done(2))
    assert spool.full
    assert "No space left" in spool.failed
    assert spool.refs() == [ref(1), ref(2)]
    assert ref(2) in spool
    assert list(spool.read([ref(2)])) == [done(2)]
    monkeypatch.setattr(os, "write", real)
    spool.retry()
    assert not spool.full
    assert Spool(tmp_path).refs() == [ref(1), ref(2)], "the short write was taken back"


def test_where_no_new_segment_can_be_made_results_wait_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("stargen.executing.spool._SEGMENT_BYTES", 10)
    spool = Spool(tmp_path)
    keep(spool, done(1))
    tmp_path.rename(tmp_path.with_name("away"))
    keep(spool, done(2))
    assert "No such file" in spool.failed
    tmp_path.with_name("away").rename(tmp_path)
    keep(spool, done(3))
    assert not spool.full
    assert list(spool.read([ref(1), ref(2), ref(3)])) == [done(1), done(2), done(3)]


def test_what_was_never_written_can_be_acknowledged(tmp_path, monkeypatch):
    spool = Spool(tmp_path)
    monkeypatch.setattr(os, "write", lambda fd, data: (_ for _ in ()).throw(OSError(28, "full")))
    keep(spool, done(1, 2))
    spool.acknowledge([ref(1), ref(2)])
    assert len(spool) == 0


def test_a_spool_over_its_limit_is_full(tmp_path):
    spool = Spool(tmp_path, limit_bytes=100)
    keep(spool, done(1, size=200))
    assert spool.full
    spool.acknowledge([ref(1)])
    spool.cut()
    assert not spool.full


def test_an_acknowledgement_of_the_unknown_is_ignored(tmp_path):
    spool = Spool(tmp_path)
    spool.acknowledge([ref(99)])
    spool.sync()
    assert len(spool) == 0


def test_the_named_points_are_told(tmp_path):
    seen = []
    spool = Spool(tmp_path, observer=seen.append)
    keep(spool, done(1))
    spool.acknowledge([ref(1)])
    assert seen == ["before-spool-write", "after-spool-write", "after-ack"]
