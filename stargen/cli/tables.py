"""Pictures of a campaign as rows of text: the table of jobs, the funnel, nodes and alerts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from stargen.quantities import clock, count, duration, rate

Picture = Mapping[str, Any]

JOB_HEADINGS = ("job", ">in", ">out", ">waiting", ">rate", ">left", "state", "dropped")
FUNNEL_HEADINGS = ("job", ">in", ">out", "what became of the others")

_REASONS = 3
_ALERTS = 3
_LAG = 1_000
"""Records that a sink may be behind before people hear of it: some are always on their way."""


NODE_HEADINGS = (
    *("node", "pool", "state", ">running"),
    *(">CPU %", ">memory GiB", ">GPUs %", "disks filled", "cpu/memory/io waits %"),
)
_PRESSURES = ("cpu", "memory", "io")


class Headline(NamedTuple):
    """The campaign in one line, and how far it is (0 to 1; None if nobody knows)."""

    text: str
    share: float | None


def headline(name: str, picture: Picture) -> Headline:
    """State, time so far, time left, and nodes."""
    parts = [f"{name}: {picture['state']}"]
    if picture["reason"]:
        parts[0] += f" ({picture['reason']})"
    started, eta_s = picture["started_at"], picture["eta_s"]
    running = picture["state"] == "running"
    if started is not None:
        until = picture["now"] if running else picture["at"]
        parts.append(duration(max(0.0, until - started - picture["away_s"])))
    share = None
    if running:
        parts.append(_time_left(picture))
        there = [node for node in picture["nodes"] if node["state"] != "left"]
        ready = [node for node in there if node["state"] == "ready"]
        parts.append(f"{len(ready)} of {len(there)} nodes ready")
        if eta_s is not None and started is not None:
            passed = picture["now"] - started - picture["away_s"]
            share = passed / (passed + eta_s) if passed + eta_s > 0 else None
    return Headline(", ".join(parts), share)


def _time_left(picture: Picture) -> str:
    if picture["eta_s"] is not None:
        return f"about {duration(picture['eta_s'])} left"
    least_s = picture["eta_at_least_s"]
    return f"at least {duration(least_s)} left" if least_s >= 1 else "time left unknown"


def node_row(node: Picture) -> list[str]:
    """A node under `NODE_HEADINGS`: how it stands, and how busy it is as far as that is known."""
    known = [node["name"], node["pool"], node["state"], str(node["running"])]
    load = node.get("load")
    if load is None:
        return [*known, *[""] * (len(NODE_HEADINGS) - len(known))]
    memory = f"{load['memory_used_gib']:.1f} of {load['memory_total_gib']:.0f}"
    gpus = " ".join(f"{row[1]:.0f}" for row in load["gpus"])
    disks = ", ".join(f"{name} {100 * used / total:.0f} %" for name, used, total in load["disks"])
    waits = " ".join(f"{load[f'{name}_pressure']:.0f}" for name in _PRESSURES)
    return [*known, f"{load['cpu_percent']:.0f}", memory, gpus, disks, waits]


def busy(picture: Picture) -> str:
    """The nodes together, in one line; nothing if no sample has come."""
    loads = [load for node in picture["nodes"] if (load := node.get("load")) is not None]
    if not loads:
        return ""
    used, total = (sum(load[f"memory_{what}_gib"] for load in loads) for what in ("used", "total"))
    parts = [
        f"CPU {sum(load['cpu_percent'] for load in loads) / len(loads):.0f} %",
        f"memory {used:.0f} of {total:.0f} GiB",
    ]
    gpus = [row[1] for load in loads for row in load["gpus"]]
    if gpus:
        parts.append(f"{len(gpus)} GPUs {sum(gpus) / len(gpus):.0f} %")
    disks = [
        (used / total, f"{name} of {node['name']}")
        for node in picture["nodes"]
        if node.get("load") is not None
        for name, used, total in node["load"]["disks"]
        if total
    ]
    if disks:
        share, which = max(disks)
        parts.append(f"fullest disk {100 * share:.0f} % ({which})")
    waits = {name: max(load[f"{name}_pressure"] for load in loads) for name in _PRESSURES}
    parts.append("waits for " + ", ".join(f"{name} {most:.0f} %" for name, most in waits.items()))
    return f"nodes: {'; '.join(parts)}"


def job_rows(picture: Picture) -> list[list[str]]:
    """One row for each job, under `JOB_HEADINGS`."""
    running = picture["state"] == "running"
    return [
        [
            job["name"],
            _taken(job),
            count(job["out"]),
            count(job["waiting"]) if job["waiting"] else "-",
            rate(job["rate_now"] if running and job["state"] == "open" else job["rate_mean"]),
            _left(job) if running else "-",
            _state(job, running),
            _losses(job, _REASONS),
        ]
        for job in picture["jobs"]
    ]


def funnel_rows(picture: Picture) -> list[list[str]]:
    """What went in, what came out and why the rest did not, under `FUNNEL_HEADINGS`."""
    return [
        [job["name"], count(job["in"]), count(job["out"]), _losses(job, None) or _others(job)]
        for job in picture["jobs"]
    ]


def notes(picture: Picture) -> Iterator[str]:
    """What a person should know beside the table of jobs."""
    for job in picture["jobs"]:
        if job["held"]:
            yield f"{job['name']} is held: {job['held']}"
    for node in picture["nodes"]:
        if node["state"] not in ("ready", "left"):
            yield f"node {node['name']} is {node['state']}: {node['reason']}"
    for sink in picture.get("sinks", ()):
        if sink["problem"]:
            yield f"{sink['url']}: {sink['problem']}"
        elif sink["missing"] > (_LAG if picture["state"] == "running" else 0):
            yield f"{sink['url']}: {count(sink['missing'])} records behind"
    if picture.get("journal", {}).get("full"):
        yield "the journal's disk is full: nothing is sent until there is room"
    for alert in picture["alerts"][-_ALERTS:]:
        yield f"{clock(alert['at'])} {alert['text']}"


def allocation_lines(picture: Picture) -> Iterator[str]:
    """How each batch pool stands, in a line; what waits or was refused, and why."""
    pools: dict[str, list[Mapping[str, Any]]] = {}
    for each in picture.get("allocations", ()):
        pools.setdefault(each["pool"], []).append(each)
    for pool, its in pools.items():
        states = Counter(each["state"] for each in its)
        yield f"pool {pool}: " + ", ".join(f"{n} {state}" for state, n in states.items())
        for each in its:
            if each["state"] in ("queued", "refused") and each["reason"]:
                reason = each["reason"].replace("\n", "\n    ")
                job = f" (job {each['job_id']})" if each["job_id"] else ""
                yield f"  {each['name']}{job} {each['state']}: {reason}"


def failure_lines(groups: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Groups of like failures in words, each with its last message and the end of its output."""
    for group in groups:
        verdicts = ", ".join(f"{verdict} {n}" for verdict, n in group["verdicts"].items())
        yield (
            f"{group['job']}: {count(group['count'])} x {group['failure']} on {group['node']},"
            f" {clock(group['first_at'])} to {clock(group['last_at'])}; then {verdicts}"
        )
        yield f"    {group['last_task']}: {group['message']}"
        for line in group["detail"].splitlines():
            yield f"    | {line}"


def _taken(job: Mapping[str, Any]) -> str:
    if job["total"] is None or job["state"] != "open":
        return count(job["in"])
    return f"{count(job['in'])}/{count(job['total'])}"


def _left(job: Mapping[str, Any]) -> str:
    if job["state"] != "open":
        return "-"
    return "?" if job["eta_s"] is None else duration(job["eta_s"])


def _state(job: Mapping[str, Any], running: bool) -> str:
    if job["state"] != "open":
        return job["state"]
    if job["tasks"]["running"] and running:
        return f"{count(job['tasks']['running'])} running"
    return "waiting" if running else "open"


def _losses(job: Mapping[str, Any], most: int | None) -> str:
    """Reasons of drops with their counts, the commonest first."""
    reasons = [(reason or "no reason", n) for reason, n in job["dropped"].items()]
    shown = reasons if most is None else reasons[:most]
    parts = [f"{reason} {count(n)}" for reason, n in shown]
    if len(reasons) > len(shown):
        parts.append(f"others {count(sum(n for _, n in reasons[len(shown) :]))}")
    if job["quarantined"]:
        parts.append(f"quarantined {count(job['quarantined'])}")
    return ", ".join(parts)


def _others(job: Mapping[str, Any]) -> str:
    lost = job["in"] - job["out"]
    decided = job["shape"] == "select" and job["state"] != "open" and lost > 0
    return f"not selected {count(lost)}" if decided else ""
