"""Job parser: the text of a campaign file becomes a `Campaign`, or errors that say where and what.

What only the graph or a calculator knows is checked by the organizer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, cast

from stargen.elements import ATOMIC_NUMBERS
from stargen.errors import CampaignError, UserError
from stargen.model import Campaign, Chemistry, JobSpec, Request, Resources, SelectSpec, StepSpec
from stargen.scheduling.campaign_file import CampaignTable, JobTable, ResourcesTable, VariantTable
from stargen.toml import Document, KeyPath, key_text
from stargen.typed import Reader, near, raise_problems, unknown_hint

T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Draft:
    """A campaign file as far as it could be read, with everything that is wrong with it.

    Parameters
    ----------
    campaign : with those jobs that could be read
    paths : where in the document each of them stands
    broken : names of the jobs that could not be read
    """

    document: Document
    campaign: Campaign
    paths: tuple[KeyPath, ...]
    broken: frozenset[str]
    problems: tuple[UserError, ...]


def parse(text: str, file: str | Path | None = None) -> Campaign:
    """The campaign in a text.

    Raises
    ------
    CampaignError, Problems : with file, line, key, what was found and what to write
    """
    made = draft(text, file)
    raise_problems(made.problems)
    return made.campaign


def draft(text: str, file: str | Path | None = None) -> Draft:
    """As much of a campaign as can be read, so that all problems can be shown at once.

    Raises
    ------
    CampaignError : only if the text is not TOML at all
    """
    return _Parser(Document(text, file, CampaignError)).draft()


class _Parser:
    """Reads the tables of one document."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._reader = Reader(document)

    def draft(self) -> Draft:
        self._check_outline()
        table = self._campaign()
        jobs: list[JobSpec] = []
        paths: list[KeyPath] = []
        broken: set[str] = set()
        rows = self._document.values.get("job")
        for index, row in enumerate(cast("list[Any]", rows) if isinstance(rows, list) else ()):
            path = ("job", index)
            job = self._job(row, path)
            if job is not None:
                jobs.append(job)
                paths.append(path)
            elif isinstance(row, dict):
                broken.add(str(cast("dict[str, Any]", row).get("name")))
        self._check_names(jobs, paths)
        campaign = Campaign(
            name=table.name,
            jobs=tuple(jobs),
            seed=table.seed,
            database=table.database,
            chemistry=table.chemistry,
            stop=table.stop,
            file=None if self._document.file is None else str(self._document.file),
        )
        problems = tuple(self._reader.problems)
        return Draft(self._document, campaign, tuple(paths), frozenset(broken), problems)

    def _check_outline(self) -> None:
        """What concerns the file as a whole; its tables are read one by one."""
        values = self._document.values
        for key in values:
            if key not in ("campaign", "job"):
                self._reader.note((key,), "unknown table", unknown_hint(key, ["campaign", "job"]))
        if "campaign" not in values:
            self._reader.note((), "the table [campaign] is missing", "add [campaign] with a name")
        if not isinstance(values.get("job", []), list):
            self._reader.note(("job",), "found a table, expected a list", "write [[job]]")
        elif not values.get("job"):
            self._reader.note((), "there is no job", "add a table [[job]]")

    def _campaign(self) -> CampaignTable:
        """What holds for all; a stand-in if it cannot be read, so that the jobs are looked at."""
        stand_in = CampaignTable("unreadable")
        table = self._table(CampaignTable, self._document.values.get("campaign"), ("campaign",))
        if table is None:
            return stand_in
        if not _NAME.fullmatch(table.name):
            self._bad_name(table.name, ("campaign", "name"))
        self._check_chemistry(table.chemistry)
        if table.stop is not None:
            self._at_least(1, table.stop, ("campaign", "stop"), "kept", "max_candidates")
            self._at_least(0, table.stop, ("campaign", "stop"), "max_node_hours")
        return table

    def _check_chemistry(self, chemistry: Chemistry) -> None:
        path = ("campaign", "chemistry")
        for key in ("require", "allow", "exclude"):
            for index, symbol in enumerate(getattr(chemistry, key)):
                if symbol not in ATOMIC_NUMBERS:
                    hint = near(symbol.capitalize(), ATOMIC_NUMBERS)
                    self._reader.note((*path, key, index), f'"{symbol}" is no element', hint)
        for symbol in chemistry.require:
            if symbol in chemistry.exclude:
                self._reader.note((*path, "exclude"), f"{symbol} is required and excluded")
        self._at_least(max(1, len(chemistry.require)), chemistry, path, "max_elements")

    def _job(self, row: Any, path: KeyPath) -> JobSpec | None:
        table = self._table(JobTable, row, path)
        if table is None:
            return None
        self._at_least(
            0, table.retries, (*path, "retries"), *(f.name for f in fields(table.retries))
        )
        self._check_select(table, path)
        return JobSpec(
            name=table.name,
            steps=self._steps(table, path),
            inputs=(table.input,) if isinstance(table.input, str) else table.input,
            select=table.select,
            pool=table.pool,
            resources=None if table.resources is None else _request(table.resources),
            retries=table.retries,
            priority=table.priority,
            grain=None if table.grain == "auto" else table.grain,
            target_task_s=table.target_task_s,
            buffer=table.buffer,
            line=self._document.line(path),
        )

    def _steps(self, table: JobTable, path: KeyPath) -> tuple[StepSpec, ...]:
        given = {"use": table.use is not None, "[[job.step]]": bool(table.step)}
        given["select"] = table.select is not None
        ways = [way for way, there in given.items() if there]
        if len(ways) != 1:
            found = f"this has {' and '.join(ways)}" if ways else "this has none of them"
            self._reader.note(path, f"a job has one of use, [[job.step]] and select; {found}")
            return ()
        if table.use is not None:
            return (StepSpec(table.use, table.params),)
        if table.params:
            hint = "a step's parameters stand in its own table"
            self._reader.note((*path, "params"), "params go with `use` only", hint)
        return tuple(self._step(row, (*path, "step", k)) for k, row in enumerate(table.step))

    def _step(self, row: Mapping[str, Any], path: KeyPath) -> StepSpec:
        use = row.get("use")
        if not isinstance(use, str):
            self._reader.note(path, "the step names no calculator", 'add use = "plugin.verb"')
            use = ""
        return StepSpec(use, {key: value for key, value in row.items() if key != "use"})

    def _check_select(self, table: JobTable, path: KeyPath) -> None:
        """A select says something, and nothing twice."""
        select, path = table.select, (*path, "select")
        if select is None:
            return
        self._at_least(1, select, path, "limit", "sample")
        if (select.order_by is None) != (select.limit is None):
            missing = "limit" if select.limit is None else "order_by"
            self._reader.note(path, "order_by and limit go together", f"add {missing} = ...")
        if select.sample is not None and select.limit is not None:
            self._reader.note(path, "has both sample and limit", "make two jobs of it")
        if select.per is not None and select.limit is None and select.sample is None:
            hint = "add order_by and limit, or sample: how many of each"
            self._reader.note((*path, "per"), "per alone selects nothing", hint)
        if select.rolling and select.limit is None:
            self._reader.note((*path, "rolling"), "rolling needs order_by and limit")
        if select == SelectSpec():
            hint = "write where, order_by with limit, or sample"
            self._reader.note(path, "selects nothing", hint)

    def _check_names(self, jobs: list[JobSpec], paths: list[KeyPath]) -> None:
        lines: dict[str, int | None] = {}
        for job, path in zip(jobs, paths, strict=True):
            if not _NAME.fullmatch(job.name):
                self._bad_name(job.name, (*path, "name"))
            if job.name in lines:
                problem = f'the job in line {lines[job.name]} is called "{job.name}" too'
                self._reader.note((*path, "name"), problem)
            lines.setdefault(job.name, job.line)

    def _bad_name(self, name: str, path: KeyPath) -> None:
        hint = "use letters, digits and _ . - and begin with a letter or digit"
        self._reader.note(path, f'"{name}" cannot be a name', hint)

    def _at_least(self, least: int, table: object, path: KeyPath, *keys: str) -> None:
        for key in keys:
            value = getattr(table, key)
            if value is not None and value < least:
                self._reader.note((*path, key), f"is {value}, must be at least {least}")

    def _table(self, cls: type[T], values: Any, path: KeyPath) -> T | None:
        if isinstance(values, dict):
            return self._reader.table(cls, cast("dict[str, Any]", values), path)
        if values is not None:
            self._reader.note(path, "must be a table", f"write [{key_text(path)}]")
        return None


def _request(table: ResourcesTable) -> Request:
    others = (table.or_,) if isinstance(table.or_, VariantTable) else table.or_
    return (_resources(table), *map(_resources, others))


def _resources(table: VariantTable) -> Resources:
    values: dict[str, Any] = {f.name: getattr(table, f.name) for f in fields(VariantTable)}
    values["custom"] = tuple(sorted(table.custom.items()))
    return Resources(**values)
