import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from stargen_training.loop import train
from stargen_training.metrics import read_metrics

from stargen.errors import UserError


def losses(folder):
    """The curve, without the times."""
    rows = read_metrics(folder / "metrics.csv")
    return [(step, name, value) for step, _, name, value in rows]


def weights_of(model):
    return {name: value.tolist() for name, value in model.state_dict().items()}


def run(program, folder, *args, **kwargs):
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(program), str(folder), *args]
    return subprocess.run(command, capture_output=True, text=True, env=environ, **kwargs)


def test_it_learns_and_keeps_the_best(line, options, tmp_path):
    found = train(line(), options(steps=300), tmp_path, quiet=True)
    assert found.finished
    assert found.steps == 300
    assert found.metrics["val/mae"] < 0.3
    curve = [value for _, name, value in losses(tmp_path) if name == "val/mae"]
    assert found.metrics["val/mae"] == min(curve) < curve[0] / 2
    assert line().validate(found.model, torch.device("cpu")) == found.metrics


def test_killed_and_started_again_it_takes_the_same_steps(program, line, tmp_path):
    whole = run(program, tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    for die_at in (13, 30):
        killed = run(program, tmp_path / "killed", "--die-at", str(die_at))
        assert killed.returncode == -signal.SIGKILL
    assert run(program, tmp_path / "killed").returncode == 0
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    told = [json.loads((tmp_path / name / "told.json").read_text()) for name in ("whole", "killed")]
    assert told[0] == told[1]
    assert told[0]["steps"] == 60


def test_a_checkpoint_from_before_the_kill_is_enough(line, options, tmp_path):
    """Steps behind the last checkpoint are taken again, and their lines written once."""
    whole = train(line(), options(), tmp_path / "whole", quiet=True)
    folder = tmp_path / "twice"
    early = options(checkpoint_every_s=0.0)

    class Fault(Exception):
        pass

    class Breaking(line):
        def batch(self, indices, rng):
            if self._batches == 55:
                raise Fault
            if self._batches == 37:
                kept["bytes"] = (folder / "checkpoint.pt").read_bytes()
            return super().batch(indices, rng)

    kept = {}
    with pytest.raises(Fault):
        train(Breaking(), early, folder, quiet=True)
    (folder / "checkpoint.pt").write_bytes(kept["bytes"])
    again = train(line(), options(), folder, quiet=True)
    assert weights_of(again.model) == weights_of(whole.model)
    assert losses(folder) == losses(tmp_path / "whole")


def test_a_signal_ends_it_softly_and_it_goes_on(program, tmp_path):
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(program), str(tmp_path), "--steps", "100000"]
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "checkpoint.pt").exists():
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "the same command goes on" in said
    told = json.loads((tmp_path / "told.json").read_text())
    assert not told["finished"]
    assert 0 < told["steps"] < 100_000


def test_two_processes_learn_what_one_learns(program, tmp_path):
    one = run(program, tmp_path / "one", "--certain")
    assert one.returncode == 0, one.stderr
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += [str(program), str(tmp_path / "two"), "--certain"]
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    two = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=120)
    assert two.returncode == 0, two.stderr
    a, b = (json.loads((tmp_path / name / "told.json").read_text()) for name in ("one", "two"))
    assert a["steps"] == b["steps"] == 60
    for name, values in a["weights"].items():
        assert torch.allclose(torch.tensor(values), torch.tensor(b["weights"][name]), atol=1e-5)


def test_a_budget_of_time_ends_with_the_schedule_done(line, options, tmp_path):
    found = train(line(), options(steps=10**6, minutes=0.02), tmp_path, quiet=True)
    assert found.finished
    assert found.steps < 10**6
    assert found.elapsed_s < 20
    rates = [value for _, name, value in losses(tmp_path) if name == "train/learning_rate"]
    assert rates[-1] < max(rates) / 2


def test_another_training_in_the_folder_is_refused(line, options, tmp_path):
    train(line(), options(), tmp_path, quiet=True)
    with pytest.raises(UserError, match="another training: batch was 8, is 4"):
        train(line(), options(batch=4), tmp_path, quiet=True)
    other = line()
    other.identity = {"network": "curve"}
    with pytest.raises(UserError, match='network was "line", is "curve"'):
        train(other, options(), tmp_path, quiet=True)


@pytest.mark.parametrize("damage", [b"", b"no checkpoint", "half"])
def test_a_damaged_checkpoint_is_named(line, options, tmp_path, damage):
    train(line(), options(), tmp_path, quiet=True)
    path = tmp_path / "checkpoint.pt"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if damage == "half" else damage)
    with pytest.raises(UserError, match=r"checkpoint\.pt: no checkpoint of a training"):
        train(line(), options(), tmp_path, quiet=True)


def test_a_loss_that_is_no_number_stops_it(line, options, tmp_path):
    class Broken(line):
        def loss(self, model, batch):
            loss, told = super().loss(model, batch)
            return loss * float("nan"), told

    with pytest.raises(UserError, match="step 1: the loss is nan"):
        train(Broken(), options(), tmp_path, quiet=True)


@pytest.mark.parametrize(
    ("name", "value"), [("steps", 0), ("batch", -1), ("clip", 0), ("minutes", 0), ("average", 1.0)]
)
def test_options_are_checked(options, name, value):
    with pytest.raises(UserError, match=f"{name}: must"):
        options(**{name: value})


def test_a_device_that_is_not_there_is_refused(line, options, tmp_path):
    with pytest.raises(UserError, match="device nonsense cannot be used"):
        train(line(), options(device="nonsense"), tmp_path, quiet=True)
