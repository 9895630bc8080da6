import subprocess
import sys

import pytest
import typer

from stargen.cli import main, running
from stargen.errors import JournalCorrupt, UserError


def test_version_and_help(stargen):
    assert stargen("--version").out.startswith("stargen ")
    answer = stargen("--help")
    assert answer.code == 0
    for command in ("up", "down", "check", "status", "journal", "plugins"):
        assert f" {command} " in answer.out


def test_mistyped_commands_are_the_users(stargen):
    assert stargen("upp").code == main.USER
    assert stargen("check").code == main.USER
    assert stargen("check", "--nonsense", "x.toml").code == main.USER


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (UserError("bad thing", hint="do this"), main.USER, "error: bad thing\n  do this"),
        (JournalCorrupt("flipped", segment="s1", offset=7), main.USER, "s1 at byte 7"),
        (RuntimeError("what"), main.BUG, "RuntimeError: what"),
        (KeyboardInterrupt(), main.INTERRUPTED, ""),
    ],
)
def test_errors_become_words_and_codes(stargen, monkeypatch, error, code, words):
    def fail(file):
        raise error

    fail.__annotations__ = {"file": str}
    monkeypatch.setattr(running, "up", fail)
    answer = stargen("up", "x.toml")
    assert answer.code == code
    assert words in answer.err
    assert ("Traceback" in answer.err) == (code == main.BUG)
    assert ("is a bug" in answer.err) == (code == main.BUG)


def test_commands_of_plugins_get_what_follows_their_name(stargen, monkeypatch):
    from stargen.calculators.registry import Announced, Registry

    said = []
    app = typer.Typer()

    @app.command()
    def ask(what: str, n: int = 0, verbose: bool = False):
        said.append((what, n, verbose))
        raise typer.Exit(n)

    @app.callback()
    def root(): ...

    announced = Announced("commands", "db", "stargen-database", "1", "m:app")
    monkeypatch.setattr(Registry, "installed", classmethod(lambda cls: Registry([announced])))
    monkeypatch.setattr(Announced, "load", lambda self: app)
    assert stargen("db", "ask", "a<1", "--n", "3", "--verbose").code == 3
    assert said == [("a<1", 3, True)]
    assert "Usage: stargen db ask" in stargen("db", "ask", "--help").out
    assert " db " in stargen("--help").out


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from stargen.cli.main import run; run(['--help']);"
        "heavy = {'numpy', 'torch', 'textual', 'pymatgen', 'asyncio', 'sqlalchemy'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"
