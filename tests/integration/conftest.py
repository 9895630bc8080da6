"""What the kill tests have to tell when all is over."""

from __future__ import annotations

from collections import Counter

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Who was killed at which point how often, and by which seed."""
    reports = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        if getattr(report, "when", "") == "call"
    ]
    told = [row for report in reports for row in report.user_properties]
    lines = [str(value) for name, value in told if name == "killed"]
    if not lines:
        return
    points = Counter(" ".join(line.split()[:2]) for line in lines if not line.startswith("seed"))
    terminalreporter.section("kill -9")
    for point, hits in points.items():
        terminalreporter.write_line(f"{point:28} {hits:3} times")
    for line in lines:
        if line.startswith("seed"):
            terminalreporter.write_line(line)
    handed_on = sum(value for name, value in told if name == "handed on")
    terminalreporter.write_line(
        f"{handed_on} long tasks were begun under one master and finished under another"
    )
