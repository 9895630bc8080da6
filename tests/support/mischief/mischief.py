"""Calculators for the tests of the executing module, found through PYTHONPATH, never installed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stargen.calculators.contract import CalculatorInfo, Change, Command, Finding, Progress
from stargen.calculators.echo import Source
from stargen.messages import TasksDone, encode
from stargen.model import Shape
from stargen.transport.frames import MESSAGE, frame


@dataclass(frozen=True, slots=True)
class ActParams:
    """`mode`: what to do; `seconds`: for how long; `note`: a file to write to."""

    mode: str = ""
    seconds: float = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True)
class TasteParams:
    """As those of echo.source; the taste changes when `sated` candidates have come."""

    count: int = 100
    payload_bytes: int = 0
    seconds: float = 0.0
    taste: str = "salty"
    sated: int = 20


@dataclass(frozen=True, slots=True)
class CountParams:
    to: int = 20
    pause_s: float = 0.05
    note: str = ""


@dataclass(frozen=True, slots=True)
class ProgramParams:
    """`script`: Python that runs in the folder."""

    script: str = ""
    stop_file: bool = False
    kill_host: bool = False


class Act:
    def open(self, context):
        pass

    def close(self):
        pass

    def run(self, candidates, context):
        params = context.params
        getattr(self, params.mode.replace("-", "_"), lambda *_: None)(params, context)
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        return [candidate.with_(worker=os.getpid(), gpus=gpus) for candidate in candidates]

    def sleep(self, params, context):
        time.sleep(params.seconds)

    def nap(self, params, context):
        """By a program of its own, without which it cannot go on."""
        subprocess.run(["sleep", str(params.seconds)], check=True)

    def pool(self, params, context):
        """Forks that have to be ended."""
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
        child.start()
        child.terminate()
        child.join(params.seconds)
        assert child.exitcode == -signal.SIGTERM

    def memory_error(self, params, context):
        raise MemoryError

    def memory_error_once(self, params, context):
        if not Path(params.note).exists():
            Path(params.note).touch()
            raise MemoryError

    def sys_exit(self, params, context):
        sys.exit("enough")

    def chatty(self, params, context):
        for _ in range(2000):
            print("x" * 1000)
        print("last words", file=sys.stderr, flush=True)
        os._exit(4)

    def orphan(self, params, context):
        """A child that holds everything open and outlives the crash of its parent."""
        if not os.fork():
            time.sleep(60)
            os._exit(0)
        os._exit(7)

    def link(self):
        """The worker's own end of its link."""
        return int(sys.orig_argv[sys.orig_argv.index("--link") + 1])

    def babble(self, params, context):
        """Noise on the link to the agent, and life goes on."""
        os.write(self.link(), os.urandom(100_000))
        time.sleep(params.seconds)

    def lie(self, params, context):
        """A message on the link that is none of a worker's."""
        body = encode(TasksDone(99, []))
        os.write(self.link(), frame(MESSAGE, body))
        time.sleep(params.seconds)

    def hang_up(self, params, context):
        """No link to the agent any more, and life goes on."""
        os.close(self.link())
        time.sleep(params.seconds)

    def flood(self, params, context):
        """More on standard output than a disk should hold."""
        for _ in range(80):
            os.write(1, b"x" * 2**20)
        time.sleep(params.seconds)

    def first_slow(self, params, context):
        """One task of all is slow."""
        try:
            os.close(os.open(params.note, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        time.sleep(params.seconds)

    def environment(self, params, context):
        cores = sorted(os.sched_getaffinity(0))
        score = Path("/proc/self/oom_score_adj").read_text().strip()
        threads = os.environ["OMP_NUM_THREADS"]
        (context.folder / "file").touch()
        gpus = os.environ["CUDA_VISIBLE_DEVICES"]
        Path(params.note).write_text(f"{cores}|{threads}|{score}|{context.folder}|{gpus}")

    def meet(self, params, context):
        """Goes on once five tasks are in here at the same time."""
        place = Path(params.note)
        place.mkdir(exist_ok=True)
        (place / str(os.getpid())).touch()
        while len(list(place.iterdir())) < 5:
            time.sleep(0.01)

    def share(self, params, context):
        """A table that is built once on the node."""

        def build():
            with Path(params.note).open("a") as file:
                file.write(f"{os.getpid()}\n")
            time.sleep(params.seconds)
            return {"table": np.arange(1_000_000)}

        table = context.shared_arrays("table", build)["table"]
        assert table.sum() == 499_999_500_000
        assert not table.flags.writeable
        assert "/shared/" in str(table.filename)

    def gulp(self, params, context):
        """Much memory, faster than anybody can watch."""
        self.swallowed = bytearray(2**30)

    def fill(self, params, context):
        """Files that grow for as long as they may."""
        (context.folder / "big").write_bytes(b"x" * (32 * 2**20))
        time.sleep(params.seconds)


class Count:
    """Counts slowly, keeps its place, returns early if asked to."""

    def open(self, context):
        pass

    def close(self):
        pass

    def run(self, candidates, context):
        params = context.params
        start = int(context.resume() or b"0")
        for i in range(start, params.to):
            if context.stop_requested:
                context.checkpoint(str(i).encode())
                return None
            with Path(params.note).open("a") as note:
                note.write(f"{i}\n")
            context.progress(i, params.to)
            time.sleep(params.pause_s)
        return [candidate.with_(started_at=start) for candidate in candidates]


class Tastes(Source):
    """A source whose candidates bear its taste."""

    def run(self, candidates, context):
        for candidate in super().run(candidates, context):
            yield candidate.with_(taste=context.params.taste)


class Program:
    def prepare(self, candidate, folder, context):
        params = context.params
        if params.kill_host:
            os.kill(os.getpid(), 9)
        (folder / "script.py").write_text(params.script)
        (folder / "mended").write_text("0")
        (folder / "params").write_text(f"{int(params.stop_file)}")
        return Command((sys.executable, "-S", "script.py"), {"CANDIDATE": candidate.candidate_id})

    def watch(self, folder):
        if (folder / "fault").exists():
            return Finding("test-fault", (folder / "fault").read_text())
        if (folder / "progress").exists():
            return Progress(float((folder / "progress").read_text()), 10.0)
        return None

    def correct(self, finding, folder):
        if "hopeless" in finding.message:
            return None
        mended = int((folder / "mended").read_text())
        (folder / "mended").write_text(str(mended + 1))
        (folder / "fault").unlink()
        return Change(finding.fault, {"mended": (mended, mended + 1)})

    def stop(self, folder):
        if (folder / "params").read_text().endswith("1"):
            (folder / "STOP").touch()
            return True
        return False

    def collect(self, candidate, folder, context):
        result = folder / "result"
        if not result.exists():
            return candidate
        return candidate.with_(result=result.read_text())


class Bare(Program):
    """Uses no files; what it makes of every other candidate is none."""

    def needs_folder(self, context):
        return False

    def prepare(self, candidate, folder, context):
        return Command(("true",))

    def diagnose(self, folder, code):
        return None

    def collect(self, candidate, folder, context):
        return "nonsense" if int(candidate.candidate_id.split("/")[1]) % 2 else candidate


act = CalculatorInfo("mischief.act", 1, "mischief:Act", params=ActParams, properties=("worker",))
heavy = CalculatorInfo(
    "mischief.heavy", 1, "mischief:Act", params=ActParams, affinity=lambda params: "weights"
)
count = CalculatorInfo(
    "mischief.count", 1, "mischief:Count", params=CountParams, checkpoint="state"
)
program = CalculatorInfo(
    "mischief.program", 1, "mischief:Program", program=True, params=ProgramParams, grain=1
)
bare = CalculatorInfo(
    "mischief.bare", 1, "mischief:Bare", program=True, params=ProgramParams, grain=1
)
tastes = CalculatorInfo(
    "mischief.tastes",
    1,
    "mischief:Tastes",
    shape=Shape.SOURCE,
    params=TasteParams,
    properties=("taste",),
    total=lambda params: params.count,
    steer=lambda params, stats: {"taste": "sweet"} if stats.made >= params.sated else None,
)
