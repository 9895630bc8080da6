"""Keys as a terminal sends them, through the driver that the dashboard uses."""

import os
import pty
import queue
import selectors
import threading
import tty
from contextlib import contextmanager

import pytest
from textual import constants, events
from textual.drivers.linux_driver import LinuxDriver

from stargen.tui.driver import TerminalDriver

PATIENCE_S = 60.0


class Listening(TerminalDriver):
    """Reads one terminal, and does nothing else."""

    def __init__(self, fileno):
        self.fileno = fileno
        self.exit_event = threading.Event()
        self.heard = queue.Queue()
        self._debug = False

    def begin(self):
        """As Textual does, again whenever the process goes on after it was stopped."""
        self._key_thread = threading.Thread(target=self.run_input_thread)
        self._key_thread.start()

    def process_message(self, message):
        self.heard.put(message)

    def key(self):
        while True:
            message = self.heard.get(timeout=PATIENCE_S)
            if isinstance(message, events.Key):
                return message.key


@contextmanager
def listening():
    """A driver whose thread runs, and the end where keys are typed."""
    typed, read = pty.openpty()
    tty.setraw(read)
    driver = Listening(read)
    driver.begin()
    try:
        yield driver, typed
    finally:
        driver.exit_event.set()
        driver._key_thread.join(PATIENCE_S)
        os.close(typed)
        os.close(read)
    assert not driver._key_thread.is_alive()


def test_it_sleeps_no_longer_than_an_escape_may_be_the_start_of_something(monkeypatch):
    monkeypatch.setattr(constants, "ESCAPE_DELAY", 0.02)
    slept = []
    select = selectors.SelectSelector.select

    def noting(selector, timeout=None):
        slept.append(timeout)
        return select(selector, timeout)

    monkeypatch.setattr(selectors.SelectSelector, "select", noting)
    with listening() as (driver, typed):
        os.write(typed, b"\x1b")
        assert driver.key() == "escape"
    assert 0.02 < min(slept) < 0.025


def test_sequences_and_letters_come_as_what_they_are():
    with listening() as (driver, typed):
        os.write(typed, "\x1b[A\x1b[Zq\x1b[Bé".encode())
        assert [driver.key() for _ in range(5)] == ["up", "shift+tab", "q", "down", "é"]


def test_what_comes_in_two_parts_is_one_key(monkeypatch):
    monkeypatch.setattr(constants, "ESCAPE_DELAY", 60.0)
    with listening() as (driver, typed):
        for part in (b"\x1b", b"[A", "é".encode()[:1], "é".encode()[1:]):
            os.write(typed, part)
        assert [driver.key(), driver.key()] == ["up", "é"]


def test_one_thread_is_left_when_the_process_was_stopped_and_goes_on():
    with listening() as (driver, typed):
        former = driver._key_thread
        driver.begin()
        former.join(PATIENCE_S)
        assert not former.is_alive()
        os.write(typed, b"q")
        assert driver.key() == "q"


def test_only_textuals_own_driver_is_replaced(shown, monkeypatch):
    from support.viewer import dashboard

    assert dashboard(shown).get_driver_class() is TerminalDriver
    assert issubclass(TerminalDriver, LinuxDriver)
    monkeypatch.setattr(constants, "DRIVER", "textual.drivers.headless_driver:HeadlessDriver")
    assert dashboard(shown).get_driver_class().__name__ == "HeadlessDriver"


@pytest.mark.parametrize("by_key", [False, True])
def test_a_stop_from_outside_is_an_end_before_the_next_beginning(by_key):
    """Or a second thread would wait for keys that the first one has read, and never end."""
    done = []

    class Noting(Listening):
        def suspend_application_mode(self):
            done.append("end")

        def resume_application_mode(self):
            done.append("begin")

    driver = Noting(-1)
    driver._auto_restart, driver._must_signal_resume = True, by_key
    driver._sigcont_application()
    assert done == (["begin"] if by_key else ["end", "begin"])
