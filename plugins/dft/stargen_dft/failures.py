"""Failures that are nobody's fault: the task is tried again elsewhere."""

from __future__ import annotations

from stargen.errors import TaskError


class NodeTrouble(TaskError):
    """The node is to blame, and another one may do."""

    failure = "infrastructure"


class WalltimeEnds(TaskError):
    """The run stopped in time; another attempt goes on from its files."""

    failure = "walltime"
