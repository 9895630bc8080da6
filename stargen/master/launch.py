"""Wires a campaign's master from files; the only place that does."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from hashlib import blake2b
from os import getpid, urandom
from pathlib import Path
from typing import cast

from stargen.calculators.registry import Registry
from stargen.clock import SystemClock
from stargen.codec import unpack
from stargen.config import Settings, node_resources
from stargen.errors import CampaignBusy, InvariantBroken, JournalLocked, StargenError, UserError
from stargen.files import write_atomically
from stargen.journal import Journal, Recovered
from stargen.launchers.base import Launcher, NodeSpec
from stargen.machine import this_machine
from stargen.master.arrivals import Arrivals
from stargen.master.control import SOCKET_NAME
from stargen.master.definitions import Definitions, job_inputs
from stargen.master.inbox import Inbox
from stargen.master.kernel import Kernel
from stargen.master.nodes import NodeKeeper, Nodes
from stargen.master.running import Outcome, RunningCampaign, Show
from stargen.master.sinks import COMMAND, SinkKeeper, SinkSpec
from stargen.messages import Attach
from stargen.records import Record, decode
from stargen.scheduling.changes import compatible
from stargen.scheduling.demands import NodeOffer
from stargen.scheduling.organizer import organize
from stargen.scheduling.parser import Draft, draft
from stargen.scheduling.plan import Plan
from stargen.scheduling.scheduler import Scheduler
from stargen.scheduling.standing import Patience
from stargen.status import Status, fold
from stargen.status_forms import thaw
from stargen.store import CampaignFolder
from stargen.transport.greeting import Identity
from stargen.transport.session import MISSED, Limits

Observer = Callable[[str], None]

_SOCKET_NAME_CHARS = 16
_COLLECT_EVERY = 50_000
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

    async def run(
        self, *, requests: Sequence[tuple[str, str]] = (), show: Show | None = None
    ) -> Outcome:
        """See `run`."""
        written = draft(_read(self.campaign_file), self.campaign_file)
        fresh = self._plan(written, ())
        self.folder.prepare()
        journal = self._open_journal()
        status, running = Status(), None
        try:
            status, scheduler = self._restore(written, fresh, journal.recovered)
            running = self._assemble(scheduler, status, journal, show)
            with _signals_to(running), _calm_collector():
                return await running.run(self._attach, requests)
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

    # --- what the files say -----------------------------------------------------------------------

    def _plan(self, written: Draft, first: Sequence[str]) -> Plan:
        machine = this_machine()
        offers = [
            NodeOffer(name, node_resources(pool.limits, machine))
            for name, pool in self.settings.pool.items()
            for _ in pool.hosts or ("",)
        ]
        folder = self.campaign_file.parent
        find = self._registry.calculator
        return organize(written, find, folder=folder, offers=offers, first=first)

    def _restore(
        self, written: Draft, fresh: Plan, recovered: Recovered
    ) -> tuple[Status, Scheduler]:
        """The state that the journal tells of, under the campaign file as it is now."""
        status, snapshot = Status(), None
        if recovered.snapshot is not None:
            snapshot, picture = unpack(recovered.snapshot)
            status = thaw(picture)
        tail: list[Record] = []
        for _, body in recovered.records:
            tail.append(decode(body))
            fold(status, tail[-1])
        plan = self._adopt(written, status) if status.jobs else fresh
        self.folder.keep_campaign_file(plan.text)
        self.folder.keep_origin(self.campaign_file.parent)
        patience = Patience(lost_after_s=self.settings.master.lost_after_s)
        if snapshot is None:
            scheduler = Scheduler(plan, patience=patience)
        else:
            scheduler = Scheduler.restore(plan, snapshot, patience=patience)
        for record in tail:
            scheduler.apply(record)
        return status, scheduler

    def _adopt(self, written: Draft, status: Status) -> Plan:
        """The plan of the file as it is now, if it goes with what has been done so far."""
        begun = [job.name for job in status.jobs if job.taken or job.open or job.out]
        compatible(_read(self.folder.campaign_file), written, begun)
        return self._plan(written, [job.name for job in status.jobs])

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

    def _assemble(
        self, scheduler: Scheduler, status: Status, journal: Journal, show: Show | None
    ) -> RunningCampaign:
        plan, inbox = scheduler.plan, Inbox()
        definitions = Definitions(
            plan,
            self.settings.pool,
            campaign_folder=self.folder.root,
            input_folder=self.campaign_file.parent,
        )
        arrivals = Arrivals(journal, scheduler.wants, len(plan.jobs))
        nodes = Nodes(
            self._keepers(inbox, arrivals),
            define=definitions.define,
            read=journal.read,
            observer=self._observer,
        )
        self._kernel = Kernel(
            scheduler, journal, inbox, status=status, clock=self._clock, performer=nodes
        )
        return RunningCampaign(
            plan,
            self._kernel,
            nodes,
            self._sinks(plan, journal),
            clock=self._clock,
            control=self.folder.socket(SOCKET_NAME),
            show=show,
        )

    def _keepers(self, inbox: Inbox, arrivals: Arrivals) -> list[NodeKeeper]:
        campaign_id = self._campaign_id()
        master = self.settings.master
        limits = Limits(heartbeat_s=master.heartbeat_s, timeout_s=MISSED * master.heartbeat_s)
        keepers: list[NodeKeeper] = []
        for pool, settings in self.settings.pool.items():
            launcher = self._launcher(settings.launcher)
            for host in settings.hosts or ("",):
                name = host or pool
                spec = NodeSpec(
                    name=name,
                    pool=pool,
                    settings=settings,
                    campaign_id=campaign_id,
                    campaign_folder=self.folder.root.resolve(),
                    run_folder=self.folder.run.resolve(),
                    socket=self.folder.socket(_socket_name(name)),
                    lease_s=master.lease_s,
                    host=host,
                )
                keepers.append(
                    NodeKeeper(
                        spec,
                        launcher,
                        me=Identity("master", campaign_id, _who()),
                        limits=limits,
                        inbox=inbox,
                        arrivals=arrivals,
                        alert=lambda text: self._master.alert(text),
                    )
                )
        return keepers

    def _sinks(self, plan: Plan, journal: Journal) -> list[SinkKeeper]:
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

    def _campaign_id(self) -> str:
        """Random, made once; an agent serves no other campaign."""
        path = self.folder.run / "campaign-id"
        if not path.is_file():
            write_atomically(path, urandom(8).hex().encode())
        return path.read_text().strip()

    def _attach(self, epoch: int) -> Attach:
        lease_s = self.settings.master.lease_s
        return Attach(self._campaign_id(), epoch, _who(), lease_s, self.takeover)

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


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot be read: {error}", file=path) from error


def _socket_name(node: str) -> str:
    if len(node.encode()) > _SOCKET_NAME_CHARS:
        node = blake2b(node.encode(), digest_size=_SOCKET_NAME_CHARS // 2).hexdigest()
    return f"agent-{node}"


def _who() -> str:
    return f"{socket.gethostname()}:{getpid()}"


@contextmanager
def _calm_collector() -> Generator[None]:
    """Nearly all that a master makes dies by its reference count; looking for cycles among it at
    Python's usual rate costs more than the scheduling (benchmarks/control_plane.py shows it).
    """
    usual = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()


@contextmanager
def _signals_to(running: RunningCampaign) -> Generator[None]:
    """SIGINT and SIGTERM ask the campaign to stop; the second one to stop at once."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    with suppress(ValueError, RuntimeError):  # only the main thread may have them
        for number in numbers:
            loop.add_signal_handler(number, lambda n=number: running.stop(n.name, now=False))
    try:
        yield
    finally:
        with suppress(ValueError, RuntimeError):
            for number in numbers:
                loop.remove_signal_handler(number)
