"""The pulse of a campaign in two lines: how it stands, how fast it is, what is wrong."""

from __future__ import annotations

from stargen.quantities import clock, count, duration, rate
from stargen.status import Status
from stargen.status_forms import eta_s
from stargen.tui.allocations import shortest_left_s
from stargen.tui.desk import Desk
from stargen.tui.funnel import stages
from stargen.tui.ink import Line, fitted, joined, spread, width_of

_SHORT_S = 600.0

STATE_STYLES = {
    "new": "dim",
    "running": "good",
    "done": "accent",
    "held": "bad",
    "interrupted": "warn",
    "cancelled": "warn",
    "stopped": "warn",
}


def pulse(desk: Desk, width: int) -> list[Line]:
    """Both lines; what matters least goes first where there is no room."""
    status = desk.status
    left: Line = [(" ", ""), (desk.name, "title"), ("  ", ""), *_state(desk)]
    first = [_progress(status, desk.now), _time_left(status, desk), _nodes(status, desk)]
    second = [
        _pace(status, desk.now),
        _use(desk),
        _count("failed", sum(job.failed for job in status.jobs), "bad"),
        _count("quarantined", sum(job.quarantined for job in status.jobs), "warn"),
        _count("retrying", sum(job.unfinished - job.running for job in status.jobs), "warn"),
        _held(status),
        _journal(desk),
        _allocation(desk),
    ]
    return [
        spread(left, [*_that_fit(first, width - width_of(left) - 2), (" ", "")], width),
        fitted([(" ", ""), *_that_fit(second, width - 2)], width),
    ]


def _that_fit(parts: list[Line], width: int) -> Line:
    kept = [part for part in parts if part]
    while kept and width_of(joined(kept, "   ")) > width:
        kept.pop()
    return joined(kept, "   ")


def _state(desk: Desk) -> Line:
    state = desk.feed.state
    style = STATE_STYLES.get(state, "")
    shown: Line = [("● ", style), (state, style)]
    if desk.status.reason:
        shown.append((f" {desk.status.reason}", "dim"))
    return shown


def _progress(status: Status, now: float) -> Line:
    done, total = 0.0, 0.0
    for stage in stages(status, now):
        done += stage.job.taken
        total += stage.job.taken / stage.share if stage.share else float("nan")
    if not done:
        return []
    if total != total or total < done:
        return [(count(done), "bold"), (" done", "dim")]
    return [
        (f"{100 * done / total:.0f} %", "bold"),
        (f" {count(done)}/{count(total)}", "dim"),
    ]


def _time_left(status: Status, desk: Desk) -> Line:
    if status.started_at is None:
        return []
    passed = ("for ", "dim"), (duration(max(0.0, desk.now - status.started_at)), "")
    if desk.feed.state != "running":
        return [*passed]
    left = eta_s(status, desk.now)
    return [*passed, ("  left ", "dim"), ("?" if left is None else duration(left), "bold")]


def _nodes(status: Status, desk: Desk) -> Line:
    if not status.nodes:
        return []
    lost = sum(node.state in ("lost", "suspended") for node in status.nodes.values())
    ready = sum(node.state == "ready" for node in status.nodes.values())
    shown: Line = [("nodes ", "dim"), (count(ready), "good" if ready else "bad"), (" up", "dim")]
    if lost:
        shown += [(" ", ""), (count(lost), "bad"), (" lost", "dim")]
    if desk.live is not None and desk.live.unlinked:
        shown += [(f" {len(desk.live.unlinked)} without a link", "warn")]
    return shown


def _pace(status: Status, now: float) -> Line:
    at_present = sum(job.meter.now(now) for job in status.jobs if job.closed is None)
    begun = [job.meter.since for job in status.jobs if job.meter.since is not None]
    last = max((job.meter.last_at for job in status.jobs), default=0.0)
    total = sum(job.meter.total for job in status.jobs)
    mean = total / max(1.0, last - min(begun)) if begun else 0.0
    return [(rate(at_present), "bold"), (f" now {rate(mean)} mean", "dim")]


def _use(desk: Desk) -> Line:
    if desk.live is not None and desk.usage.all:
        reading = desk.usage.all[-1]
        shown: Line = [("cpu ", "dim"), (f"{reading.cpu:.0f} %", "")]
        return (
            shown
            if reading.gpu is None
            else [*shown, ("  gpu ", "dim"), (f"{reading.gpu:.0f} %", "")]
        )
    ready = [node for node in desk.status.nodes.values() if node.state == "ready"]
    busy = sum(node.running > 0 for node in ready)
    return [("busy nodes ", "dim"), (f"{100 * busy / len(ready):.0f} %", "")] if ready else []


def _count(name: str, number: int, style: str) -> Line:
    return [(count(number), style), (f" {name}", "dim")] if number else []


def _held(status: Status) -> Line:
    held = [job.name for job in status.jobs if job.held]
    return [("held ", "bad"), (", ".join(held), "bad")] if held else []


def _journal(desk: Desk) -> Line:
    feed = desk.feed
    if desk.live is not None:
        if desk.live.journal.get("full"):
            return [("the journal's disk is full", "bad")]
        return [(f"lag {count(desk.live.behind)}", "dim")] if desk.live.behind else []
    if feed.is_past or feed.state not in ("running", "interrupted"):
        return []
    return [("no master; the journal speaks", "warn")]


def _allocation(desk: Desk) -> Line:
    left = shortest_left_s(desk.status, desk.now)
    if left is None:
        return []
    return [
        ("allocation ", "dim"),
        (duration(left), "warn" if left < _SHORT_S else ""),
        (" left", "dim"),
    ]


def moment(desk: Desk) -> Line:
    """Where in time the viewer is."""
    feed = desk.feed
    if feed.problem is not None:
        return [(f" {feed.problem} ", "past")]
    if not feed.read_all:
        return [(f" reading the journal: {count(feed.records_read)} records ", "past")]
    if not feed.is_past:
        return [(f"{clock(feed.now)} ", "dim")] if feed.now else []
    back = max(0.0, desk.feed.live.status.at - feed.now)
    play = "▶ " if feed.playing else ""
    return [
        (f" {play}{clock(feed.now)}, {duration(back)} ago, step {duration(feed.speed)} ", "past")
    ]
