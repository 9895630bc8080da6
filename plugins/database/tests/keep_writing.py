"""Writes batch after batch and says so, until it is killed: `keep_writing.py URL`."""

import sys

from stargen_database.sink import DatabaseSink

from conftest import JOBS, candidate
from stargen.calculators.contract import Arrived
from stargen.crystal import encode_entry

if __name__ == "__main__":
    sink = DatabaseSink(sys.argv[1], "test", JOBS, "run")
    for position in range(sink.position() + 1, 10**6):
        names = [f"make/{10 * position + k}" for k in range(10)]
        sink.write([Arrived("make", encode_entry(candidate(name))) for name in names], position)
        sys.stdout.write(f"{position}\n")
        sys.stdout.flush()
