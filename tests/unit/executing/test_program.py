"""External programs under a real agent."""

import asyncio
import os
import signal
import sys
import time

import pytest
from support.agents import AgentProcess, ScriptedMaster

from stargen.crystal import decode_entry
from stargen.messages import CancelTasks
from stargen.processes import marked_attempts, marked_members, process_of


def run(*argv, **params):
    return ("exec.run", {"argv": list(argv), **params})


def script(text, **params):
    return ("mischief.program", {"script": text, **params})


async def one(master, step, timeout_s=15, **more):
    """Run the step on one candidate; the fault, or the candidate that came of it."""
    define = {
        key: more.pop(key) for key in ("commands", "corrections", "checkpoint") if key in more
    }
    master.define(step, program=True, **define)
    (ref,) = master.run(1, **more)
    await master.outcomes([ref], timeout_s)
    if ref in master.faults:
        return master.faults[ref]
    return decode_entry(master.done[ref].entries[0])


def programs(agent):
    return marked_attempts(f"{agent.identity['agent_id']}.")


async def starts(agent, count):
    """Wait until so many processes of programs are there."""
    async with asyncio.timeout(15):
        while len(programs(agent)) < count:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)


def hosts(agent):
    return marked_members(agent.identity["agent_id"]) - programs(agent).keys()


async def test_a_command_gets_its_candidate_and_gives_properties(master):
    text = (
        "import json, sys; c = json.load(open(sys.argv[1])); "
        "found = dict(n=len(c['numbers']), job=sys.argv[3]); "
        "json.dump(dict(properties=found), open(sys.argv[2], 'w'))"
    )
    argv = ("{python}", "-c", text, "{input}", "{output}", "{job}")
    candidate = await one(master, run(*argv, input="json", output="o.json"))
    assert candidate.properties == {"n": 2, "job": "job0"}
    assert candidate.provenance[-1].calculator == "exec.run"


async def test_a_command_that_is_defined_anew_is_the_one_that_runs(master):
    for word in ("old", "new"):
        text = f"import json; json.dump(dict(properties=dict(word={word!r})), open('o.json', 'w'))"
        step = run("{python}", "-c", text, output="o.json")
        assert (await one(master, step)).properties == {"word": word}


async def test_many_quick_ones(master):
    master.define(run("true"), program=True)
    refs = master.run(300)
    await master.outcomes(refs)
    assert all(ref in master.done for ref in refs)


async def test_a_result_that_is_none_fails_its_task_alone(master):
    master.define(("mischief.bare", {}), program=True)
    refs = master.run(40)
    await master.outcomes(refs)
    assert set(master.done) == set(refs[::2])
    assert {fault.failure for fault in master.faults.values()} == {"calculation"}
    assert all("a str" in fault.message for fault in master.faults.values())


async def test_an_exit_code_is_a_failure_with_the_last_lines(master):
    fault = await one(master, run("sh", "-c", "echo out; echo oops >&2; exit 3"))
    assert fault.failure == "calculation"
    assert fault.message == "sh ended with exit code 3"
    assert "oops" in fault.detail
    assert "out" in fault.detail


async def test_other_codes_may_be_fine(master):
    candidate = await one(master, run("sh", "-c", "exit 3", ok_codes=[0, 3]))
    assert candidate.candidate_id == "make/0"


async def test_a_signal_is_named(master):
    fault = await one(master, run("sh", "-c", "kill -SEGV $$"))
    assert "killed by SIGSEGV" in fault.message


async def test_a_missing_command_stops_the_job(master):
    fault = await one(master, run("no-such-command"))
    assert fault.failure == "user"
    assert "cannot start 'no-such-command': No such file" in fault.message


async def test_the_sites_names_are_expanded(master):
    step = run("vasp", "'b c'; exit 5")
    fault = await one(master, step, commands={"vasp": "sh -c"})
    assert fault.message == "vasp ended with exit code 5" or "127" in fault.message


async def test_corrections_are_made_and_recorded(master):
    text = (
        "n = int(open('mended').read())\n"
        "if n < 2: open('fault', 'w').write(f'needs mending {n}')\n"
        "else: open('result', 'w').write(f'after {n}')"
    )
    candidate = await one(master, script(text))
    assert candidate.properties["result"] == "after 2"
    assert candidate.provenance[-1].note == {
        "corrections": [
            {"fault": "test-fault", "changes": {"mended": [0, 1]}},
            {"fault": "test-fault", "changes": {"mended": [1, 2]}},
        ]
    }


async def test_corrections_have_a_ceiling(master):
    fault = await one(master, script("open('fault', 'w').write('again')"), corrections=3)
    assert fault.message == "test-fault: again (after 3 corrections)"


async def test_what_cannot_be_mended_fails(master):
    fault = await one(master, script("open('fault', 'w').write('hopeless')"))
    assert fault.message == "test-fault: hopeless"


async def test_a_fault_seen_on_the_way_ends_the_run(master):
    text = (
        "import time\n"
        "if open('mended').read() == '0':\n"
        "    open('fault', 'w').write('diverges'); time.sleep(60)\n"
    )
    began = time.monotonic()
    candidate = await one(master, script(text))
    assert candidate.provenance[-1].note["corrections"][0]["fault"] == "test-fault"
    assert time.monotonic() - began < 12


async def test_progress_is_told(master):
    text = "import time\nopen('progress', 'w').write('4'); time.sleep(20)"
    master.define(script(text), program=True)
    (ref,) = master.run(1)
    await master.until(lambda: any(load.running and load.running[0].done for load in master.loads))
    row = next(load.running[0] for load in master.loads if load.running and load.running[0].done)
    assert (row[:4], row.done, row.total) == (ref, 4.0, 10.0)
    assert 0 < row.rss_gib < 0.1, "the program's, not the host's"
    master.send(CancelTasks([ref], "seen"))
    await master.outcomes([ref])


async def test_a_walltime_ends_the_whole_group(master, agent):
    deaf = f"{sys.executable} -S -c 'import signal, time; signal.signal(15, 1); time.sleep(60)'"
    step = run("sh", "-c", f"{deaf} & {deaf} & trap '' TERM; wait", timeout_s=1.0)
    fault = await one(master, step, walltime_s=1.0)
    assert "walltime of 1 s" in fault.message
    assert programs(agent) == {}


async def test_a_stop_file_is_asked_first(master):
    text = (
        "import os, time\n"
        "while not os.path.exists('STOP'): time.sleep(0.02)\n"
        "open('%s', 'w').write('stopped softly')\n"
    )
    note = master.agent.folder / "note"
    fault = await one(master, script(text % note, stop_file=True), walltime_s=0.5)
    assert "walltime" in fault.message
    assert note.read_text() == "stopped softly"


async def test_what_it_leaves_running_is_ended(master, agent):
    await one(master, run("sh", "-c", "sleep 60 & exit 0"))
    assert programs(agent) == {}


async def test_what_leaves_its_session_is_found_by_its_mark(master, agent):
    await one(master, run("sh", "-c", "setsid sleep 60 & exit 0"))
    async with asyncio.timeout(20):
        while programs(agent):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.1)


async def test_one_that_eats_memory_is_stopped_at_its_grant(master, agent):
    text = "import time\nx = bytearray(b'x') * (400 * 2**20)\ntime.sleep(60)"
    fault = await one(master, run(sys.executable, "-S", "-c", text), memory_gib=0.2)
    assert fault.failure == "memory"
    assert programs(agent) == {}


async def test_cancelling_kills_at_once(master, agent):
    master.define(run("sleep", "60"), program=True)
    refs = master.run(2)
    await starts(agent, 2)
    began = time.monotonic()
    master.send(CancelTasks(refs[:1], "no"))
    await master.outcomes(refs[:1])
    assert time.monotonic() - began < 2
    assert len(programs(agent)) == 1
    assert master.given_back == {refs[0]: "no"}


async def test_a_dead_host_is_no_fault_of_its_programs(master, agent):
    master.define(run("sh", "-c", "sleep 1"), program=True)
    refs = master.run(3)
    await starts(agent, 4)
    old = programs(agent)
    killed, _ = hosts(agent)
    os.kill(killed, signal.SIGKILL)
    await master.outcomes(refs)
    assert [fault.failure for fault in master.faults.values()] == ["infrastructure"]
    assert len(master.done) == 2, "what waited ran under another host"
    assert [pid for pid in old if process_of(pid)] == []


async def test_a_few_hosts_share_many_slots(tmp_path):
    with AgentProcess(tmp_path, "--cores", "6") as agent:
        async with ScriptedMaster(agent) as master:
            master.define(run("sleep", "1"), program=True)
            refs = master.run(6)
            await starts(agent, 6)
            assert len(hosts(agent)) == 4
            await master.outcomes(refs)
            assert len(master.done) == 6


async def test_python_that_ends_the_host_is_blamed(master):
    fault = await one(master, script("", kill_host=True))
    assert fault.failure == "calculation"
    assert "SIGKILL" in fault.message


async def test_huge_output_is_cut(master):
    fault = await one(master, run("sh", "-c", "yes | head -c 30000000; exit 1"))
    assert len(fault.detail) < 5000


async def test_steps_share_the_folder_and_the_second_goes_on_from_the_first(master):
    first = script("open('from-first', 'w').write('hello')")
    second = script("open('result', 'w').write(open('from-first').read())")
    master.define(first, second, program=True)
    (ref,) = master.run(1)
    await master.outcomes([ref])
    candidate = decode_entry(master.done[ref].entries[0])
    assert candidate.properties["result"] == "hello"
    assert len(candidate.provenance) == 2


@pytest.mark.parametrize(("damage", "outcome"), [(False, "went on"), (True, "began again")])
async def test_files_are_kept_for_a_retry(master, tmp_path, damage, outcome):
    text = (
        f"import os, time; again = {str(tmp_path / 'again')!r}\n"
        "if os.path.exists('half-way'): open('result', 'w').write('went on'); raise SystemExit\n"
        "if os.path.exists(again): open('result', 'w').write('began again'); raise SystemExit\n"
        "open('half-way', 'w').close(); open(again, 'w').close(); time.sleep(60)\n"
    )
    master.define(script(text), program=True, checkpoint="files")
    (ref,) = master.run(1)
    await starts(master.agent, 1)
    await asyncio.sleep(0.5)
    master.send(CancelTasks([ref], "make room", soft=True))
    await master.outcomes([ref])
    packed = tmp_path / "checkpoints" / "job0" / "0" / "folder.tar.zst"
    assert packed.exists()
    if damage:
        packed.write_bytes(packed.read_bytes()[:-3])
    (retry,) = master.run(1)
    await master.outcomes([retry])
    assert decode_entry(master.done[retry].entries[0]).properties["result"] == outcome
    async with asyncio.timeout(5):
        while (tmp_path / "checkpoints" / "job0" / "0").exists():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def test_programs_are_pinned_and_their_threads_limited(master):
    text = (
        "import json, os; found = dict(cores=str(sorted(os.sched_getaffinity(0))), "
        "threads=os.environ['OMP_NUM_THREADS'], mark=os.environ['STARGEN_ATTEMPT']); "
        "json.dump(dict(properties=found), open('o.json', 'w'))"
    )
    step = run(sys.executable, "-c", text, output="o.json")
    candidate = await one(master, step, cores=1)
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) >= 2:
        assert candidate.properties["cores"] == str(usable[:1])
    assert candidate.properties["threads"] == "1"
    assert candidate.properties["mark"] == "0/0/1.1"


@pytest.mark.parametrize("text", ["not json", "[]"])
async def test_bad_output_fails_the_task(master, text):
    fault = await one(master, run("sh", "-c", f"echo '{text}' > o.json", output="o.json"))
    assert fault.failure == "calculation"
