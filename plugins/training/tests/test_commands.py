import subprocess
import sys

import pytest
from stargen_training import commands
from typer.testing import CliRunner


class Point:
    """An entry point of a distribution."""

    def __init__(self, distribution, called):
        self.name, self.module, self._called = "line", "somewhere.commands", called
        self.dist = type("Distribution", (), {"name": distribution})()

    def load(self):
        return lambda args, prog_name: self._called.append((args, prog_name))


def test_a_name_is_handed_on_with_all_that_follows(monkeypatch):
    called = []
    monkeypatch.setattr(commands, "entry_points", lambda group: [Point("one", called)])
    with pytest.raises(SystemExit):
        commands.train(["line", "data", "--help"], "stargen train")
    assert called == [(["data", "--help"], "stargen train line")]


def test_a_name_that_two_claim_is_refused(monkeypatch):
    points = [Point("one", []), Point("two", [])]
    monkeypatch.setattr(commands, "entry_points", lambda group: points)
    app = commands._app("stargen.trainers", "")
    result = CliRunner().invoke(app, ["line"])
    assert "claimed by one and two" in str(result.exception)


def test_the_listing_loads_no_torch():
    code = "import sys, stargen_training.commands; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
