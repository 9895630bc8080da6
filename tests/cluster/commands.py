"""Stand-ins for the commands of PBS, Grid Engine and LSF, which cannot be installed here.

    python commands.py COMMAND ARGUMENTS...

They print what the real ones print (formats after their manuals and recorded outputs), and run a
job's script as a process of this machine. The folder that `FAKE_BATCH` names holds a note for each
job, a file `refuse` while no job is taken, and a file `slow` with the seconds that an answer takes.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

PBS_JOB = """\
Job Id: {id}.pbs
    Job_Name = {name}
    Job_Owner = me@login.site
    job_state = {state}
    queue = workq
    server = pbs
    Resource_List.ncpus = 2
    Resource_List.nodect = 1
    Resource_List.place = pack
    Resource_List.select = 1:ncpus=2
    Resource_List.walltime = 00:10:00
    comment = Job run at Wed Nov 25 at 10:00 on (node1:ncpus=2)

"""

SGE_JOB = """\
    <job_list state="running">
      <JB_job_number>{id}</JB_job_number>
      <JAT_prio>0.55500</JAT_prio>
      <JB_name>{name}</JB_name>
      <JB_owner>me</JB_owner>
      <state>{state}</state>
      <queue_name>all.q@node1</queue_name>
      <slots>2</slots>
    </job_list>
"""

SGE_LIST = """\
<?xml version='1.0'?>
<job_info  xmlns:xsd="http://arc.liv.ac.uk/repos/darcs/sge/source/dist/util/resources/schemas/">
  <queue_info>
{jobs}  </queue_info>
  <job_info>
  </job_info>
</job_info>
"""


class Jobs:
    """The notes of all jobs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, text: str, name: str, output: str, hosts: str = "") -> int:
        """Run a script; `hosts` names the variable for the file of the two hosts that it has."""
        number = 17 + len(list(self.folder.glob("job-*")))
        script = self.folder / f"script-{number}"
        script.write_text(text)
        with Path(output).open("wb") as out:
            process = subprocess.Popen(
                ["/bin/bash", script],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                env={**os.environ, **({hosts: str(self._hosts())} if hosts else {})},
            )
        note = {"id": number, "name": name, "pid": process.pid}
        (self.folder / f"job-{number}").write_text(json.dumps(note))
        self.answer()
        return number

    def _hosts(self) -> Path:
        """Each host several times, as with LSF, and more on each line, as with Grid Engine."""
        file = self.folder / "hosts"
        file.write_text("".join(f"node{n} 2 all.q@node{n} UNDEFINED\n" for n in (2, 1, 2, 1)))
        return file

    def answer(self) -> None:
        """Take a while, if a file says so: what is submitted then is not known yet to be so."""
        slow = self.folder / "slow"
        time.sleep(float(slow.read_text()) if slow.exists() else 0.0)

    def alive(self) -> list[dict[str, object]]:
        notes = [json.loads(path.read_text()) for path in sorted(self.folder.glob("job-*"))]
        return [note for note in notes if _lives(note["pid"])]

    def kill(self, number: str) -> bool:
        for note in self.alive():
            if str(note["id"]) == number.partition(".")[0]:
                with suppress(ProcessLookupError):
                    os.killpg(int(str(note["pid"])), signal.SIGTERM)
                return True
        return False


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _head(text: str, mark: str, option: str) -> str:
    found = re.search(rf"^{re.escape(mark)} {option} (\S+)", text, re.MULTILINE)
    assert found, f"{mark} {option} is missing in:\n{text}"
    return found[1]


def refuse(words: str) -> int:
    print(words, file=sys.stderr)
    return 38


def pbs(jobs: Jobs, command: str, arguments: list[str]) -> int:
    if command == "qsub":
        if (jobs.folder / "refuse").exists():
            return refuse("qsub: would exceed queue generic's per-user limit")
        text = Path(arguments[-1]).read_text()
        print(f"{jobs.add(text, _head(text, '#PBS', '-N'), _head(text, '#PBS', '-o'))}.pbs")
        return 0
    if command == "qdel":
        return 0 if jobs.kill(arguments[-1]) else refuse(f"qdel: Unknown Job Id {arguments[-1]}")
    if command == "qselect":
        assert arguments[0] == "-u", arguments
        print("".join(f"{note['id']}.pbs\n" for note in jobs.alive()), end="")
        return 0
    if "-x" in arguments:
        print(f"Job Id: {arguments[-1]}\n    job_state = F\n    Exit_status = 0")
        return 0
    code = 0
    alive = {f"{note['id']}.pbs": note for note in jobs.alive()}
    for number in [word for word in arguments if word[0].isdigit()]:
        if number in alive:
            print(
                PBS_JOB.format(**alive[number] | {"id": alive[number]["id"], "state": "R"}), end=""
            )
        else:
            code = refuse(f"qstat: Unknown Job Id {number}")
    return code


def sge(jobs: Jobs, command: str, arguments: list[str]) -> int:
    if command == "qrsh":
        assert arguments[:2] == ["-inherit", "-nostdin"], arguments
        return on_host(*arguments[2:])
    if command == "qsub":
        if (jobs.folder / "refuse").exists():
            return refuse("Unable to run job: job rejected: only 1 job allowed per user\nExiting.")
        text = Path(arguments[-1]).read_text()
        name = _head(text, "#$", "-N")
        number = jobs.add(text, name, _head(text, "#$", "-o"), "PE_HOSTFILE")
        print(f'Your job {number} ("{name}") has been submitted')
        return 0
    if command == "qdel":
        found = jobs.kill(arguments[-1])
        print(f"me has registered the job {arguments[-1]} for deletion" if found else "denied")
        return 0
    rows = "".join(SGE_JOB.format(**note | {"state": "r"}) for note in jobs.alive())
    print(SGE_LIST.format(jobs=rows), end="")
    return 0


def on_host(host: str, *command: str) -> int:
    """Run a command; both hosts are this machine."""
    assert re.fullmatch(r"node[12]", host), host
    os.execvp(command[0], command)


def lsf(jobs: Jobs, command: str, arguments: list[str]) -> int:
    if command == "blaunch":
        return on_host(*arguments)
    if command == "bsub":
        if (jobs.folder / "refuse").exists():
            return refuse("Job not submitted: user's pending job threshold has been reached.")
        text = sys.stdin.read()
        output = _head(text, "#BSUB", "-o")
        number = jobs.add(text, _head(text, "#BSUB", "-J"), output, "LSB_DJOB_HOSTFILE")
        print(f"Job <{number}> is submitted to queue <normal>.")
        return 0
    if command == "bkill":
        found = jobs.kill(arguments[-1])
        print(f"Job <{arguments[-1]}> is being terminated" if found else "")
        return 0 if found else refuse(f"Job <{arguments[-1]}>: No matching job found")
    alive = jobs.alive()
    for note in alive:
        print(f"{note['id']}|RUN|{note['name']}|-")
    return 0 if alive else refuse("No unfinished job found")


SYSTEMS = {"pbs": pbs, "sge": sge, "lsf": lsf}
NAMES = {"pbs": ("qsub", "qstat", "qselect", "qdel"), "sge": ("qsub", "qstat", "qdel", "qrsh"),
         "lsf": ("bsub", "bjobs", "bkill", "blaunch")}  # fmt: skip


def install(system: str, folder: Path) -> dict[str, str]:
    """Put the commands of a batch system into `folder`; the environment that finds them."""
    commands = folder / "bin"
    commands.mkdir(parents=True)
    for name in NAMES[system]:
        script = commands / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} {system} {name} "$@"\n')
        script.chmod(0o755)
    return {"PATH": f"{commands}:{os.environ['PATH']}", "FAKE_BATCH": str(folder)}


if __name__ == "__main__":
    _, which, called, *rest = sys.argv
    sys.exit(SYSTEMS[which](Jobs(Path(os.environ["FAKE_BATCH"])), called, rest))
