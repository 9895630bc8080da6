"""The picture of a campaign, from its master or, where none runs, from its journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stargen.store import CampaignFolder

Picture = dict[str, Any]

INTERRUPTED = "interrupted"
"""State of a campaign that has not ended and has no master."""

AWAY = "away"
"""State of a campaign whose master was last on another machine, and is not reached from here."""


def picture_of(folder: CampaignFolder) -> Picture:
    """What `ControlClient.status` gives, or the journal tells."""
    from stargen.master.control import ControlClient, NoMaster

    try:
        with ControlClient.of(folder.root) as master:
            return master.status()
    except NoMaster as nobody:
        picture = remembered(folder)
        elsewhere = _elsewhere(folder)
        if picture["state"] == INTERRUPTED and elsewhere is not None:
            picture |= {"state": AWAY, "reason": f"{elsewhere}; {nobody}"}
        return picture


def _elsewhere(folder: CampaignFolder) -> str | None:
    """Who holds the campaign on another machine, of whom nobody here knows whether it lives."""
    import socket

    from stargen.journal import read_holder

    holder = read_holder(folder.journal / "lock")
    return None if holder is None or holder.host == socket.gethostname() else f"held by {holder}"


def remembered(folder: CampaignFolder) -> Picture:
    """What the journal tells of a campaign that nobody runs at the moment."""
    import time

    from stargen.codec import unpack
    from stargen.folding import fold
    from stargen.journal import newest_snapshot, read_records
    from stargen.records import decode
    from stargen.status import Status
    from stargen.status_forms import as_json, thaw

    snapshot, _ = newest_snapshot(folder.journal)
    status = thaw(unpack(snapshot.state)[1]) if snapshot else Status()
    for _, body in read_records(folder.journal, snapshot.position if snapshot else 0):
        fold(status, decode(body))
    picture = as_json(status, time.time())
    if picture["state"] == "running":
        picture |= {"state": INTERRUPTED, "reason": "`stargen up` goes on with it", "eta_s": None}
    return picture
