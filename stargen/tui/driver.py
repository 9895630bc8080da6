"""The terminal's input, without Textual's long look after an Escape.

An Escape may be a key or the start of one. Textual decides that after `ESCDELAY`, but sleeps for a
tenth of a second before it looks whether that is over; here it looks when it is.
"""

from __future__ import annotations

import os
import selectors
from codecs import getincrementaldecoder
from threading import current_thread

from textual import constants
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver

_IDLE_S = 0.1
"""How long it takes at most until the end of the application is noticed, as in Textual."""

_BYTES = 4096


class TerminalDriver(LinuxDriver):
    """Textual's driver with a thread for the keys that is awake when an Escape has to be judged.

    Where the process was stopped and goes on Textual starts another one: the former ends then.
    """

    def _sigcont_application(self, *_: object) -> None:
        """Go on after a stop that did not come by Ctrl+Z, with one thread for the keys.

        Textual would begin without having ended: a second thread then reads the same keys, one
        of the two waits for ever, and so does the end of the application for that one.
        """
        if self._auto_restart and not self._must_signal_resume:
            self.suspend_application_mode()
            self._must_signal_resume = True
        super()._sigcont_application()

    def run_input_thread(self) -> None:
        parser = XTermParser(self._debug)
        decode = getincrementaldecoder("utf-8")("replace").decode
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            patience_s = _IDLE_S
            while self._key_thread is current_thread() and not self.exit_event.is_set():
                come = selector.select(patience_s)
                if come:
                    data = os.read(self.fileno, _BYTES)
                    if not data:
                        break
                    for event in parser.feed(decode(data)):
                        self.process_message(event)
                for event in parser.tick():
                    self.process_message(event)
                patience_s = min(constants.ESCAPE_DELAY + 0.001, _IDLE_S) if come else _IDLE_S
