"""What the tests of this library share: a task that is learnt in a second."""

import importlib.util
import sys
from pathlib import Path

import pytest
from stargen_training.options import Options

PROGRAM = Path(__file__).with_name("train_line.py")


@pytest.fixture
def program():
    """The line's training as a program."""
    return PROGRAM


@pytest.fixture(scope="session")
def line():
    """The class of the task."""
    spec = importlib.util.spec_from_file_location("train_line", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    sys.modules["train_line"] = module
    spec.loader.exec_module(module)
    return module.Line


@pytest.fixture
def options():
    """Options with some changed."""

    def make(**changes):
        usual = {"steps": 60, "batch": 8, "learning_rate": 0.05, "validate_every": 20}
        return Options(**{**usual, "average": 0.9, "device": "cpu", **changes})

    return make
