"""What the batch launcher asks of a batch system: its scripts, its commands, what they print."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from qtoolkit.core.data_objects import QJob, SubmissionResult

from stargen.config import Pool


class Language(Protocol):
    """What is used of qtoolkit: scripts and commands out, what they print in."""

    def get_submission_script(self, commands: list[str], options: dict[str, Any]) -> str: ...

    def get_submit_cmd(self, script_file: str) -> str: ...

    def parse_submit_output(self, exit_code: int, stdout: str, stderr: str) -> SubmissionResult: ...

    def get_jobs_list_cmd(self, jobs: list[str] | None, user: str | None) -> str: ...

    def parse_jobs_list_output(self, exit_code: int, stdout: str, stderr: str) -> list[QJob]: ...

    def get_cancel_cmd(self, job: str) -> str: ...


class System(Protocol):
    """What differs from one batch system to another, beyond what qtoolkit knows."""

    io: Language
    by_user: bool
    """Whether to ask the queue for all jobs of the user is no more work than for known ones."""

    def header(self, pool: Pool, nodes: int) -> dict[str, Any]:
        """The options at the head of a script but for name, output and walltime.

        Raises
        ------
        NodeError : the site file does not say what this system must be told
        """
        ...

    def walltime(self, seconds: float) -> dict[str, Any]: ...

    def spread(self, nodes: int, cores: int) -> list[str]:
        """What runs a command once on each node of the allocation, and tells it on which."""
        ...

    def notice(self, seconds: float) -> list[str]:
        """Lines by which the script's process gets SIGTERM so long before its time is over."""
        ...

    def reasons(self, stdout: str) -> Mapping[str, str]:
        """{job number: why it waits}, as far as the listing says."""
        ...

    def last_state(self, job_id: str) -> str:
        """A command that tells how a job ended; empty if there is none."""
        ...

    def read_last_state(self, stdout: str) -> str: ...
