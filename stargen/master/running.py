"""A campaign while it runs: kernel, nodes, sinks and control socket under one roof."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stargen.clock import Clock
from stargen.codec import pack
from stargen.errors import JournalError, LocalProtocolError, UserError
from stargen.glance import Glance, counted, listed
from stargen.journal import Journal, read_records
from stargen.master.comings import Comings
from stargen.master.control import ACTIONS, ControlServer, rest_s
from stargen.master.definitions import adoption
from stargen.master.kernel import Ended, Kernel
from stargen.master.loads import load_json, looked
from stargen.master.nodes import Nodes
from stargen.master.past import check_past
from stargen.master.sinks import SinkKeeper
from stargen.messages import Attach
from stargen.scheduling.events import Asked
from stargen.scheduling.explain import explain
from stargen.scheduling.plan import Plan
from stargen.status_forms import as_json, failures_json, freeze
from stargen.typed import near

if TYPE_CHECKING:
    from stargen.master.allocator import Allocator

Show = Callable[[dict[str, Any]], None]

_SHOW_S = 0.25
_LOOK_S = 0.5
_GRACE_S = 10.0
_SINK_PATIENCE_S = 60.0
_MEET_S = 10.0
_KEPT_S = 10.0
"""How long people wait for what they asked to be on disk."""
"""A sink that has said nothing by then waits for its store, and the campaign not for it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Parameters
    ----------
    state : "done", "held", "cancelled" or "stopped"
    exit_code : 0 if everything was done and nothing quarantined, else 1
    picture : the last status, as `ControlClient.status` gives it
    missing : what sinks could not store yet, in words
    left : what is left on nodes, or may be, in words
    """

    state: str
    reason: str
    exit_code: int
    picture: dict[str, Any]
    missing: list[str] = field(default_factory=list[str])
    left: list[str] = field(default_factory=list[str])


class RunningCampaign:
    """Everything that lives as long as one master holds one campaign."""

    def __init__(
        self,
        plan: Plan,
        kernel: Kernel,
        nodes: Nodes,
        sinks: Sequence[SinkKeeper],
        *,
        clock: Clock,
        campaign_id: str,
        control: Path,
        show: Show | None,
        allocator: Allocator | None = None,
        comings: Comings,
    ) -> None:
        self.plan = plan
        self.comings = comings
        self.kernel = kernel
        self.nodes = nodes
        self.sinks = sinks
        self._clock = clock
        self._campaign_id = campaign_id
        self._control = control
        self._show = show
        self._allocator = allocator
        self._stops = 0
        self._hurry = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None
        self._past: asyncio.Task[None] | None = None

    @property
    def journal(self) -> Journal:
        return self.kernel.journal

    # --- its life ---------------------------------------------------------------------------------

    async def run(
        self, attach: Callable[[int], Attach], requests: Sequence[tuple[str, str]] = ()
    ) -> Outcome:
        """From taking the campaign to the end.

        Parameters
        ----------
        attach : epoch -> the first word to every agent
        requests : (action, target) that were asked for before the start
        """
        asked = [self.request(action, target, "the start") for action, target in requests]
        adopted = adoption(self.plan, self._clock.wall(), self._campaign_id)
        await self.kernel.begin(adopted, asked)
        for warning in self.journal.recovered.warnings:
            self.kernel.alert(f"journal: {warning}")
        async with asyncio.TaskGroup() as group:
            unchecked = self.journal.recovered.unchecked
            past = check_past(self.journal.folder, unchecked, self.kernel.alert)
            self._past = group.create_task(past)
            helpers = [self._past, *(group.create_task(sink.keep()) for sink in self.sinks)]
            for sink in self.sinks:
                await sink.meet(_MEET_S)
            self._serving = asyncio.create_task(self._serve_control())
            helpers += [
                group.create_task(self._look_for_hope()),
                group.create_task(self._show_often()),
            ]
            if not self.kernel.over:
                epoch = self.kernel.scheduler.state.epoch
                helpers.append(group.create_task(self.nodes.keep(attach(epoch))))
                if self._allocator is not None:
                    helpers.append(group.create_task(self._allocator.keep()))
            ending = await self.kernel.run()
            left = await self._dismiss(ending.reason)
            missing = await self._wind_up()
            for helper in helpers:
                helper.cancel()
        if self._show is not None:
            self._show(self.picture())
        return self._outcome(ending, missing, left)

    async def _dismiss(self, reason: str) -> list[str]:
        """End all agents, and what they run in; what may be left, in words."""
        left = await self.nodes.dismiss(reason, _GRACE_S)
        if self._allocator is not None:
            left += await self._allocator.end()
        return left

    async def hang_up(self) -> None:
        """Close the control socket, last of all: that is how others learn that all is over."""
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.wait((self._serving,))

    def _outcome(self, ending: Ended, missing: list[str], left: list[str]) -> Outcome:
        clean = ending.state == "done" and not missing
        quarantined = sum(job.quarantined for job in self.kernel.status.jobs)
        code = 0 if clean and not quarantined else 1
        return Outcome(ending.state, ending.reason, code, self.picture(), missing, left)

    async def _wind_up(self) -> list[str]:
        """Make everything durable, fill the sinks, keep the state; what sinks lack in the end."""
        winding = asyncio.create_task(self._finish())
        hurry = asyncio.create_task(self._hurry.wait())
        await asyncio.wait((winding, hurry), return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not winding.done():
            winding.cancel()
            await asyncio.wait((winding,))
        elif (error := winding.exception()) is not None:
            raise error
        return [text for sink in self.sinks if (text := sink.shortfall()) is not None]

    async def _finish(self) -> None:
        if self._past is not None:
            await asyncio.wait((self._past,))
        await self.journal.until_durable()
        await self.kernel.keep_snapshot()
        for sink in self.sinks:
            await sink.finish(_SINK_PATIENCE_S)

    @property
    def hurried(self) -> bool:
        """True if somebody wants the end at once."""
        return self._hurry.is_set()

    async def _serve_control(self) -> None:
        try:
            await ControlServer(self).serve(self._control)
        except (LocalProtocolError, OSError) as error:
            self.kernel.alert(f"there is no control socket: {error}")

    async def _look_for_hope(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            problem = self.nodes.hopeless
            if problem is not None:
                self.kernel.fail(UserError(f"no node can be had: {problem}"))

    async def _show_often(self) -> None:
        while self._show is not None:
            began = time.perf_counter()
            self._show(self.picture())
            await asyncio.sleep(rest_s(time.perf_counter() - began, _SHOW_S))

    # --- what the control socket asks of it -------------------------------------------------------

    def picture(self) -> dict[str, Any]:
        picture = as_json(self.kernel.status, self._clock.wall())
        for node in picture["nodes"]:
            keeper = self.nodes.keepers.get(node["name"])
            load = keeper.load if keeper else None
            node["connected"] = keeper is not None and keeper.connected
            node["load"] = None if load is None else load_json(load)
        return picture | self._kept()

    def _kept(self) -> dict[str, Any]:
        """How the sinks and the journal stand."""
        journal = self.journal
        return {
            "sinks": [
                {
                    "name": sink.spec.name,
                    "url": sink.spec.url,
                    "stored": sink.stored,
                    "missing": sink.missing,
                    "problem": sink.problem,
                }
                for sink in self.sinks
            ],
            "journal": {
                "position": journal.position,
                "durable": journal.durable_position,
                "full": journal.full,
            },
        }

    def look(
        self, since: float, at: list[str], task: str, glance: str = "", after: int = 0
    ) -> dict[str, Any]:
        began = time.perf_counter()
        answer = looked(self.nodes, since, at, self._task(task)) | self._kept()
        if glance:
            form = self._glance(at, self._task(task), after, whole=glance == "whole").form()
            answer["glance"] = base64.b64encode(form).decode()
        return answer | {"cost_s": time.perf_counter() - began}

    def _glance(self, at: list[str], task: list[int] | None, after: int, *, whole: bool) -> Glance:
        kernel, status = self.kernel, self.kernel.status
        kernel.ends.ask(self._clock.wall())
        some = None if whole else listed(status, at[0] if len(at) == 1 else "", task)
        known = not whole and after >= kernel.nodes_changed_at
        return Glance(
            self.journal.position,
            kernel.ends.since,
            whole,
            pack(freeze(status, some, () if known else None)),
            kernel.ends.after(after),
            list(kernel.ends.seconds),
            counted(status) if known else None,
        )

    def _task(self, name: str) -> list[int] | None:
        job, _, ordinal = name.rpartition("/")
        names = [job.name for job in self.plan.jobs]
        return [names.index(job), int(ordinal)] if job in names and ordinal.isdigit() else None

    def failures(self) -> list[dict[str, Any]]:
        return failures_json(self.kernel.status)

    def explain(self, target: str) -> Any:
        known = [job.name for job in self.plan.jobs] + list(self.kernel.scheduler.allocating.pools)
        _check(target.partition("/")[0], "job", known)
        return explain(self.kernel.scheduler, target, self._clock.wall())

    def add_nodes(self, pool: str, hosts: str) -> list[str]:
        return self.comings.add(pool, hosts)

    def remove_node(self, name: str, by: str) -> None:
        _check(name, "node", self.nodes.keepers)
        self.ask("drain", name, by)
        self.comings.remove(name, by)

    def ask(self, action: str, target: str, by: str) -> None:
        request = self.request(action, target, by)
        self.kernel.inbox.put(lambda at: replace(request, at=at))

    async def kept(self) -> None:
        loop = asyncio.get_running_loop()
        taken: asyncio.Future[None] = loop.create_future()

        def take(at: float) -> None:
            loop.call_soon(_resolve, taken)  # behind the turn that decides what was asked

        self.kernel.inbox.put(take)
        try:
            async with asyncio.timeout(_KEPT_S):
                await taken
                await self.journal.until_durable()
        except (TimeoutError, JournalError) as error:
            why = str(error) or f"not on disk after {_KEPT_S:g} s, which is full or slow"
            raise UserError(f"taken, but lost if the master dies now: {why}") from error

    def request(self, action: str, target: str, by: str) -> Asked:
        """What is asked, checked; UserError if it makes no sense."""
        if action not in ACTIONS:
            raise UserError(f"nobody can be asked to {action}")
        if action in ("drain", "undrain"):
            _check(target, "node", self.nodes.keepers)
        elif action == "cancel-task":
            job, _, ordinal = target.rpartition("/")
            self._check_job(job)
            if not ordinal.isdigit():
                raise UserError(f"{target} is no task", hint="a task is called JOB/NUMBER")
        elif target or action == "cancel":
            self._check_job(target)
        known: Any = action
        return Asked(self._clock.wall(), known, target, by)

    def _check_job(self, name: str) -> None:
        _check(name, "job", [job.name for job in self.plan.jobs])

    def stop(self, by: str, *, now: bool) -> None:
        """The first time finish what runs; the second time, or `now`, end at once."""
        self._stops += 1
        if now or self._stops > 1:
            self._hurry.set()
            self.kernel.end("stopped", f"stopped at once by {by}")
        else:
            self.kernel.inbox.put(lambda at: Asked(at, "stop", "", by))

    def records(self, after: int, most: int) -> list[tuple[int, bytes]]:
        until = min(after + most, self.journal.durable_position)
        return list(read_records(self.journal.folder, after, until)) if until > after else []


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():  # nobody waits any more
        future.set_result(None)


def _check(name: str, what: str, known: Any) -> None:
    if name not in known:
        raise UserError(f"there is no {what} {name}", hint=near(name, list(known)) or None)
