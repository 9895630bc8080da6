"""`stargen journal`: what a campaign remembers, and whether it is sound."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stargen.cli.places import Campaign, find_folder
from stargen.cli.words import AsJson, show_json, show_table
from stargen.quantities import count

if TYPE_CHECKING:
    from stargen.journal import Report

app = typer.Typer(no_args_is_help=True, help="Read and verify a campaign's journal.")


@app.command()
def verify(campaign: Campaign = None, as_json: AsJson = False) -> None:
    """Check every record, payload and snapshot; a master may be running meanwhile."""
    from dataclasses import asdict

    from stargen.journal import verify as verify_journal

    folder = find_folder(campaign).journal
    report = verify_journal(folder)
    if as_json:
        show_json({"ok": report.ok, **asdict(report)})
    else:
        _show_report(report, folder)
    if not report.ok:
        raise typer.Exit(1)


@app.command()
def show(
    campaign: Campaign = None,
    after: Annotated[int, typer.Option(help="Leave out the records up to this one.")] = 0,
    last: Annotated[int | None, typer.Option(help="Only so many from the end.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Print the records, oldest first."""
    import json
    from collections import deque
    from itertools import chain
    from typing import Any

    from stargen.journal import read_records
    from stargen.records import decode
    from stargen.typed import plain

    rows = read_records(find_folder(campaign).journal, after)
    for position, body in rows if last is None else chain(deque(rows, maxlen=last)):
        record: Any = decode(body)
        fields: dict[str, Any] = plain(record)
        kind, at = type(record).__name__, fields.pop("at")
        if as_json:
            typer.echo(json.dumps({"position": position, "kind": kind, "at": at, **fields}))
        else:
            text = ", ".join(f"{name}={_short(value)}" for name, value in fields.items())
            typer.echo(f"{position:>9} {_clock(at)} {kind} {text}")


def _show_report(report: Report, folder: Path) -> None:
    show_table(
        ["segment", ">records", ">payloads", ">payload bytes", ">bytes", ">epoch", "version"],
        [
            [
                segment.name,
                count(segment.records),
                count(segment.payloads),
                count(segment.payload_bytes),
                count(segment.bytes),
                str(segment.epoch),
                segment.version,
            ]
            for segment in report.segments
        ],
    )
    for snapshot in report.snapshots:
        where = "cannot be read" if snapshot.position is None else f"at {count(snapshot.position)}"
        typer.echo(f"{snapshot.name}: snapshot {where}, {count(snapshot.bytes)} bytes")
    for segment in report.segments:
        if segment.unfinished:
            typer.echo(f"{segment.name}: {segment.unfinished} bytes at the end are half written")
    for damage in report.damage:
        typer.secho(f"{damage.file} at byte {damage.offset}: {damage.problem}", fg="red")
    verdict = "sound" if report.ok else "DAMAGED"
    typer.echo(f"{folder}: {verdict}, {count(report.records)} records")


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def _clock(at: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
