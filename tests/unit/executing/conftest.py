import pytest
from support.agents import AgentProcess, ScriptedMaster


@pytest.fixture
def agent(tmp_path):
    with AgentProcess(tmp_path, "--cores", "2") as agent:
        yield agent
        print(agent.log.read_text())  # shown if the test failed


@pytest.fixture
async def master(agent):
    async with ScriptedMaster(agent) as master:
        yield master
