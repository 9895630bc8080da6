import os
import signal
import subprocess
import sys
import time

import pytest

from stargen import processes

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True)"


def start(script, mark=None, **more):
    env = dict(os.environ)
    if mark:
        env[processes.AGENT_MARK] = mark
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        start_new_session=True,
        env=env,
        **more,
    )
    process.stdout.readline()
    return process


@pytest.fixture
def reap():
    started = []
    yield started.append
    for process in started:
        processes.end_session(process.pid, grace_s=0)
        process.wait()
        process.stdout.close()


def test_a_session_ends_softly_if_it_can(reap):
    process = start("import time; print(1, flush=True); time.sleep(60)")
    reap(process)
    assert processes.session_members(process.pid) == [process.pid]
    assert processes.end_session(process.pid, grace_s=5) == []
    assert process.wait() == -signal.SIGTERM


def test_grandchildren_that_ignore_sigterm_are_killed(reap):
    script = (
        "import subprocess, sys, os\n"
        f"deaf = {DEAF!r} + '; time.sleep(60)'\n"
        "for own_group in (False, True):\n"
        "    kw = dict(preexec_fn=os.setpgrp) if own_group else {}\n"
        "    c = subprocess.Popen([sys.executable, '-c', deaf], stdout=subprocess.PIPE, **kw)\n"
        "    c.stdout.readline()\n" + DEAF + "; time.sleep(60)"
    )
    process = start(script)
    reap(process)
    assert len(processes.session_members(process.pid)) == 3
    began = time.monotonic()
    assert processes.end_session(process.pid, grace_s=0.2) == []
    assert time.monotonic() - began >= 0.2
    assert processes.session_members(process.pid) == []
    assert processes.process_of(process.pid) is None, "a zombie counts as gone"


def test_a_mark_finds_what_left_its_session(reap):
    script = (
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'],"
        " start_new_session=True)\n"
        "print(1, flush=True)\nimport time; time.sleep(60)"
    )
    mark = f"test-{os.getpid()}.1"
    process = start(script, mark=mark)
    reap(process)
    assert len(processes.marked_members(f"test-{os.getpid()}.")) == 2
    assert processes.marked_members(f"test-{os.getpid()}.2") == []
    assert processes.end_marked(mark) == []
    assert processes.marked_members(mark) == []


def test_nothing_to_end_is_no_error():
    assert processes.end_session(2**22 - 1, grace_s=1) == []
    assert processes.process_of(2**22 - 1) is None


def test_this_process_is_seen():
    me = processes.process_of(os.getpid())
    assert me is not None
    assert me.state in "RS"
    assert me.rss_pages > 1000
    assert len(processes.boot_id()) == 36
    assert processes.out_of_memory_kills() >= 0
