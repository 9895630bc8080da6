import copy

import pytest

from stargen.cli.pictures import remembered
from stargen.cli.tables import (
    NODE_HEADINGS,
    allocation_lines,
    busy,
    failure_lines,
    funnel_rows,
    headline,
    job_rows,
    node_row,
    notes,
)
from stargen.master.loads import load_json
from stargen.messages import Load


@pytest.fixture
def picture(campaign):
    return copy.deepcopy(remembered(campaign)) | {"state": "running", "reason": ""}


def test_a_node_is_shown_with_what_it_uses(picture):
    (node,) = picture["nodes"]
    assert node_row(node)[:3] == ["local", "local", "ready"]
    assert len(node_row(node)) == len(NODE_HEADINGS)
    assert busy(picture) == ""
    load = Load(
        12.0, 3.0, 16.0, 40.0, 0, [], [[0, 90.0, 1.0, 80.0, 50.0], [1, 10.0, 1.0, 80.0, 50.0]], 7.0,
        cpu_pressure=2.0, disks=[["state", 60.0, 100.0], ["RAM", 1.0, 8.0]],
    )  # fmt: skip
    node["load"] = load_json(load)
    assert node_row(node)[4:] == ["12", "3.0 of 16", "90 10", "state 60 %, RAM 12 %", "2 0 7"]
    assert busy(picture) == (
        "nodes: CPU 12 %; memory 3 of 16 GiB; 2 GPUs 50 %; fullest disk 60 % (state of local);"
        " waits for cpu 2 %, memory 0 %, io 7 %"
    )


def test_the_headline_says_how_far_it_is(picture):
    picture |= {"now": 1030.0, "eta_s": 90.0}
    head = headline("salts", picture)
    assert head.text == "salts: running, 30 s, about 1 min 30 s left, 1 of 1 nodes ready"
    assert head.share == pytest.approx(0.25)
    assert headline("salts", picture | {"away_s": 20.0}).text.startswith("salts: running, 10 s")
    picture |= {"eta_s": None, "eta_at_least_s": 20.0}
    assert headline("salts", picture).share is None
    assert "at least 20 s left" in headline("salts", picture).text
    picture["eta_at_least_s"] = 0.0
    assert "time left unknown" in headline("salts", picture).text


def test_what_ended_says_how_long_it_took(picture):
    picture |= {"state": "held", "reason": "target unreachable", "at": 1100.0, "now": 9999.0}
    assert headline("salts", picture).text == "salts: held (target unreachable), 1 min 40 s"


def test_rare_reasons_are_counted_together(picture):
    job = picture["jobs"][0]
    job["dropped"] = {"a": 9, "b": 5, "c": 3, "d": 2, "": 1}
    job["quarantined"] = 4
    assert job_rows(picture)[0][-1] == "a 9, b 5, c 3, others 3, quarantined 4"
    assert funnel_rows(picture)[0][-1] == "a 9, b 5, c 3, d 2, no reason 1, quarantined 4"


def test_a_select_says_how_many_it_left(picture):
    picture["jobs"][2] |= {"in": 17, "out": 0}
    assert funnel_rows(picture)[2] == ["few", "17", "0", ""]
    picture["jobs"][2] |= {"in": 17, "out": 3, "state": "done"}
    assert funnel_rows(picture)[2] == ["few", "17", "3", "not selected 14"]


def test_states_of_jobs(picture):
    assert [row[6] for row in job_rows(picture)] == ["1 running", "waiting", "waiting"]
    picture["jobs"][0]["state"] = "done"
    picture["jobs"][1]["state"] = "held"
    assert [row[6] for row in job_rows(picture)] == ["done", "held", "waiting"]


def test_the_time_left_of_each_job(picture):
    for job, left in zip(picture["jobs"], (12.0, 75.0, None), strict=True):
        job["eta_s"] = left
    assert [row[5] for row in job_rows(picture)] == ["12 s", "1 min 15 s", "?"]
    picture["jobs"][0]["state"] = "done"
    assert [row[5] for row in job_rows(picture)] == ["-", "1 min 15 s", "?"]
    picture["state"] = "held"
    assert {row[5] for row in job_rows(picture)} == {"-"}


def test_notes_tell_what_needs_a_person(picture):
    picture["jobs"][1]["held"] = "too many failures"
    picture["nodes"][0] |= {"state": "suspended", "reason": "5 failures in a row"}
    picture["sinks"] = [
        {"url": "sqlite:///a", "problem": "locked", "missing": 0},
        {"url": "sqlite:///b", "problem": "", "missing": 1200},
        {"url": "sqlite:///c", "problem": "", "missing": 20},
    ]
    picture["journal"] = {"full": True}
    told = list(notes(picture))
    assert told[:4] == [
        "pass is held: too many failures",
        "node local is suspended: 5 failures in a row",
        "sqlite:///a: locked",
        "sqlite:///b: 1,200 records behind",
    ]
    assert "disk is full" in told[4]
    assert told[5].endswith("the disk is slow")
    picture["state"] = "done"
    assert "sqlite:///c: 20 records behind" in list(notes(picture))


def test_failures_end_with_their_last_output(picture):
    group = picture["failures"][0] | {"detail": "one\ntwo"}
    assert list(failure_lines([group]))[1:] == ["    pass/0: boom", "    | one", "    | two"]


def test_pools_of_batch_systems_say_what_waits_and_what_was_refused(picture):
    def one(name, state, reason="", job_id=""):
        return {"name": name, "pool": "cpu", "state": state, "reason": reason, "job_id": job_id}

    picture["allocations"] = [
        one("cpu-1", "running", "", "7"),
        one("cpu-2", "queued", "Priority", "8"),
        one("cpu-3", "refused", "sbatch: error: no\ntry later"),
        one("cpu-4", "ended", "Slurm says COMPLETED", "5"),
    ]
    assert list(allocation_lines(picture)) == [
        "pool cpu: 1 running, 1 queued, 1 refused, 1 ended",
        "  cpu-2 (job 8) queued: Priority",
        "  cpu-3 refused: sbatch: error: no\n    try later",
    ]
    picture["nodes"][0] |= {"state": "left", "reason": "its time is over"}
    assert not any("its time is over" in note for note in notes(picture))
