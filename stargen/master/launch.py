"""Wires a campaign's master from files; the only place that does."""

from __future__ import annotations

import asyncio
import os
import socket
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

from stargen.calculators.registry import Registry
from stargen.clock import SystemClock
from stargen.config import Pool, Settings
from stargen.errors import CampaignBusy, InvariantBroken, JournalLocked, StargenError
from stargen.journal import Journal
from stargen.launchers.base import Launcher, NodeSpec, socket_name
from stargen.machine import ENDS_AT
from stargen.master.arrivals import Arrivals
from stargen.master.carried import CarriedFiles
from stargen.master.comings import Comings
from stargen.master.control import SOCKET_NAME
from stargen.master.definitions import Definitions, job_inputs
from stargen.master.inbox import Inbox
from stargen.master.keeper import NodeKeeper
from stargen.master.kernel import Kernel
from stargen.master.nodes import Nodes
from stargen.master.process import calm_collector, signals_to
from stargen.master.restoring import Restored, Restoring
from stargen.master.running import Outcome, RunningCampaign, Show
from stargen.master.sinks import COMMAND, SinkKeeper, SinkSpec
from stargen.messages import Attach
from stargen.scheduling.events import NodeRemoved
from stargen.scheduling.plan import Plan
from stargen.status import Status
from stargen.store import CampaignFolder
from stargen.transport.greeting import Identity
from stargen.transport.session import MISSED, Limits

if TYPE_CHECKING:
    from stargen.launchers.batch import BatchLauncher
    from stargen.master.allocator import Allocator

Observer = Callable[[str], None]

_HURRY_S = 5.0


def run(
    campaign_file: Path,
    *,
    settings: Settings,
    folder: Path,
    takeover: bool = False,
    requests: Sequence[tuple[str, str]] = (),
    show: Show | None = None,
) -> Outcome:
    """Run a campaign, or go on with it, in this process until it ends.

    SIGINT and SIGTERM once: finish what runs, end the agents, leave the campaign resumable; twice:
    the same without waiting.

    Parameters
    ----------
    folder : the campaign's folder; made if it is not there
    takeover : also from a master on another host, of whom nobody here knows whether it lives
    requests : (action, target) to carry out at the start, as `ControlClient.ask` takes them
    show : told the status four times a second, as `ControlClient.status` gives it

    Raises
    ------
    UserError : bad files, no node to be had; CampaignBusy if another master has the campaign
    JournalError : its memory cannot be read, or written any more
    InvariantBroken, and what else is a bug : with a note where its story lies
    """
    wiring = Wiring(campaign_file, settings=settings, folder=folder, takeover=takeover)
    return asyncio.run(wiring.run(requests=requests, show=show))


class Wiring:
    """Puts one run together.

    Parameters
    ----------
    launcher : one by its name; an installed one if not given
    observer : told named points of the run, for tests that die there
    sink_command : starts a sink's process
    """

    def __init__(
        self,
        campaign_file: Path,
        *,
        settings: Settings,
        folder: Path,
        takeover: bool = False,
        launcher: Callable[[str], Launcher] | None = None,
        observer: Observer = lambda point: None,
        sink_command: Sequence[str] = COMMAND,
    ) -> None:
        self.campaign_file = campaign_file
        self.settings = settings
        self.folder = CampaignFolder(folder)
        self.takeover = takeover
        self._clock = SystemClock()
        self._registry = Registry.installed()
        self._launcher = launcher or self._installed
        self._observer = observer
        self._sink_command = sink_command
        self._kernel: Kernel | None = None
        self._carried: CarriedFiles | None = None

    async def run(
        self, *, requests: Sequence[tuple[str, str]] = (), show: Show | None = None
    ) -> Outcome:
        """See `run`."""
        restoring = Restoring(self.campaign_file, self.folder, self.settings, self._registry)
        self.folder.prepare()
        journal = self._open_journal()
        status, running = Status(), None
        try:
            restored = restoring.restore(journal.recovered)
            status = restored.status
            running = self._assemble(restored, journal, show)
            with signals_to(lambda name: running.stop(name, now=False)):
                async with calm_collector():
                    return await running.run(self._attach(restored.campaign_id), requests)
        except Exception as error:
            raise self._with_story(_first(error), status) from None
        finally:
            with suppress(TimeoutError):  # on a full disk only one in a hurry gives up
                async with asyncio.timeout(_HURRY_S if running and running.hurried else None):
                    await journal.close()
            if running is not None:
                await running.hang_up()
                with suppress(OSError):  # where an agent still listens it is not empty
                    self.folder.socket(SOCKET_NAME).parent.rmdir()

    def _installed(self, name: str) -> Launcher:
        return self._registry.load("launchers", name)()

    # --- the parts --------------------------------------------------------------------------------

    def _open_journal(self) -> Journal:
        try:
            return Journal.open(
                self.folder.journal,
                clock=self._clock,
                on_durable=lambda position: self._master.durable(position),
                on_full=lambda full: self._master.disk_full(full),
                on_error=lambda error: self._master.fail(error),
                takeover=self.takeover,
                observer=self._observer,
            )
        except JournalLocked as error:
            raise CampaignBusy(
                f"{self.folder.root} is held by {error.holder}",
                hint="`stargen status` shows it, `stargen down` ends it; --takeover takes the "
                "campaign from a host that is no more",
            ) from error

    @property
    def _master(self) -> Kernel:
        """The kernel, for callbacks: all of them come later, from the event loop."""
        assert self._kernel is not None
        return self._kernel

    def _assemble(self, restored: Restored, journal: Journal, show: Show | None) -> RunningCampaign:
        scheduler, inbox = restored.scheduler, Inbox()
        plan = scheduler.plan
        carried = self._carried = CarriedFiles(
            plan,
            input_folder=self.campaign_file.parent.resolve(),
            checkpoints=self.folder.checkpoints,
        )
        definitions = Definitions(
            plan,
            self.settings.pool,
            campaign_folder=self.folder.root,
            input_folder=self.campaign_file.parent,
            carried=carried,
        )
        arrivals = Arrivals(journal, scheduler.wants, len(plan.jobs))
        nodes = Nodes(
            self._keepers(restored.campaign_id, inbox, arrivals),
            define=definitions.define,
            carried=carried,
            read=journal.read_all,
            growing=bool(self._batch_pools()),
            observer=self._observer,
        )
        allocator = self._allocator(restored, inbox, arrivals, nodes)
        self._kernel = Kernel(
            scheduler,
            journal,
            inbox,
            status=restored.status,
            clock=self._clock,
            performer=allocator or nodes,
        )
        comings = Comings(
            self.settings.pool,
            nodes,
            lambda pool, host: self._keeper(
                self._spec(pool, host, restored.campaign_id),
                self._launcher(self.settings.pool[pool].launcher),
                inbox,
                arrivals,
            ),
            rid_of=scheduler.is_rid_of,
            removed=lambda name, reason: inbox.put(lambda at: NodeRemoved(at, name, reason)),
            alert=lambda text: self._master.alert(text),
        )
        return RunningCampaign(
            plan,
            self._kernel,
            nodes,
            self._sinks(plan, restored.campaign_id, journal),
            clock=self._clock,
            campaign_id=restored.campaign_id,
            control=self.folder.socket(SOCKET_NAME),
            show=show,
            allocator=allocator,
            comings=comings,
        )

    def _keepers(self, campaign_id: str, inbox: Inbox, arrivals: Arrivals) -> list[NodeKeeper]:
        keepers: list[NodeKeeper] = []
        for pool, settings in self.settings.pool.items():
            if settings.is_batch:
                continue
            launcher = self._launcher(settings.launcher)
            for host in settings.names or ("",):
                spec = self._spec(pool, host, campaign_id)
                keepers.append(self._keeper(spec, launcher, inbox, arrivals))
        return keepers

    def _spec(self, pool: str, host: str, campaign_id: str) -> NodeSpec:
        name = host or pool
        return NodeSpec(
            name=name,
            pool=pool,
            settings=self.settings.pool[pool],
            campaign_id=campaign_id,
            campaign_folder=self.folder.root.resolve(),
            run_folder=self.folder.run.resolve(),
            socket=self.folder.socket(socket_name(name)),
            lease_s=self.settings.master.lease_s,
            host=host,
        )

    def _keeper(
        self, spec: NodeSpec, launcher: Launcher, inbox: Inbox, arrivals: Arrivals
    ) -> NodeKeeper:
        heartbeat_s = self.settings.master.heartbeat_s
        return NodeKeeper(
            spec,
            launcher,
            me=Identity("master", spec.campaign_id, _who()),
            limits=Limits(heartbeat_s=heartbeat_s, timeout_s=MISSED * heartbeat_s),
            inbox=inbox,
            arrivals=arrivals,
            carried=self._carried,
            alert=lambda text: self._master.alert(text),
        )

    def _batch_pools(self) -> dict[str, Pool]:
        return {name: pool for name, pool in self.settings.pool.items() if pool.is_batch}

    def _allocator(
        self, restored: Restored, inbox: Inbox, arrivals: Arrivals, nodes: Nodes
    ) -> Allocator | None:
        """What asks batch systems for nodes, and is reached from elsewhere; None if nobody will."""
        pools = self._batch_pools()
        if not pools and ENDS_AT not in os.environ:
            return None
        from stargen.master.allocator import Allocator, BatchDesk
        from stargen.transport.dialback import DialServer
        from stargen.transport.meeting import MeetingPlace

        folder, master = self.folder.root.resolve(), self.settings.master
        return Allocator(
            [
                BatchDesk(name, pool, cast("BatchLauncher", self._launcher(pool.launcher)))
                for name, pool in pools.items()
            ],
            campaign_id=restored.campaign_id,
            folder=folder,
            lease_s=master.lease_s,
            allocations=lambda: restored.scheduler.state.allocations,
            keeper=lambda spec, dialed: self._keeper(spec, dialed, inbox, arrivals),
            nodes=nodes,
            inbox=inbox,
            host=lambda: self._master,
            server=lambda allocator: DialServer(
                MeetingPlace.of(folder),
                wanted=allocator.wanted,
                on_caller=allocator.welcome,
                control=self.folder.socket(SOCKET_NAME),
                address=master.listen,
                port=master.port,
            ),
        )

    def _sinks(self, plan: Plan, campaign_id: str, journal: Journal) -> list[SinkKeeper]:
        url = plan.campaign.database
        if url is None:
            return []
        self._registry.find("sinks", "database")
        spec = SinkSpec(
            name="database",
            url=url,
            journal=self.folder.journal,
            campaign=plan.campaign.name,
            jobs=job_inputs(plan),
            selects=[job.name for job in plan.jobs if job.is_select],
            run_key=campaign_id,
            folder=self.campaign_file.parent,
        )
        return [
            SinkKeeper(
                spec,
                durable=lambda: journal.durable_position,
                alert=lambda text: self._master.alert(text),
                command=self._sink_command,
            )
        ]

    def _attach(self, campaign_id: str) -> Callable[[int], Attach]:
        lease_s = self.settings.master.lease_s
        return lambda epoch: Attach(campaign_id, epoch, _who(), lease_s, self.takeover)

    # --- when it goes wrong -----------------------------------------------------------------------

    def _with_story(self, error: Exception, status: Status) -> Exception:
        """The error; if it is a bug, what led to it is written down and the error says where."""
        if isinstance(error, StargenError) and not isinstance(error, InvariantBroken):
            return error
        story = self.folder.run / f"story-{int(self._clock.wall())}.txt"
        events = [f"{at:.3f} {text}" for at, text in status.events]
        trace = traceback.format_exception(error)
        with suppress(OSError):
            story.write_text("\n".join([*trace, "The last events:", *events, ""]))
            error.add_note(f"the story is in {story}; the journal is whole, and can be resumed")
        return error


def _first(error: Exception) -> Exception:
    """The error at the bottom of nested groups of tasks."""
    while isinstance(error, ExceptionGroup):
        error = cast("ExceptionGroup[Exception]", error).exceptions[0]
    return error


def _who() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"
