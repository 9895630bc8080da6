"""What the journal holds behind its snapshot, checked while the campaign goes on.

A master begins with the newest snapshot and reads what was written since; so a start takes no
longer the more a campaign has done. The older segments still hold candidates that jobs and stores
ask for. They are read, every checksum, by a process of its own beside the master, and damage there
becomes an alert: what has been decided is safe in the snapshot, and goes on.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

COMMAND = (sys.executable, "-m", "stargen.journal.past")


async def check_past(
    journal: Path,
    segments: int,
    alert: Callable[[str], None],
    command: Sequence[str] = COMMAND,
) -> None:
    """Check the first so many segments, and tell of each that is damaged, or why none was."""
    if not segments:
        return
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            str(journal),
            str(segments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        alert(f"journal: what lies behind its snapshot is not checked: {error}")
        return
    try:
        assert process.stdout is not None
        async for line in process.stdout:
            alert(_words(json.loads(line)))
        if code := await process.wait():
            alert(f"journal: the check of what lies behind its snapshot ended with code {code}")
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _words(damage: dict[str, str]) -> str:
    return (
        f"journal: {damage['file']} at byte {damage['offset']}: {damage['problem']}. The campaign "
        "goes on from its snapshot, but candidates in this file may be lost or changed: restore it "
        "from a copy; `stargen journal verify` lists all such places"
    )
