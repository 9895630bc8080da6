"""Masters on other machines are found by what they wrote down, and asked as if they were here."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from stargen.master.control import ControlClient, ControlServer, NoMaster
from stargen.transport.dialback import DialServer
from stargen.transport.meeting import MeetingPlace


class Master:
    """As much of a master as can be asked."""

    def picture(self):
        return {"state": "running"}

    def explain(self, target):
        return [f"about {target}"]


@contextmanager
def a_master(folder: Path):
    """One that runs in a thread, and calls itself another machine's."""
    import asyncio

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    place = MeetingPlace.of(folder)
    control = folder / "c"
    server = DialServer(
        place, wanted=lambda name: False, on_caller=lambda caller: None, control=control
    )

    async def begin():
        task = asyncio.create_task(ControlServer(Master()).serve(control))  # type: ignore[arg-type]
        await server.open()
        return task

    async def end(task):
        task.cancel()
        await server.close()

    task = asyncio.run_coroutine_threadsafe(begin(), loop).result(10)
    note = json.loads(place.note.read_text())
    place.note.write_text(json.dumps(note | {"host": "far-away"}))
    try:
        yield place
    finally:
        asyncio.run_coroutine_threadsafe(end(task), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def test_a_master_elsewhere_answers(tmp_path):
    (tmp_path / "run").mkdir()
    with a_master(tmp_path), ControlClient.of(tmp_path) as client:
        assert client.status() == {"state": "running"}
        assert client.explain("make") == ["about make"]


def test_one_that_does_not_answer_is_no_master(tmp_path):
    (tmp_path / "run").mkdir()
    with a_master(tmp_path) as place:
        told = place.note.read_text()
    place.note.write_text(told)
    with pytest.raises(NoMaster, match="far-away: it is not reached at port"):
        ControlClient.of(tmp_path)


def test_a_note_of_this_machine_is_not_followed(tmp_path):
    place = MeetingPlace.of(tmp_path)
    place.prepare()
    place.tell(1)
    with pytest.raises(NoMaster, match="on this machine"):
        ControlClient.of(tmp_path)
