"""A program in a pseudo-terminal, and what stands on its screen: as much of a terminal as full-screen programs need."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

# A whole sequence, or at the end of what came the beginning of one.
_SEQUENCE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*(?P<end>[@-~])|[\]P_^][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-OQ-Z\\`-~])"
    r"|(?P<part>\x1b(?:\[[0-?]*[ -/]*|[\]P_^][^\x07\x1b]*\x1b?|[ -/]*)\Z)"
)


# Programs find Python's compiled files, as those of an installed one do.
COMPILED = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


class Terminal:
    """`command` in a pseudo-terminal of this size. `first_byte` is when it wrote something, in seconds of
    time.monotonic, as `started` is. Leave with `close`."""

    def __init__(
        self, command: Sequence[str], columns: int, rows: int, environment: Mapping[str, str] | None = None
    ) -> None:
        self.columns, self.rows = columns, rows
        self._cells = [[" "] * columns for _ in range(rows)]
        self._x = self._y = 0
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""
        self.n_bytes = 0
        self.started, self.first_byte = time.monotonic(), 0.0
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            with suppress(OSError):
                os.execvpe(command[0], list(command), {**COMPILED, "TERM": "xterm-256color", **(environment or {})})
            os._exit(127)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> float:
        """Press keys; when, in seconds of time.monotonic."""
        now = time.monotonic()
        os.write(self._fd, text.encode())
        return now

    def text(self) -> list[str]:
        """The lines of the screen."""
        return ["".join(row) for row in self._cells]

    def wait(self, shows: Callable[[Terminal], bool], timeout: float = 30.0) -> float:
        """Read until the screen shows something; when that was written. Raises TimeoutError, EOFError if it ended."""
        end = time.monotonic() + timeout
        while not shows(self):
            if not self._read(end - time.monotonic()):
                raise TimeoutError("\n".join(self.text()))
        return self._at

    def drain(self, seconds: float) -> None:
        """Read for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._read(left)

    def close(self) -> int:
        """Wait for its end, and ask for it after two seconds; the exit code."""
        asked, since = (signal.SIGTERM, signal.SIGKILL), time.monotonic()
        for number in (0, *asked):
            if number:
                os.kill(self.pid, number)
            while time.monotonic() - since < 2:
                with suppress(EOFError, OSError):
                    self._read(0.05)
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    os.close(self._fd)
                    return os.waitstatus_to_exitcode(status)
            since = time.monotonic()
        raise TimeoutError(f"process {self.pid} does not end")

    def _read(self, timeout: float) -> bool:
        if not select.select([self._fd], [], [], max(timeout, 0))[0]:
            return False
        try:
            data = os.read(self._fd, 1 << 16)
        except OSError:  # Linux's way to say that all who write are gone
            data = b""
        self._at = time.monotonic()
        if not data:
            raise EOFError("the program has ended:\n" + "\n".join(self.text()))
        self.first_byte = self.first_byte or self._at
        self.n_bytes += len(data)
        self._draw(self._rest + self._decode(data))
        return True

    def _draw(self, text: str) -> None:
        at = 0
        self._rest = ""
        for found in _SEQUENCE.finditer(text):
            self._put(text[at : found.start()])
            at = found.end()
            if found["part"] is not None:
                self._rest = found["part"]
            elif found["end"] == "H":
                y, _, x = found[0][2:-1].partition(";")
                self._y, self._x = int(y or 1) - 1, int(x or 1) - 1
            elif found["end"] == "J":
                self._cells = [[" "] * self.columns for _ in range(self.rows)]
        self._put(text[at:])

    def _put(self, text: str) -> None:
        for character in text:
            if character == "\n":
                self._y += 1
            elif character == "\r":
                self._x = 0
            elif character >= " ":
                if 0 <= self._y < self.rows and 0 <= self._x < self.columns:
                    self._cells[self._y][self._x] = character
                self._x += 1
