"""What a master begins with: the files that people wrote, and what the journal remembers."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from os import urandom
from pathlib import Path

from stargen.calculators.registry import Registry
from stargen.codec import unpack
from stargen.config import Settings, batch_node, promised_nodes
from stargen.errors import UserError
from stargen.folding import fold
from stargen.journal import Recovered
from stargen.machine import this_machine
from stargen.records import Record, decode
from stargen.scheduling.allocations import BatchPool
from stargen.scheduling.changes import compatible
from stargen.scheduling.organizer import organize
from stargen.scheduling.parser import draft
from stargen.scheduling.plan import Plan
from stargen.scheduling.scheduler import Scheduler
from stargen.scheduling.standing import Patience
from stargen.status import Status
from stargen.status_forms import thaw
from stargen.store import CampaignFolder


@dataclass(frozen=True, slots=True)
class Restored:
    """A campaign as it stands.

    Parameters
    ----------
    campaign_id : drawn when the journal was begun
    """

    status: Status
    scheduler: Scheduler
    campaign_id: str


class Restoring:
    """Reads the campaign file, which is checked at once, and the journal.

    Raises
    ------
    UserError : the file cannot be read, or run
    """

    def __init__(
        self, campaign_file: Path, folder: CampaignFolder, settings: Settings, registry: Registry
    ) -> None:
        self._campaign_file = campaign_file
        self._folder = folder
        self._settings = settings
        self._registry = registry
        self._written = draft(_read(campaign_file), campaign_file)
        self._fresh = self._plan(())

    def _plan(self, first: Sequence[str]) -> Plan:
        return organize(
            self._written,
            self._registry.calculator,
            folder=self._campaign_file.resolve().parent,
            offers=promised_nodes(self._settings, this_machine()),
            first=first,
        )

    def restore(self, recovered: Recovered) -> Restored:
        """The state that the journal tells of, under the campaign file as it is now."""
        status, snapshot = Status(), None
        if recovered.snapshot is not None:
            snapshot, picture = unpack(recovered.snapshot)
            status = thaw(picture)
        tail: list[Record] = []
        for _, body in recovered.records:
            tail.append(decode(body))
            fold(status, tail[-1])
        plan = self._adopt(status) if status.jobs else self._fresh
        self._folder.keep_campaign_file(plan.text)
        self._folder.keep_origin(self._campaign_file.parent)
        patience = Patience(lost_after_s=self._settings.master.lost_after_s)
        pools = batch_pools(self._settings)
        if snapshot is None:
            scheduler = Scheduler(plan, patience=patience, pools=pools)
        else:
            scheduler = Scheduler.restore(plan, snapshot, patience=patience, pools=pools)
        for record in tail:
            scheduler.apply(record)
        return Restored(status, scheduler, status.campaign_id or self._begin())

    def _adopt(self, status: Status) -> Plan:
        """The plan of the file as it is now, if it goes with what has been done so far."""
        begun = [job.name for job in status.jobs if job.taken or job.open or job.out]
        compatible(_read(self._folder.campaign_file), self._written, begun)
        return self._plan([job.name for job in status.jobs])

    def _begin(self) -> str:
        """A new campaign's id; what agents of one kept that had its journal here is nobody's."""
        for state in self._folder.run.glob("agent-*/"):
            shutil.rmtree(state, ignore_errors=True)
        return urandom(8).hex()


def batch_pools(settings: Settings) -> list[BatchPool]:
    """The pools whose nodes batch systems give, as the scheduler sees them."""
    return [
        BatchPool(
            name=name,
            node=batch_node(pool.limits),
            nodes=pool.batch.nodes,
            max_nodes=pool.batch.max_nodes,
            max_queued=pool.batch.max_queued,
            ladder_s=pool.batch.ladder_s,
            worth_s=pool.batch.worth_s,
            idle_s=pool.batch.idle_s,
            margin_s=pool.batch.margin_s,
        )
        for name, pool in settings.pool.items()
        if pool.is_batch
    ]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot be read: {error}", file=path) from error
