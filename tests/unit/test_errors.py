from __future__ import annotations

import inspect

import pytest

from stargen import errors
from stargen.errors import (
    CalculationFailed,
    CampaignError,
    ExpressionError,
    JournalCorrupt,
    JournalLocked,
    LinkLost,
    OutOfMemory,
    Problems,
    StargenError,
    TaskError,
    UserError,
    UserTaskError,
)
from stargen.model import Failure

classes = [
    c for _, c in inspect.getmembers(errors, inspect.isclass) if c.__module__ == errors.__name__
]


@pytest.mark.parametrize("cls", classes)
def test_every_error_has_the_one_root_and_says_what_it_means(cls: type):
    assert issubclass(cls, StargenError)
    assert cls.__doc__


@pytest.mark.parametrize("cls", [c for c in classes if issubclass(c, TaskError)])
def test_every_task_error_names_a_class_of_failure(cls: type[TaskError]):
    assert cls.failure in set(Failure)


def test_a_user_error_says_where():
    error = CampaignError(
        "unknown key", file="a.toml", line=7, key="job.generate.grian", hint="did you mean grain?"
    )
    assert str(error) == "a.toml:7: job.generate.grian: unknown key\n  did you mean grain?"
    assert (error.file, error.line, error.key) == ("a.toml", 7, "job.generate.grian")


def test_a_user_error_leaves_out_what_it_does_not_know():
    assert str(UserError("no such file")) == "no such file"
    assert str(UserError("bad value", line=3)) == "line 3: bad value"
    assert str(UserError("bad value", key="seed")) == "seed: bad value"


def test_an_expression_error_points_at_the_column():
    error = ExpressionError("a number is missing", text="a <", column=4, hint="e.g. a < 1")
    assert str(error) == "column 4 of `a <`: a number is missing\n  e.g. a < 1"


def test_problems_are_shown_together():
    together = Problems([UserError("one"), UserError("two", line=2)])
    assert str(together) == "one\nline 2: two"
    assert len(together.problems) == 2


def test_node_and_journal_errors_keep_their_fields():
    assert str(LinkLost("the stream ended", node="n7")) == "n7: the stream ended"
    corrupt = JournalCorrupt("checksum", segment="000002.log", offset=512)
    assert str(corrupt) == "000002.log at byte 512: checksum"
    assert JournalLocked("host7, process 12").holder == "host7, process 12"


def test_task_errors_say_whether_a_retry_can_help():
    assert CalculationFailed("diverged").retryable
    assert OutOfMemory("killed").failure == Failure.MEMORY
    assert not UserTaskError("no such preset").retryable
    assert CalculationFailed("diverged", detail="Traceback ...").detail == "Traceback ..."
