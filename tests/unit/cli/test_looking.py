import json

from support.campaigns import RECORDS, lay

from stargen.records import JobClosed, JobHeld


def test_status_of_an_interrupted_campaign_comes_from_its_journal(stargen, campaign):
    answer = stargen("status")
    assert answer.code == 0
    head, headings, *rows = answer.out.splitlines()
    assert head.startswith("salts: interrupted (`stargen up` goes on with it), 7 s")
    assert headings.split() == [
        "job",
        "in",
        "out",
        "waiting",
        "rate",
        "left",
        "state",
        "dropped",
    ]
    assert rows[0].split() == ["make", "20/30", "17", "-", "20/s", "-", "open",
                               "odd", "2,", "dull", "1"]  # fmt: skip
    assert "the disk is slow" in answer.out
    told = json.loads(stargen("status", "--json").out)
    assert told["state"] == "interrupted"
    assert told["jobs"][1]["waiting"] == 17


def test_a_snapshot_shortens_the_reading(stargen, here):
    import asyncio

    from support.journals import journal_in

    from stargen.codec import pack
    from stargen.folding import fold
    from stargen.records import encode
    from stargen.status import Status
    from stargen.status_forms import freeze

    folder = lay(here / "campaigns" / "salts", RECORDS[:5])

    async def go_on():
        status = Status()
        for record in RECORDS[:5]:
            fold(status, record)
        async with journal_in(folder.journal) as journal:
            await journal.snapshot(pack([b"", freeze(status)]), journal.position)
            for record in RECORDS[5:]:
                journal.append(encode(record))
            await journal.until_durable()

    asyncio.run(go_on())
    told = json.loads(stargen("status", "--json").out)
    assert [job["in"] for job in told["jobs"]] == [20, 0, 0]
    assert told["failures"][0]["message"] == "boom"


def test_status_of_a_running_campaign_comes_from_its_master(stargen, master):
    told = json.loads(stargen("status", "--json").out)
    assert told["state"] == "running"
    shown = stargen("status").out
    assert "1 of 1 nodes ready" in shown
    assert "1 kind of failure: stargen failures" in shown


def test_watch_shows_until_the_master_ends(stargen, master):
    import threading

    timer = threading.Timer(0.3, master.end)
    timer.start()
    answer = stargen("status", "--watch")
    timer.join()
    assert answer.code == 0
    assert "salts: running" in answer.out


def test_failures_are_grouped(stargen, campaign):
    shown = stargen("failures").out
    assert "pass: 1 x calculation on local" in shown
    assert "then retry 1" in shown
    assert "    pass/0: boom\n    | line one\n" in shown
    assert json.loads(stargen("failures", "--json").out)[0]["signature"] == "sig"


def test_no_failure_is_said_too(stargen, here):
    lay(here / "campaigns" / "salts", RECORDS[:5])
    assert stargen("failures").out == "nothing has failed\n"


def test_explain_asks_the_master(stargen, master):
    assert stargen("explain", "pass").out == "pass waits.\nNo node has joined yet.\n"
    assert json.loads(stargen("explain", "pass", "--json").out)[0] == "pass waits."
    refused = stargen("explain", "none")
    assert refused.code == 2
    assert "there is no job none\n  did you mean make?" in refused.err


def test_explain_without_a_master_says_how_the_job_was_left(stargen, campaign):
    assert stargen("explain", "pass").out == (
        "Job pass: 0 tasks finished, 17 candidates wait.\n"
        "No master is running: the campaign is interrupted (`stargen up` goes on with it).\n"
    )
    assert json.loads(stargen("explain", "pass", "--json").out)[0].startswith("Job pass: ")
    unknown = stargen("explain", "none")
    assert unknown.code == 2
    assert "there is no job 'none'\n  the jobs are: make, pass, " in unknown.err
    task = stargen("explain", "pass/3")
    assert task.code == 2
    assert "stargen explain pass says how the job was left" in task.err


def test_explain_tells_of_a_hold_and_of_an_end(stargen, here):
    at = RECORDS[-1].at
    held = [JobHeld(at, 1, "too much fails", "policy"), JobClosed(at, 0, "done")]
    lay(here / "campaigns" / "salts", [*RECORDS, *held])
    assert stargen("explain", "make").out == "Job make is done: 17 candidates came out.\n"
    assert "too much fails. `stargen up FILE --release pass` lets it go on" in (
        stargen("explain", "pass").out
    )
