"""The campaign's memory: an append-only log of records and payloads, with snapshots.

One process writes (`Journal`), any number read (`RecordReader`, `read_records`, `read_entry`), and
`verify` checks. The journal knows neither what a record means nor what a payload holds.
"""

from stargen.journal.journal import Journal
from stargen.journal.lock import Holder, read_holder
from stargen.journal.reader import RecordReader, read_entry, read_records
from stargen.journal.recovery import Recovered
from stargen.journal.repair import repair
from stargen.journal.snapshots import Snapshot, newest_snapshot
from stargen.journal.verify import Damage, Report, SegmentReport, SnapshotReport, verify

__all__ = [
    "Damage",
    "Holder",
    "Journal",
    "RecordReader",
    "Recovered",
    "Report",
    "SegmentReport",
    "Snapshot",
    "SnapshotReport",
    "newest_snapshot",
    "read_entry",
    "read_holder",
    "read_records",
    "repair",
    "verify",
]
