"""Shared data: made once, whole or not at all, held to a quota."""

import asyncio
import multiprocessing
import os
import time

import pytest
from support.agents import AgentProcess, ScriptedMaster

from stargen.calculators.context import file_key
from stargen.crystal import decode_entry
from stargen.executing.sharing import SharedStore
from stargen.executing.staging import SharedPlace

MIB = 2**20


@pytest.fixture
def place(tmp_path):
    return SharedPlace(tmp_path / "ram", tmp_path / "disk", 10 * MIB / 2**30)


def fill(mib, note=None):
    def make(folder):
        if note is not None:
            with note.open("a") as file:
                file.write(f"{os.getpid()}\n")
        (folder / "data").write_bytes(os.urandom(mib * MIB))

    return make


def _ask(place, note, barrier):
    def make(folder):
        fill(1, note)(folder)
        time.sleep(0.2)

    barrier.wait()
    SharedStore(place).folder("weights", make)


def test_what_many_ask_for_is_made_once(place, tmp_path):
    note = tmp_path / "note"
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(6)
    asking = [context.Process(target=_ask, args=(place, note, barrier)) for _ in range(6)]
    for each in asking:
        each.start()
    for each in asking:
        each.join(30)
        assert each.exitcode == 0
    assert len(note.read_text().split()) == 1
    assert SharedStore(place).folder("weights", fill(1, note)).parent == place.ram
    assert len(note.read_text().split()) == 1


def test_keys_are_apart_and_a_process_asks_once(place):
    store = SharedStore(place)
    one, two = store.folder("a", fill(1)), store.folder("b", fill(1))
    assert one != two
    assert store.folder("a", fill(1)) is one


def test_a_failed_making_leaves_nothing_and_is_tried_again(place):
    store = SharedStore(place)

    def broken(folder):
        (folder / "half").touch()
        raise ArithmeticError("no weights")

    with pytest.raises(ArithmeticError):
        store.folder("a", broken)
    assert not list(place.ram.iterdir())
    assert [path.name for path in store.folder("a", fill(1)).iterdir()] == ["data"]


def test_the_least_recently_used_makes_room_and_what_is_used_stays(place):
    used, idle, old = SharedStore(place), SharedStore(place), SharedStore(place)
    gone = old.folder("old", fill(3))
    left = idle.folder("newer", fill(3))
    kept = used.folder("used", fill(3))
    for name, age_s in (("old", 300), ("newer", 200), ("used", 100)):
        _age(place, {"old": gone, "newer": left, "used": kept}[name].name, age_s)
    old.close()
    idle.close()
    assert SharedStore(place).folder("fourth", fill(3)).parent == place.ram
    assert not gone.exists()
    assert left.exists()
    assert kept.exists()


def test_what_is_larger_than_the_quota_lies_on_the_disk(place):
    store = SharedStore(place)
    small = store.folder("small", fill(2))
    large = store.folder("large", fill(12))
    assert (small.parent, large.parent) == (place.ram, place.disk)
    assert (large / "data").stat().st_size == 12 * MIB
    assert SharedStore(place).folder("large", fill(12)) == large


def test_without_a_quota_nothing_lies_on_the_ram_disk(tmp_path):
    place = SharedPlace(tmp_path / "ram", tmp_path / "disk", 0.0)
    assert SharedStore(place).folder("a", fill(1)).parent == place.disk
    assert not place.ram.exists()


def test_a_file_that_is_written_anew_has_another_key(tmp_path):
    path = tmp_path / "table"
    path.write_text("one")
    before = file_key(path)
    assert file_key(path) == before
    path.write_text("three")
    assert file_key(path) != before


def _age(place, name, age_s):
    at = time.time() - age_s
    os.utime(place.disk / f"{name}.lock", (at, at))


async def test_all_workers_of_a_node_map_what_one_has_built(tmp_path):
    note = tmp_path / "note"
    with AgentProcess(tmp_path, "--cores", "4", "--shared-gib", "0.1") as agent:
        async with ScriptedMaster(agent) as master:
            for job in range(4):
                step = ("mischief.act", {"mode": "share", "note": str(note), "seconds": 0.3})
                master.define(step, job=job, affinity=f"one worker each {job}")
            refs = [ref for job in range(4) for ref in master.run(2, job=job, cores=1)]
            await master.outcomes(refs, 60)
            assert not master.faults
            pids = {decode_entry(master.done[ref].entries[0]).properties["worker"] for ref in refs}
        assert await asyncio.to_thread(agent.stop) == 0
    assert len(pids) >= 4
    assert len(note.read_text().split()) == 1
    left = await asyncio.to_thread(os.listdir, "/dev/shm")
    assert not any(agent.identity["agent_id"] in name for name in left)
