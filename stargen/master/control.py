"""The control socket: how other processes of this user look at a running campaign and steer it.

One JSON object a line each way. A request is ``{"do": name, ...}``; an answer ``{"ok": value}`` or
``{"error": text}``. `watch` and `records` answer with one line after another until the client hangs
up or the master ends. The socket has mode 0600 and only this user and root may speak.
"""

from __future__ import annotations

import asyncio
import base64
import getpass
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast, get_args, get_type_hints

from stargen.errors import NodeError, UserError
from stargen.master.loads import unpack_loads
from stargen.scheduling.events import Asked
from stargen.store import WHERE, CampaignFolder
from stargen.transport.local import bind_unix, peer_uid

if TYPE_CHECKING:
    from stargen.master.elsewhere import Tunnel

SOCKET_NAME = "control"
ACTIONS = frozenset(get_args(get_type_hints(Asked)["action"]))
_CONNECT_S = 5.0
_LINE_BYTES = 64 * 2**20
_RECORDS_AT_ONCE = 500
_RECORDS_EVERY_S = 0.25
_REST = 49
"""Pictures that are made again and again take a fiftieth of the master's time at most."""


class Steered(Protocol):
    """What the control socket needs of the master."""

    def picture(self) -> dict[str, Any]:
        """The status as plain values."""
        ...

    def failures(self) -> list[dict[str, Any]]: ...

    def explain(self, target: str) -> Any:
        """UserError if there is no such thing."""
        ...

    def look(
        self, since: float, at: list[str], task: str, glance: str, after: int
    ) -> dict[str, Any]:
        """What `ControlClient.look` returns."""
        ...

    def ask(self, action: str, target: str, by: str) -> None:
        """UserError if that cannot be asked."""
        ...

    async def kept(self) -> None:
        """Until what was asked is on disk; UserError if that takes too long."""
        ...

    def stop(self, by: str, *, now: bool) -> None: ...

    def add_nodes(self, pool: str, hosts: str) -> list[str]:
        """UserError if that cannot be."""
        ...

    def remove_node(self, name: str, by: str) -> None:
        """UserError if there is no such node."""
        ...

    def records(self, after: int, most: int) -> list[tuple[int, bytes]]:
        """Durable records behind a position."""
        ...


class ControlServer:
    """Serves one master's control socket."""

    def __init__(self, master: Steered) -> None:
        self._master = master
        self._answers: dict[str, Callable[[dict[str, Any]], Any]] = {
            "status": lambda request: master.picture(),
            "failures": lambda request: master.failures(),
            "explain": lambda request: _plain(master.explain(str(request["target"]))),
            "look": lambda request: master.look(
                float(request.get("since", 0.0)),
                [str(name) for name in request.get("at", ())],
                str(request.get("task", "")),
                str(request.get("glance", "")),
                int(request.get("after", 0)),
            ),
            "stop": lambda request: master.stop(_by(request), now=bool(request.get("now"))),
            "add-nodes": lambda r: master.add_nodes(str(r["pool"]), str(r["hosts"])),
            "remove-node": lambda r: master.remove_node(str(r["target"]), _by(r)),
        }
        self._streams: dict[str, Callable[[dict[str, Any]], AsyncIterator[Any]]] = {
            "watch": self._watch,
            "records": self._records,
        }

    async def serve(self, path: Path) -> None:
        """Serve until cancelled; LocalProtocolError if another process does."""
        listener = bind_unix(path)
        server = await asyncio.start_unix_server(self._meet, sock=listener, limit=_LINE_BYTES)
        try:
            await server.serve_forever()
        finally:
            server.close()
            _remove(path)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if peer_uid(writer.get_extra_info("socket")) in (os.getuid(), 0):
                while line := await reader.readline():
                    await self._answer(line, writer)
        except (OSError, ValueError, asyncio.CancelledError):
            pass  # the client hung up, sent no line, or the master ends
        finally:
            writer.close()

    async def _answer(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        async for answer in self._answers_to(line):
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()

    async def _answers_to(self, line: bytes) -> AsyncIterator[dict[str, Any]]:
        try:
            request = json.loads(line)
            do = str(request["do"])
            if do in self._streams:
                async for value in self._streams[do](request):
                    yield {"ok": value}
            elif do in self._answers:
                yield {"ok": self._answers[do](request)}
            elif do in ACTIONS:
                self._master.ask(do, str(request.get("target", "")), _by(request))
                await self._master.kept()
                yield {"ok": None}
            else:
                yield {"error": f"nothing here is called {do}"}
        except UserError as error:
            yield {"error": str(error)}
        except (ValueError, TypeError, KeyError) as error:
            yield {"error": f"not a request: {error!r}"}

    async def _watch(self, request: dict[str, Any]) -> AsyncIterator[Any]:
        every_s = max(0.05, float(request.get("every_s", 0.5)))
        while True:
            began = time.perf_counter()
            picture = self._master.picture()
            cost_s = time.perf_counter() - began
            yield picture
            await asyncio.sleep(rest_s(cost_s, every_s))

    async def _records(self, request: dict[str, Any]) -> AsyncIterator[Any]:
        after = int(request.get("after", 0))
        while True:
            rows = self._master.records(after, _RECORDS_AT_ONCE)
            if rows:
                after = rows[-1][0]
                yield [[at, base64.b64encode(body).decode()] for at, body in rows]
            if len(rows) < _RECORDS_AT_ONCE:
                await asyncio.sleep(_RECORDS_EVERY_S)


def rest_s(cost_s: float, least_s: float) -> float:
    """How long to wait after a picture that took so long, so that the master has time to work."""
    return max(least_s, _REST * cost_s)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _by(request: dict[str, Any]) -> str:
    return str(request.get("by", "")) or "somebody"


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


class NoMaster(UserError):
    """No master runs this campaign at the moment."""


class ControlClient:
    """The other end, for processes without an event loop."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_CONNECT_S)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise NoMaster("no master is running this campaign on this machine") from error
        self._socket.settimeout(None)
        self._lines = self._socket.makefile("rb")
        self._me = _login()
        self._tunnel: Tunnel | None = None

    @classmethod
    def of(cls, folder: Path) -> ControlClient:
        """The client of the master that runs the campaign in `folder`, here or elsewhere.

        Raises
        ------
        NoMaster : none does, or it is on another machine and not reached
        """
        place = CampaignFolder(folder)
        try:
            return cls(place.socket(SOCKET_NAME))
        except NoMaster:
            if not _listens_elsewhere(place):
                raise
        from stargen.master.elsewhere import Tunnel

        try:
            tunnel = Tunnel(folder)
        except NodeError as error:
            raise NoMaster(f"no master is running this campaign here; {error}") from error
        client = cls(tunnel.path)
        client._tunnel = tunnel
        return client

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._lines.close()
        self._socket.close()
        if self._tunnel is not None:
            self._tunnel.close()

    def status(self) -> dict[str, Any]:
        """The picture of the campaign: status_forms.as_json, with links, loads and sinks."""
        return self._ask_once("status")

    def look(
        self,
        since: float = 0.0,
        at: Sequence[str] = (),
        task: str = "",
        glance: str = "",
        after: int = 0,
    ) -> dict[str, Any]:
        """Samples of the nodes, links, sinks and the journal; agents tell more often for a while.

        Parameters
        ----------
        since : `at` of the answer before: samples that it had are left out
        at : nodes of which the running tasks are told too; of a single one, closely
        task : ``job/ordinal`` whose output is wanted with the sample of its node
        glance : "lean" or "whole" if the form of a `Glance` is wanted too, in base64
        after : position of the last record that is known already
        """
        more = {"glance": glance, "after": after} if glance else {}
        answer = self._ask_once("look", since=since, at=list(at), task=task, **more)
        return answer | {"loads": unpack_loads(answer["loads"])}

    def watch(self, every_s: float = 0.5) -> Iterator[dict[str, Any]]:
        """The picture again and again, until the master ends."""
        return self._stream("watch", every_s=every_s)

    def failures(self) -> list[dict[str, Any]]:
        """Failures in groups of like ones, the most frequent first."""
        return self._ask_once("failures")

    def explain(self, target: str) -> Any:
        """Why a job or a task (``job/ordinal``) waits."""
        return self._ask_once("explain", target=target)

    def ask(self, action: str, target: str = "") -> None:
        """hold, release, retry or cancel a job; cancel-task; drain or undrain a node."""
        self._ask_once(action, target=target, by=self._me)

    def add_nodes(self, pool: str, hosts: str) -> list[str]:
        """Use these hosts too, by the settings of that pool, until this master ends."""
        return self._ask_once("add-nodes", pool=pool, hosts=hosts)

    def remove_node(self, name: str) -> None:
        """Drain a node, and end its agent once nothing runs there."""
        self._ask_once("remove-node", target=name, by=self._me)

    def stop(self, *, now: bool = False) -> None:
        """Finish what runs (or do not), end the agents, and leave the campaign resumable."""
        self._ask_once("stop", now=now, by=self._me)

    def records(self, after: int = 0) -> Iterator[tuple[int, bytes]]:
        """Durable records behind a position, and then those that come."""
        for rows in self._stream("records", after=after):
            for position, body in rows:
                yield position, base64.b64decode(body)

    def _send(self, do: str, **parameters: Any) -> None:
        self._socket.sendall(json.dumps({"do": do, **parameters}).encode() + b"\n")

    def _ask_once(self, do: str, **parameters: Any) -> Any:
        try:
            self._send(do, **parameters)
            line = self._lines.readline()
        except OSError:
            line = b""
        if not line:
            raise NoMaster("the master has ended")
        return _value(line)

    def _stream(self, do: str, **parameters: Any) -> Iterator[Any]:
        with suppress(OSError):
            self._send(do, **parameters)
            while line := self._lines.readline():
                yield _value(line)


def _listens_elsewhere(place: CampaignFolder) -> bool:
    """Whether a master on another machine has written down where it listens."""
    try:
        return json.loads((place.meeting / WHERE).read_text())["host"] != socket.gethostname()
    except (OSError, ValueError, TypeError, KeyError):
        return False


def _value(line: bytes) -> Any:
    answer = cast("dict[str, Any]", json.loads(line))
    if "error" in answer:
        raise UserError(str(answer["error"]))
    return answer["ok"]


def _login() -> str:
    """Who asks, for the journal."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user whom the machine has no name for
        return f"user {os.getuid()}"
