"""Inputs that are fetched over the link."""

from dataclasses import dataclass

import pytest

from stargen.carrying import PIECE_BYTES, files_of, place_of, read_piece
from stargen.executing.inputs import Inputs, is_whole, stamp_of
from stargen.messages import DefineJob, FilePart


@dataclass
class Master:
    """Answers questions from a folder, as many as it is let."""

    folder: object
    asked: list

    def job(self, *names):
        files = [[name, [list(row) for row in files_of(self.folder / name)]] for name in names]
        return DefineJob(0, "look", "map", [], 1, {}, apart=True, files=files)

    def answer(self, inputs, times=1000):
        for _ in range(times):
            if not self.asked:
                return
            want = self.asked.pop(0)
            path = self.folder / want.name / want.below if want.below else self.folder / want.name
            inputs.take(FilePart(want.name, want.below, *read_piece(path, want.offset)))


@pytest.fixture
def master(tmp_path):
    folder = tmp_path / "master"
    (folder / "weights").mkdir(parents=True)
    (folder / "table").write_bytes(b"t" * (2 * PIECE_BYTES + 5))
    (folder / "weights" / "a").write_bytes(b"aa")
    (folder / "weights" / "b").write_bytes(b"b")
    return Master(folder, [])


def whole(folder, job, name):
    (files,) = (files for known, files in job.files if known == name)
    return is_whole(folder, name, stamp_of(files))


def test_files_and_folders_come_one_piece_after_the_other(master, tmp_path):
    inputs = Inputs(tmp_path / "agent", master.asked.append)
    job = master.job("table", "weights")
    inputs.want(job)
    inputs.want(job)
    assert len(master.asked) == 1, "one piece is under way"
    master.answer(inputs, 2)
    assert not whole(tmp_path / "agent", job, "table")
    master.answer(inputs)
    assert whole(tmp_path / "agent", job, "table")
    assert whole(tmp_path / "agent", job, "weights")
    table = place_of(tmp_path / "agent", "table")
    assert table.read_bytes() == (master.folder / "table").read_bytes()
    weights = place_of(tmp_path / "agent", "weights")
    assert sorted(path.name for path in weights.iterdir()) == ["a", "b"]
    Inputs(tmp_path / "agent", master.asked.append).want(job)
    assert master.asked == [], "the next agent has them already"


def test_a_cut_link_costs_one_piece_and_answers_that_come_twice_do_no_harm(master, tmp_path):
    inputs = Inputs(tmp_path / "agent", master.asked.append)
    job = master.job("table")
    inputs.want(job)
    master.answer(inputs, 1)
    (lost,) = master.asked
    master.asked.clear()
    inputs.ask_again()
    assert master.asked == [lost]
    inputs.ask_again()
    master.answer(inputs)
    assert whole(tmp_path / "agent", job, "table")
    assert place_of(tmp_path / "agent", "table").stat().st_size == 2 * PIECE_BYTES + 5


def test_a_file_that_has_changed_comes_anew(master, tmp_path):
    inputs = Inputs(tmp_path / "agent", master.asked.append)
    inputs.want(master.job("table"))
    master.answer(inputs)
    (master.folder / "table").write_bytes(b"new")
    job = master.job("table")
    assert not whole(tmp_path / "agent", job, "table")
    inputs.want(job)
    master.answer(inputs)
    assert whole(tmp_path / "agent", job, "table")
    assert place_of(tmp_path / "agent", "table").read_bytes() == b"new"
