"""IBM Spectrum LSF for qtoolkit, which does not know it: scripts, commands, and what they print.

Source: LSF 10.1 command reference, bsub, bjobs, bkill.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

from qtoolkit.core.data_objects import (
    CancelResult,
    CancelStatus,
    QJob,
    QJobInfo,
    QResources,
    QState,
    SubmissionResult,
    SubmissionStatus,
)
from qtoolkit.core.exceptions import CommandFailedError, OutputParsingError
from qtoolkit.io.base import BaseSchedulerIO

_STATES: dict[str, Any] = {
    "PEND": QState.QUEUED,
    "PROV": QState.QUEUED,
    "WAIT": QState.QUEUED,
    "PSUSP": QState.QUEUED_HELD,
    "RUN": QState.RUNNING,
    "USUSP": QState.SUSPENDED,
    "SSUSP": QState.SUSPENDED,
    "DONE": QState.DONE,
    "EXIT": QState.FAILED,
    "UNKWN": QState.UNDETERMINED,
    "ZOMBI": QState.FAILED,
}
"""What bjobs calls the states of jobs."""

_NONE_FOUND = re.compile(r"No (unfinished )?job found|is not found")


class LsfIO(BaseSchedulerIO):
    """The sans-I/O face of LSF."""

    header_template = "\n".join(
        [
            "#BSUB -q $${queue}",
            "#BSUB -P $${project}",
            "#BSUB -J $${job_name}",
            "#BSUB -n $${cores}",
            '#BSUB -R "$${placement}"',
            '#BSUB -gpu "$${gpus}"',
            "#BSUB -M $${memory}",
            "#BSUB -W $${minutes}",
            "#BSUB -o $${qout_path}",
            "$${qverbatim}",
        ]
    )
    SUBMIT_CMD = "bsub"
    CANCEL_CMD = "bkill"
    job_id_regex = r"^\d+$"
    fields: ClassVar = ("jobid", "stat", "job_name", "pend_reason")
    _separator = "|"

    def get_submit_cmd(self, script_file: object = "submit.script") -> str:
        """Return the command line; bsub reads the script from its standard input."""
        return f"bsub < {script_file}"

    def parse_submit_output(
        self, exit_code: int, stdout: str | bytes, stderr: str | bytes
    ) -> SubmissionResult:
        """Read ``Job <123> is submitted to queue <normal>`` and the like."""
        out, said = _text(stdout), _text(stderr)
        found = re.search(r"Job <(\d+)> is submitted", out)
        if exit_code:
            status = SubmissionStatus("FAILED")
        else:
            status = SubmissionStatus("SUCCESSFUL" if found else "JOB_ID_UNKNOWN")
        job_id = found[1] if found and not exit_code else None
        return SubmissionResult(
            job_id=job_id, exit_code=exit_code, stdout=out, stderr=said, status=status
        )

    def parse_cancel_output(
        self, exit_code: int, stdout: str | bytes, stderr: str | bytes
    ) -> CancelResult:
        """Read ``Job <123> is being terminated``."""
        found = re.search(r"Job <(\d+)> is being terminated", _text(stdout))
        status = CancelStatus("SUCCESSFUL" if found else "FAILED")
        return CancelResult(
            job_id=found[1] if found else None,
            exit_code=exit_code,
            stdout=_text(stdout),
            stderr=_text(stderr),
            status=status,
        )

    def _get_job_cmd(self, job_id: str) -> str:
        return f"{self._query()} -a {job_id}"

    def parse_job_output(
        self,
        exit_code: int,
        stdout: str | bytes,
        stderr: str | bytes,
        job_id: str | None = None,
    ) -> QJob | None:
        """Read the one line of a job."""
        jobs = self.parse_jobs_list_output(exit_code, stdout, stderr)
        return jobs[0] if jobs else None

    def _get_jobs_list_cmd(self, job_ids: list[str] | None = None, user: str | None = None) -> str:
        command = self._query()
        if user:
            command += f" -u {user}"
        return " ".join([command, *(job_ids or ())])

    def _query(self) -> str:
        return f"bjobs -noheader -o \"{' '.join(self.fields)} delimiter='{self._separator}'\""

    def parse_jobs_list_output(
        self,
        exit_code: int,
        stdout: str | bytes,
        stderr: str | bytes,
        job_ids: list[str] | None = None,
    ) -> list[QJob]:
        """Read one line for each job; that there is none is told on standard error."""
        said = _text(stderr)
        if exit_code and not _NONE_FOUND.search(said):
            raise CommandFailedError(f"command bjobs failed: {said}")
        jobs = [self._job(line) for line in _text(stdout).splitlines() if self._separator in line]
        return [job for job in jobs if job_ids is None or job.job_id in job_ids]

    def _job(self, line: str) -> QJob:
        number, state, name, *_ = line.split(self._separator)
        if state.strip() not in _STATES:
            raise OutputParsingError(f"unknown state {state} of job {number}")
        job = QJob(name=name.strip(), job_id=number.strip(), info=QJobInfo())
        job.state = _STATES[state.strip()]
        return job

    def _convert_qresources(self, resources: QResources) -> dict[str, object]:
        raise NotImplementedError  # Star-gen gives the header's own options


def _text(said: str | bytes) -> str:
    return said.decode(errors="replace") if isinstance(said, bytes) else said
