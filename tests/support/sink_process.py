"""A sink's process for tests, that dies at a named point if the environment says so."""

from __future__ import annotations

import sys

from support.killing import Killer

from stargen.master import sink_process

if __name__ == "__main__":
    sys.exit(sink_process.main(observer=Killer("sink")))
