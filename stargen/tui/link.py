"""The live side: what only a running master can tell, and what it can be asked to do.

The journal tells everything that happened; loads, links and sinks are asked of the master, over
whatever `connect` gives. A thread asks, so that a master that answers slowly, or not at all, never
stops the screen; it rests much longer than an answer costs the master, which bounds what viewers
cost it however large the campaign is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from stargen.errors import UserError
from stargen.tui.leap import Leap

_EVERY_S = 1.0
_RETRY_S = 1.0
_REST = 149.0
_LONGEST_S = 5.0


class Master(Protocol):
    """What the dashboard needs of a running master."""

    def look(
        self,
        since: float = 0.0,
        at: Sequence[str] = (),
        task: str = "",
        glance: str = "",
        after: int = 0,
    ) -> dict[str, Any]:
        """Samples of nodes that came after `since`; see `ControlClient.look`."""
        ...

    def explain(self, target: str) -> list[str]: ...

    def ask(self, action: str, target: str = "") -> None: ...


Connect = Callable[[], AbstractContextManager[Master]]
"""A connection to the master; UserError if none runs."""


class Interest(NamedTuple):
    """What a page wants to know beyond the samples of all nodes.

    `whole`: all open tasks, and not only those that were sent first.
    """

    nodes: tuple[str, ...] = ()
    task: str = ""
    whole: bool = False


class Question(NamedTuple):
    """What a master is asked; see `ControlClient.look`."""

    nodes: tuple[str, ...] = ()
    task: str = ""
    glance: str = ""
    after: int = 0


@dataclass(frozen=True, slots=True)
class Live:
    """What a master said last; `fresh`: the nodes whose samples are new."""

    loads: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    fresh: tuple[str, ...] = ()
    unlinked: frozenset[str] = frozenset()
    silent_s: dict[str, float | None] = field(default_factory=dict[str, "float | None"])
    sinks: tuple[dict[str, Any], ...] = ()
    journal: dict[str, Any] = field(default_factory=dict[str, Any])
    leap: Leap | None = None

    def then(self, answer: dict[str, Any]) -> Live:
        """With the next answer taken in."""
        unlinked = frozenset(answer["unlinked"])
        kept = {name: load for name, load in self.loads.items() if name not in unlinked}
        return Live(
            kept | answer["loads"],
            tuple(answer["loads"]),
            unlinked,
            answer["silent_s"],
            tuple(answer["sinks"]),
            answer["journal"],
            Leap.of(answer["glance"]) if "glance" in answer else None,
        )

    @property
    def behind(self) -> int:
        """Records that are written and not yet durable."""
        return max(0, self.journal.get("position", 0) - self.journal.get("durable", 0))


class MasterLink:
    """Keeps asking a master; tells what it says, or None when none is there.

    Parameters
    ----------
    tell : called from this link's thread
    wanted : what to ask just now; called from this link's thread
    """

    def __init__(
        self,
        connect: Connect,
        tell: Callable[[Live | None], None],
        wanted: Callable[[], Question] = Question,
    ) -> None:
        self._connect = connect
        self._tell = tell
        self._wanted = wanted
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="master-link", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask no more; a thread that waits for an answer ends with the process."""
        self._over.set()

    def _keep(self) -> None:
        while not self._over.is_set():
            try:
                with self._connect() as master:
                    self._listen(master)
            except (UserError, OSError, ValueError):
                self._say(None)
                self._over.wait(_RETRY_S)

    def _listen(self, master: Master) -> None:
        live, since = Live(), 0.0
        while not self._over.is_set():
            answer = master.look(since, *self._wanted())
            since = answer["at"]
            live = live.then(answer)
            self._say(live)
            self._over.wait(max(_EVERY_S, min(_REST * answer.get("cost_s", 0.0), _LONGEST_S)))

    def _say(self, live: Live | None) -> None:
        if not self._over.is_set():
            self._tell(live)
