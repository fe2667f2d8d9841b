"""The full screen on a terminal that goes away, with a SIGHUP or without one."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from on_terminal import READY, Terminal
from processes import alive, children
from recorded import RecordedEngine, drive, loaded, settle
from textual.app import App
from textual.drivers._writer_thread import WriterThread
from textual.pilot import Pilot

from ggtui.chat.folders import history
from ggtui.viz.live import Live
from ggtui.viz.tui import app as app_module
from ggtui.viz.tui.app import GgtuiApp
from ggtui.viz.tui.driver import LastingDriver

on_linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")


def started(untold: bool) -> tuple[Terminal, list[int]]:
    """A chat, and the numbers of its processes, of which the engine's is the last."""
    terminal = Terminal("-n", "-1", "--ctx-shift", untold=untold)
    deadline = time.monotonic() + 30
    while len(processes := [terminal.program.pid, *children(terminal.program.pid)]) < 2 + untold:
        assert time.monotonic() < deadline and terminal.program.poll() is None
        time.sleep(0.01)
    return terminal, processes


def ends(terminal: Terminal, processes: list[int]) -> None:
    """With its terminal, soon, and with all its processes."""
    terminal.close()
    try:
        assert terminal.program.wait(20) == 128 + signal.SIGHUP
        deadline = time.monotonic() + 5
        while any(map(alive, processes)) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not any(map(alive, processes))
    finally:
        for pid in filter(alive, processes):
            os.kill(pid, signal.SIGKILL)


@on_linux
@pytest.mark.parametrize("untold", [False, True])
def test_a_terminal_that_closes_ends_it(untold: bool) -> None:
    terminal, processes = started(untold)
    terminal.wait_for(READY)
    terminal.wait_for(b"Type the beginning")
    ends(terminal, processes)


@on_linux
@pytest.mark.parametrize("untold", [False, True])
def test_also_while_an_answer_comes(untold: bool) -> None:
    terminal, processes = started(untold)
    terminal.wait_for(b"Type the beginning")
    terminal.press(b"The king\r")
    terminal.wait_for(b"writing")
    ends(terminal, processes)
    assert "+The king\n" in history().read_text()


@on_linux
def test_also_before_there_is_a_screen() -> None:
    terminal, processes = started(untold=True)
    ends(terminal, processes)


def test_nothing_is_said_of_it() -> None:
    """To another terminal, where the screen is drawn, and which stays."""
    other = Terminal("--help")
    terminal = Terminal(untold=True, stderr=other.theirs)
    other.wait_for(b"Type the beginning")
    terminal.close()
    deadline = time.monotonic() + 20
    while terminal.program.poll() is None and time.monotonic() < deadline:
        other.read()
    other.read()
    assert terminal.program.poll() == 128 + signal.SIGHUP and b"Traceback" not in other.shown


def test_what_is_written_to_no_terminal_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.openpty()
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # Ctrl+Z stays what it is

    async def write() -> None:
        driver = LastingDriver(App())
        driver.write("not begun")
        driver._writer_thread = WriterThread(driver._file)
        driver._writer_thread.start()
        driver.write("shown")
        while b"shown" not in os.read(ours, 100):
            pass
        os.close(ours)
        for _ in range(1000):
            driver.write("lost")
        assert driver._writer_thread.is_alive()
        driver.close()
        driver.write("after its end")

    with open(theirs, "r+b", buffering=0) as terminal:
        monkeypatch.setattr(sys, "__stdin__", terminal)
        monkeypatch.setattr(sys, "__stderr__", terminal)
        asyncio.run(write())


def test_an_app_that_has_no_terminal_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "hung_up", lambda: True)
    monkeypatch.setattr(app_module, "TERMINAL_HZ", 1000)

    async def script(pilot: Pilot[int]) -> None:
        await asyncio.sleep(0.05)
        await settle(pilot)
        assert pilot.app.is_running and pilot.app.return_code is None

    drive(GgtuiApp(Live(), RecordedEngine(loaded())), script)
