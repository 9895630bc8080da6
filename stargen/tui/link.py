"""The live side: what only a running master can tell, and what it can be asked to do.

The journal tells everything that happened; loads, links and sinks are asked of the master, over
whatever `connect` gives. A thread asks, so that a master that answers slowly, or not at all, never
stops the screen; it leaves forty-nine parts of rest for one part of answering, which bounds what
viewers cost the master however large the campaign is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from stargen.errors import UserError

_EVERY_S = 1.0
_RETRY_S = 1.0
_REST = 49.0


class Master(Protocol):
    """What the dashboard needs of a running master."""

    def status(self) -> dict[str, Any]:
        """The picture, with `connected` and `load` of each node, `sinks` and `journal`."""
        ...

    def explain(self, target: str) -> list[str]: ...

    def ask(self, action: str, target: str = "") -> None: ...


Connect = Callable[[], AbstractContextManager[Master]]
"""A connection to the master; UserError if none runs."""


@dataclass(frozen=True, slots=True)
class Live:
    """What a master said last."""

    loads: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    unlinked: frozenset[str] = frozenset()
    sinks: tuple[dict[str, Any], ...] = ()
    journal: dict[str, Any] = field(default_factory=dict[str, Any])

    @classmethod
    def of(cls, picture: dict[str, Any]) -> Live:
        nodes = picture.get("nodes", [])
        return cls(
            {node["name"]: node["load"] for node in nodes if node.get("load")},
            frozenset(node["name"] for node in nodes if not node.get("connected", True)),
            tuple(picture.get("sinks", ())),
            picture.get("journal", {}),
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
    """

    def __init__(self, connect: Connect, tell: Callable[[Live | None], None]) -> None:
        self._connect = connect
        self._tell = tell
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
        while not self._over.is_set():
            began = time.monotonic()
            picture = master.status()
            took_s = time.monotonic() - began
            self._say(Live.of(picture))
            self._over.wait(max(_EVERY_S, _REST * took_s))

    def _say(self, live: Live | None) -> None:
        if not self._over.is_set():
            self._tell(live)
