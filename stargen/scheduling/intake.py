"""Intake: results come in, and the candidates in them find their way downstream."""

from __future__ import annotations

from collections.abc import Sequence

from stargen.crystal import Envelope, envelope_of
from stargen.messages import AttemptRef
from stargen.records import FinishedRow, LaneOpened, LateResults, Routed, TasksFinished
from stargen.scheduling import aggregator, policy
from stargen.scheduling.aggregator import text_hash
from stargen.scheduling.desk import Desk
from stargen.scheduling.ending import Ending
from stargen.scheduling.events import (
    AcknowledgeResults,
    EnvelopesRead,
    ReadEnvelopes,
    ResultsArrived,
)
from stargen.scheduling.jobs import JobState
from stargen.scheduling.nodelist import resources_form

READ_AT_ONCE = 2000
"""Envelopes asked for in one `ReadEnvelopes`."""


class Intake:
    """Takes results and routes what they hold."""

    def __init__(self, desk: Desk, ending: Ending) -> None:
        self.desk = desk
        self.ending = ending
        self.state = desk.state

    def on_results(self, event: ResultsArrived) -> None:
        acks: list[AttemptRef] = []
        rows: dict[int, list[FinishedRow]] = {}
        entries: dict[int, list[bytes]] = {}
        taken: set[tuple[int, int]] = set()
        late = 0
        for row in event.rows:
            index, ordinal, epoch, n, took_s, segment, at, out, drops_size, drops, end, costs = row
            acks.append(AttemptRef(index, ordinal, epoch, n))
            job = self.state.jobs[index]
            task = job.tasks.get(ordinal)
            if task is None or (index, ordinal) in taken:
                late += 1
                continue
            taken.add((index, ordinal))
            if task.state == "assigned" and (task.n != n or task.epoch != epoch):
                self.desk.cancel(job, [task], "another attempt brought the result")
            if index not in rows:
                rows[index], entries[index] = [], []
            entries[index] += out
            took_us, sizes = int(took_s * 1e6), [len(entry) for entry in out]
            key_of = job.plan.key_of
            keys = [] if key_of is None else [text_hash(key_of(envelope_of(e))) for e in out]
            what = (segment, at, sizes, drops_size, drops, end, keys, costs)
            rows[index].append(FinishedRow(ordinal, epoch, n, took_us, *what))
        for job_index, finished in rows.items():
            self._accept(job_index, event.node, finished, entries[job_index])
        if late:
            self.desk.commit(LateResults(event.at, event.node, late))
        self.desk.command(AcknowledgeResults(event.node, acks))
        node = self.state.nodes.get(event.node)
        if node is not None:
            node.failures_in_row = 0

    def _accept(
        self, job_index: int, node: str, rows: list[FinishedRow], entries: list[bytes]
    ) -> None:
        job = self.state.jobs[job_index]
        lo = job.out.length
        self.desk.commit(TasksFinished(self.desk.at, job_index, node, rows))
        self.desk.wake(job)
        health = self.desk.health[job_index]
        for _ in rows[: policy.WINDOW]:
            health.ended(False)
        if entries:
            self._came_out(job, lo, entries)
        self.ending.check_stop(job)

    def _came_out(self, job: JobState, lo: int, entries: Sequence[bytes]) -> None:
        """New entries from `lo` on: tell those downstream that route; wake those that do not."""
        envelopes: list[Envelope] | None = None
        for downstream in self.state.outputs_of(job):
            if not downstream.routes:
                self.desk.wake(downstream)
                continue
            input_ = downstream.plan.inputs.index(job.index)
            edge = (downstream.index, input_)
            if downstream.arrived[input_] != lo or self.desk.unrouted.get(edge):
                self.desk.unrouted.setdefault(edge, False)
                continue
            if envelopes is None:
                envelopes = [envelope_of(entry) for entry in entries]
            self._route(downstream, input_, lo, entries, envelopes)

    def _route(
        self,
        job: JobState,
        input_: int,
        lo: int,
        entries: Sequence[bytes],
        envelopes: Sequence[Envelope],
    ) -> None:
        routes = aggregator.route(job, envelopes)
        for request in routes.opened:
            forms = [resources_form(resources) for resources in request]
            self.desk.commit(LaneOpened(self.desk.at, job.index, len(job.requests), forms))
        before = job.out.length
        columns = (routes.lanes, routes.keys, routes.ranks, routes.ids)
        self.desk.commit(Routed(self.desk.at, job.index, input_, lo, *columns))
        self.desk.wake(job)
        if job.plan.is_select and job.out.length > before:
            passed = [e for e, lane in zip(entries, routes.lanes, strict=True) if lane >= 0]
            self._came_out(job, before, passed)
            self.ending.check_stop(job)

    def ask_for_envelopes(self) -> None:
        """Have those read that wait for a route and were not at hand."""
        for (job_index, input_), asked in list(self.desk.unrouted.items()):
            job = self.state.jobs[job_index]
            lo, length = job.arrived[input_], job.upstream[input_].length
            if lo >= length or job.closed is not None:
                del self.desk.unrouted[job_index, input_]
            elif not asked:
                self.desk.unrouted[job_index, input_] = True
                locations = job.upstream[input_].locations(lo, min(lo + READ_AT_ONCE, length))
                self.desk.command(ReadEnvelopes(job_index, input_, lo, locations))

    def on_envelopes(self, event: EnvelopesRead) -> None:
        job = self.state.jobs[event.job]
        self.desk.unrouted[event.job, event.input] = False
        if job.arrived[event.input] == event.lo:
            envelopes = [envelope_of(entry) for entry in event.entries]
            self._route(job, event.input, event.lo, event.entries, envelopes)
