"""`stargen db`: look into a result database."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from stargen.cli.places import Campaign, find_folder
from stargen.cli.words import AsJson, show_json, show_table
from stargen.errors import UserError
from stargen.quantities import count

if TYPE_CHECKING:
    import sqlalchemy as sa
    from sqlalchemy.engine import URL

    from stargen.crystal import Candidate, Scalar
    from stargen_database.queries import Found

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,  # that of `stargen` completes it
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Query and export a result database.",
)

Database = Annotated[
    str | None,
    typer.Option(
        "--database", "-d", metavar="URL", help="sqlite:///file.db, or postgresql+psycopg://..."
    ),
]
Filter = Annotated[
    str | None,
    typer.Argument(
        metavar="FILTER",
        help="""OPTIMADE filter: 'elements HAS ALL "Li","O" AND e_above_hull < 0.1'.""",
        show_default=False,
    ),
]
OrderBy = Annotated[
    str | None,
    typer.Option("--order-by", help="Smallest of this property first; -NAME: largest first."),
]
CandidateId = Annotated[
    str, typer.Argument(metavar="ID", help="Its birth name, such as generate/17.")
]
_ALWAYS = ("formula", "n_atoms", "spacegroup", "e_above_hull")


@app.command()
def query(
    expression: Filter = None,
    database: Database = None,
    campaign: Campaign = None,
    order_by: OrderBy = None,
    limit: Annotated[int, typer.Option(help="At most so many; 0 for all.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the materials that match a filter."""
    from stargen_database import queries

    with _connected(database, campaign) as connection:
        parsed = queries.parse_filter(connection, expression)
        rows = list(
            queries.find(connection, parsed, order_by=order_by, limit=limit if limit > 0 else None)
        )
        total = queries.count(connection, parsed)
    if as_json:
        show_json({"total": total, "materials": [row.plain() for row in rows]})
        return
    asked = sorted(parsed.names) if parsed else []
    _show_rows(rows, [*asked, *([order_by.lstrip("-")] if order_by else [])])
    typer.echo(f"{count(len(rows))} of {count(total)} materials")
    references = {row.value("hull_reference") for row in rows if row.value("e_above_hull")}
    for reference in sorted(str(one) for one in references - {None}):
        typer.echo(f"e_above_hull is above: {reference}")


@app.command()
def show(
    candidate_id: CandidateId,
    database: Database = None,
    campaign: Campaign = None,
    as_json: AsJson = False,
) -> None:
    """Show all that is known of one material, its cell, atoms and provenance included."""
    pairs = _one(candidate_id, database, campaign)
    if as_json:
        show_json([_whole(found, candidate) for found, candidate in pairs])
        return
    for found, candidate in pairs:
        for name, value in found.plain().items():
            typer.echo(f"{name:28} {_cell(value)}")
        typer.echo(str(candidate.crystal.to_pymatgen()))
        for step in candidate.provenance:
            seed = f" seed {step.seed}" if step.seed is not None else ""
            typer.echo(f"{step.job}: {step.calculator} {step.version} {step.params_hash}{seed}")
            for correction in step.note.get("corrections", ()):
                typer.echo(f"    corrected {_correction(correction)}")


@app.command()
def plot(
    kind: Annotated[Literal["bands", "dos"], typer.Argument(metavar="bands|dos")],
    candidate_id: CandidateId,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A .png, .svg or .pdf; named by the ID if left out."),
    ] = None,
    window: Annotated[
        tuple[float, float], typer.Option(help="Energies from, to; eV.", metavar="FROM TO")
    ] = (-6.0, 8.0),
    database: Database = None,
    campaign: Campaign = None,
) -> None:
    """Draw the band structure or the density of states of a material that DFT has computed."""
    from stargen_database import exports, plots

    found, candidate = _one(candidate_id, database, campaign)[0]
    path = output or Path(f"{exports.file_stem(found)}-{kind}.png")
    plots.save(plots.draw(kind, found, candidate, window), path)
    typer.echo(f"{kind} of {found.id} ({found.formula}) in {path}")


@app.command()
def unpack(
    candidate_id: CandidateId,
    folder: Annotated[
        Path | None, typer.Argument(metavar="FOLDER", help="Where to; named by the ID if left out.")
    ] = None,
    database: Database = None,
    campaign: Campaign = None,
) -> None:
    """Write all that is kept of a material into a folder: structure, numbers, arrays, files."""
    from stargen_database import exports, unpacking

    pair = _one(candidate_id, database, campaign)[0]
    target = folder or Path(exports.file_stem(pair[0]))
    for name in unpacking.unpack(pair, target):
        typer.echo(target / name)


@app.command()
def stats(database: Database = None, campaign: Campaign = None, as_json: AsJson = False) -> None:
    """Show how many materials there are, where they ended and why, and the ranges of numbers."""
    from stargen_database import queries

    with _connected(database, campaign) as connection:
        found = queries.statistics(connection)
    if as_json:
        show_json(found)
        return
    for each in found:
        standing = ", ".join(f"{count(n)} {status}" for status, n in each["status"].items())
        typer.secho(f"{each['campaign']}: {count(each['materials'])} materials", bold=True)
        typer.echo(f"{standing}; as of {each['updated']}\n")
        names = ("came_out", "dropped", "quarantined")
        show_table(
            ["job", ">came out", ">dropped", ">quarantined"],
            [[row["job"], *(count(row[name]) for name in names)] for row in each["jobs"]],
        )
        typer.echo()
        show_table(
            [">n", "job", "step", "reason", "for example"],
            [
                [count(row["n"]), row["job"], row["step"], row["reason"], row["example_id"]]
                for row in each["reasons"]
            ],
        )
        typer.echo()
        show_table(
            ["property", ">n", ">least", ">mean", ">most"],
            [
                [name, count(row["n"]), *(_cell(row[part]) for part in ("least", "mean", "most"))]
                for name, row in each["ranges"].items()
            ],
        )
        elements = ", ".join(f"{el} {count(n)}" for el, n in each["elements"].items())
        typer.echo(f"\nelements: {elements}")


@app.command()
def export(
    expression: Filter = None,
    form: Annotated[
        Literal["cif", "extxyz", "json", "csv"], typer.Option("--format", help="What to write.")
    ] = "json",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="File; for cif also a folder, one file each. Else: printed."
        ),
    ] = None,
    database: Database = None,
    campaign: Campaign = None,
    order_by: OrderBy = None,
    limit: Annotated[int, typer.Option(help="At most so many; 0 for all.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what was written as JSON.")
    ] = False,
) -> None:
    """Write the materials that match a filter: structures with properties, or a table."""
    from stargen_database import exports, queries

    with _connected(database, campaign) as connection:
        parsed = queries.parse_filter(connection, expression)
        pairs = queries.candidates(
            connection, parsed, order_by=order_by, limit=limit if limit > 0 else None
        )
        if output is None:
            exports.FORMATS[form](pairs, sys.stdout, queries.property_names(connection))
            return
        if form == "cif" and (output.is_dir() or not output.suffix):
            written = _write_folder(output, exports.cif_files(pairs))
        else:
            names = queries.property_names(connection)
            written = _write_file(output, exports.FORMATS[form], pairs, names)
    if as_json:
        show_json({"written": written, "to": str(output)})
    else:
        typer.echo(f"{count(written)} materials in {output}")


def _write_file(path: Path, write: Any, pairs: Any, names: Sequence[str]) -> int:
    """Whole or not at all: written beside, then renamed."""
    beside = path.with_name(f".{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with beside.open("w", encoding="utf-8") as file:
            written = write(pairs, file, names)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return written


def _write_folder(folder: Path, files: Iterator[tuple[str, str]]) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    written = 0
    for name, text in files:
        (folder / name).write_text(text, "utf-8")
        written += 1
    return written


@contextmanager
def _connected(database: str | None, campaign: str | None) -> Generator[sa.Connection]:
    from stargen_database.engines import explained, open_reader

    url = _locate(database, campaign)
    engine = open_reader(url)
    try:
        with explained(url), engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _one(
    candidate_id: str, database: str | None, campaign: str | None
) -> list[tuple[Found, Candidate]]:
    """The material of that id; several if several campaigns of the database have one."""
    from stargen_database import queries

    with _connected(database, campaign) as connection:
        parsed = queries.parse_filter(connection, f"id = {_quoted(candidate_id)}")
        pairs = list(queries.candidates(connection, parsed))
    if not pairs:
        raise UserError(
            f"there is no material {candidate_id}", hint="`stargen db query` lists them"
        )
    return pairs


def _locate(database: str | None, campaign: str | None) -> URL:
    """The database that is meant; a relative file lies beside the campaign file."""
    from stargen_database.engines import parse_url, sqlite_file

    if database is not None:
        return parse_url(database)
    if campaign is not None and Path(campaign).suffix == ".toml" and Path(campaign).is_file():
        file, base = Path(campaign), Path(campaign).parent
    else:
        folder = find_folder(campaign)
        file, base = folder.campaign_file, folder.origin or Path()
    try:
        url = tomllib.loads(file.read_text("utf-8"))["campaign"].get("database")
    except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
        raise UserError(f"cannot be read: {error}", file=file) from error
    if url is None:
        raise UserError(
            "the campaign names no database", file=file, hint='database = "sqlite:///results.db"'
        )
    parsed = parse_url(url)
    path = sqlite_file(parsed)
    return parsed if path is None else parsed.set(database=str(base / path))


def _show_rows(rows: Sequence[Found], more: Sequence[str]) -> None:
    names = list(dict.fromkeys([*_ALWAYS, *more, "status"]))
    names = [name for name in names if any(row.value(name) is not None for row in rows)]
    if len({row.campaign for row in rows}) > 1:
        names.insert(0, "campaign")
    show_table(
        ["id", *(f">{name}" if _is_number(rows, name) else name for name in names)],
        [[row.id, *(_cell(row.value(name)) for name in names)] for row in rows],
    )


def _is_number(rows: Sequence[Found], name: str) -> bool:
    return all(isinstance(row.value(name), int | float | None) for row in rows)


def _cell(value: Scalar) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).upper()
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _correction(told: Mapping[str, Any]) -> str:
    """A fault and what was changed for it, from what to what."""
    changes = (
        f"{name} {'unset' if old is None else old} -> {'unset' if new is None else new}"
        for name, (old, new) in told["changes"].items()
    )
    return f"{told['fault']}: {', '.join(changes) or 'tried again'}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _whole(found: Found, candidate: Any) -> dict[str, Any]:
    crystal = candidate.crystal
    return {
        **found.plain(),
        "lattice": crystal.lattice.tolist(),
        "frac_coords": crystal.frac_coords.tolist(),
        "species": crystal.symbols,
        "provenance": [
            {
                "job": step.job,
                "calculator": step.calculator,
                "version": step.version,
                "params_hash": step.params_hash,
                "seed": step.seed,
                "note": dict(step.note),
            }
            for step in candidate.provenance
        ],
    }
