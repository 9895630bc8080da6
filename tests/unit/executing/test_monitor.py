"""What the monitor sees of the node and of what tasks use."""

import os
import subprocess
import sys
import time

import pytest
from support.agents import AgentProcess, ScriptedMaster

from stargen.executing.monitor import Monitor

BUSY = "import time; end = time.monotonic() + 60\nwhile time.monotonic() < end: pass"
WRITES = """
import os, sys
with open(sys.argv[1], "wb", buffering=0) as file:
    while True:
        file.write(bytes(2**20)); os.fsync(file.fileno()); file.seek(0)
"""


@pytest.fixture
def started():
    running = []

    def start(text, *arguments):
        command = [sys.executable, "-S", "-c", text, *map(str, arguments)]
        running.append(subprocess.Popen(command, start_new_session=True))
        return running[-1].pid

    yield start
    for each in running:
        each.kill()
        each.wait()


def test_cores_memory_and_disks_of_what_a_process_leads(started, tmp_path):
    busy, writes = started(BUSY), started(WRITES, tmp_path / "file")
    monitor = Monitor({"state": tmp_path})
    monitor.sample({}, {busy, writes})
    cores = io_mib_s = 0.0
    deadline = time.monotonic() + 20
    while (cores < 0.05 or io_mib_s <= 0) and time.monotonic() < deadline:
        time.sleep(0.3)
        sample = monitor.sample({}, {busy, writes})
        cores = max(cores, sample.use[busy].cores)
        io_mib_s = max(io_mib_s, sample.use[writes].io_mib_s)
    assert 0.05 <= cores < 1.5
    assert io_mib_s > 0
    assert sample.memory_of(busy) > 0.001
    assert sample.memory_of(2**22 - 1) == 0


def test_each_disk_is_told_once_and_how_full_it_is(tmp_path):
    (tmp_path / "below").mkdir()
    places = {"state": tmp_path, "scratch": tmp_path / "below", "gone": tmp_path / "nothing"}
    sample = Monitor(places).sample({}, set())
    ((name, used, total),) = sample.disks
    assert name == "state"
    assert 0 < used < total
    assert sample.disk_free_gib == pytest.approx(total - used)


@pytest.mark.skipif(not os.path.exists("/proc/pressure/cpu"), reason="the kernel tells no pressure")  # noqa: PTH110
def test_pressure_is_a_share_of_the_time(tmp_path):
    pressure = Monitor({"state": tmp_path}).sample({}, set()).pressure
    assert pressure.keys() == {"cpu", "memory", "io"}
    assert all(0 <= share <= 100 for share in pressure.values())


async def test_an_agent_tells_what_its_tasks_use(tmp_path):
    with AgentProcess(tmp_path, "--cores", "2") as agent:
        async with ScriptedMaster(agent) as master:
            master.define(("exec.run", {"argv": [sys.executable, "-S", "-c", BUSY]}), program=True)
            master.run(1, cores=1)
            await master.until(
                lambda: any(row.cores > 0.05 for load in master.loads for row in load.running), 40
            )
            names = [row[0] for row in master.loads[-1].disks]
    assert names[0] == "state"
    assert "RAM" in names
