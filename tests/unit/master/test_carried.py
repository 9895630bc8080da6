"""What the master gives to nodes that share nothing with it, and what it keeps for them."""

import pytest

from stargen.calculators.contract import CalculatorInfo
from stargen.errors import RemoteProtocolError
from stargen.master.carried import CarriedFiles
from stargen.messages import KeptPart, WantFile
from stargen.model import Campaign, JobSpec, Shape
from stargen.scheduling.plan import JobPlan, Plan


@pytest.fixture
def carried(tmp_path):
    (tmp_path / "table").write_text("numbers")
    (tmp_path / "secret").write_text("none of theirs")
    info = CalculatorInfo("a.b", 1, "a:b", reads=lambda params: ("table", "", ".", "gone", None))
    job = JobPlan(0, JobSpec("look"), Shape.MAP, (), (), (info,), (None,))
    plan = Plan(Campaign("test", (job.spec,)), (job,), "digest", "text")
    return CarriedFiles(plan, input_folder=tmp_path, checkpoints=tmp_path / "checkpoints")


def test_an_agent_gets_what_its_job_reads(carried):
    ((name, ((below, size, _),)),) = carried.inputs(0)
    assert (name, below, size) == ("table", "", 7)
    part = carried.piece(WantFile(0, "table", "", 3))
    assert (part.data, part.last) == (b"bers", True)


@pytest.mark.parametrize(
    "want",
    [
        WantFile(0, "secret", "", 0),
        WantFile(0, "table", "../secret", 0),
        WantFile(0, "../table", "", 0),
        WantFile(1, "table", "", 0),
        WantFile(-1, "table", "", 0),
    ],
)
def test_and_nothing_else(carried, want):
    with pytest.raises(RemoteProtocolError, match="no job reads"):
        carried.piece(want)


def test_a_checkpoint_is_kept_handed_on_and_forgotten(carried, tmp_path):
    parts = [
        KeptPart(0, 3, "folder.tar.zst", 0, b"files", True),
        KeptPart(0, 3, "state", 0, b"st", False),
        KeptPart(0, 3, "state", 2, b"ate", True),
    ]
    for part in parts:
        carried.keep(part)
    assert list(carried.kept(0, 4)) == []
    kept = list(carried.kept(0, 3))
    assert [(part.name, part.data) for part in kept] == [
        ("folder.tar.zst", b"files"),
        ("state", b"state"),
    ]
    carried.forget(0, [3, 4])
    assert list(carried.kept(0, 3)) == []
    assert list((tmp_path / "checkpoints" / "look").iterdir()) == []


@pytest.mark.parametrize(
    "part", [KeptPart(0, 1, "../x", 0, b"", True), KeptPart(7, 1, "state", 0, b"", True)]
)
def test_what_no_checkpoint_has_is_refused(carried, part):
    with pytest.raises(RemoteProtocolError):
        carried.keep(part)
