"""GPUs of a node that has none: what tasks are shown, how they are shared, what is measured."""

from pathlib import Path

import pytest
from support.agents import MISCHIEF, AgentProcess, ScriptedMaster

from stargen.crystal import decode_entry

FAKE = Path(MISCHIEF).with_name("fake_nvml")


@pytest.fixture
def agent(tmp_path):
    env = {"PYTHONPATH": f"{MISCHIEF}:{FAKE}", "CUDA_VISIBLE_DEVICES": "GPU-a1,GPU-b2"}
    arguments = ("--cores", "2", "--gpus", "2", "--io", "1")
    with AgentProcess(tmp_path, *arguments, env=env) as agent:
        yield agent
        print(agent.log.read_text())


@pytest.fixture
async def master(agent):
    async with ScriptedMaster(agent) as master:
        yield master


def shown(master, ref):
    return decode_entry(master.done[ref].entries[0]).properties["gpus"]


async def test_five_tasks_share_the_node_and_see_the_devices_they_were_granted(master, tmp_path):
    step = ("mischief.act", {"mode": "meet", "note": str(tmp_path / "met")})
    for job in range(4):
        master.define(step, job=job)
    halves = master.run(2, job=0, cores=0, gpus=0.5)
    (whole,) = master.run(1, job=1, cores=1, gpus=1)
    (plain,) = master.run(1, job=2, cores=1)
    (reading,) = master.run(1, job=3, cores=0, io=1)
    everything = [*halves, whole, plain, reading]
    await master.outcomes(everything, 60)
    assert {shown(master, ref) for ref in halves} == {"GPU-a1"}, "two halves share one"
    assert shown(master, whole) == "GPU-b2"
    assert shown(master, plain) == shown(master, reading) == ""


async def test_programs_see_theirs_too(master):
    script = "import os, json; print(os.environ['CUDA_VISIBLE_DEVICES'])"
    script += "; open('result.json', 'w').write(json.dumps({'properties': "
    script += "{'gpus': os.environ['CUDA_VISIBLE_DEVICES']}}))"
    argv = ["{python}", "-S", "-c", script.replace("{", "{{").replace("}", "}}")]
    master.define(("exec.run", {"argv": argv, "output": "result.json"}), program=True)
    refs = master.run(2, cores=1, gpus=1)
    await master.outcomes(refs)
    assert sorted(shown(master, ref) for ref in refs) == ["GPU-a1", "GPU-b2"]


async def test_what_the_devices_do_is_measured(master):
    await master.until(lambda: bool(master.loads))
    first, second = master.loads[-1].gpus
    assert first[:4] == [0, 0.0, 1.0, 80.0]
    assert second[:4] == [1, 90.0, 2.0, 80.0]
