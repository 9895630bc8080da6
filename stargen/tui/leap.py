"""Leaps: where records come faster than a viewer should read them, what a master tells instead."""

from __future__ import annotations

import base64
from typing import NamedTuple

from stargen.codec import unpack
from stargen.glance import Glance
from stargen.records import TaskFailed, TasksFinished, decode
from stargen.status import Status
from stargen.status_forms import thaw


class Leap(NamedTuple):
    """A glance with all that is in it unpacked; call `of` in a thread."""

    glance: Glance
    status: Status
    ends: list[tuple[int, TasksFinished | TaskFailed]]

    @classmethod
    def of(cls, text: str) -> Leap:
        """From base64."""
        glance = Glance.from_form(base64.b64decode(text))
        ends = [
            (position, record)
            for position, form in glance.ends
            if isinstance(record := decode(form), TasksFinished | TaskFailed)
        ]
        return cls(glance, thaw(unpack(glance.status)), ends)
