"""`ggtui chat` on a terminal of its own."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
READY = b"\x1b[?2004h"  # an editor, or the screen, says that it knows pasted text from typed
# As make does: it hears of the end of its terminal, and waits for its child, which hears nothing.
_UNTOLD = ("sh", "-c", 'trap : HUP; "$@"; exit $?', "sh")


class Terminal:
    """`untold`: no SIGHUP reaches the program. `streams`: those that are not to be the terminal."""

    def __init__(self, *args: str, untold: bool = False, **streams: Any) -> None:
        self.keyboard, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, 80))
        self.before = termios.tcgetattr(theirs)
        environ = {**os.environ, "TERM": "xterm", "PYTHONPATH": str(ROOT), "GGTUI_THREADS": "1"}
        environ["PROMPT_TOOLKIT_NO_CPR"] = "1"  # nobody answers its question where the cursor is
        command = [*(_UNTOLD if untold else ()), sys.executable, "-m", "ggtui", "chat", *args]
        streams = {**dict.fromkeys(("stdin", "stdout", "stderr"), theirs), **streams}
        self.program = subprocess.Popen(command, env=environ, preexec_fn=self._own_terminal, **streams)
        self.theirs = theirs
        self.shown = b""
        os.set_blocking(self.keyboard, False)

    @staticmethod
    def _own_terminal() -> None:
        os.setsid()
        os.close(os.open(os.ttyname(0), os.O_RDWR))

    def wait_for(self, text: bytes) -> None:
        """Until it is shown; forgets what was up to it."""
        deadline = time.monotonic() + 30
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown
            self.read()
        self.shown = self.shown.partition(text)[2]

    def read(self) -> None:
        """What it shows now."""
        try:
            self.shown += os.read(self.keyboard, 65536)
        except BlockingIOError:
            time.sleep(0.01)

    def press(self, keys: bytes) -> None:
        os.write(self.keyboard, keys)

    def close(self) -> None:
        """The terminal is gone."""
        os.close(self.theirs)
        os.close(self.keyboard)
