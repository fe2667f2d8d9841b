"""The engine as the screen sees it: a process of its own that has the model.

A slow screen never slows a token, and whatever happens to the engine leaves the terminal as it is. Nothing here waits
for the process but `close`. Imports little, so that the process starts before the screen's own libraries load.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ggtui.chat.settings import CHAT, LOADING, values_of
from ggtui.viz.text import printable_line
from ggtui.viz.wire import frame, take_frames

if TYPE_CHECKING:
    from ggtui.viz.messages import Command, Event

_PATIENCE = 1.0  # seconds for a process to end by itself
_HEARD = 4096  # bytes kept of what it wrote to its stderr
_PIECE = 1 << 18


def python() -> tuple[str, ...]:
    """What starts a process of ours. Like this one, it is not to take modules from the folder it happens to run in."""
    return (sys.executable, *(() if {"", os.getcwd()}.intersection(sys.path) else ("-P",)))


class EngineProcess:
    """Starts the process, talks to it, and begins anew when it is gone. It lives no longer than the thread it was
    started in.

    settings  attributes model and type_from, and those that settings.LOADING and CHAT name; then by name those that it
              was started with last
    """

    def __init__(self, settings: Any) -> None:
        self.settings = values_of(settings, ("model", "type-from", *LOADING, *CHAT))
        self._process: subprocess.Popen[bytes] | None = None
        self._start()

    def _start(self) -> None:
        """Raises OSError."""
        self._in, self._out, self._heard = bytearray(), bytearray(), b""
        self._loading, self._told, self._ended_at, self._failed = True, False, 0.0, ""
        ours, theirs = socket.socketpair()
        with theirs:
            ours.setblocking(False)
            self._socket = ours
            try:
                self._process = subprocess.Popen(
                    (*python(), "-m", "ggtui.viz.engine_process", str(theirs.fileno())),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,  # so that the terminal's Ctrl+C does not reach it
                )
            except OSError:
                ours.close()
                raise
        assert self._process.stderr is not None
        os.set_blocking(self._process.stderr.fileno(), False)
        self._post(self.settings)

    @property
    def pid(self) -> int:
        """The number of the process."""
        assert self._process is not None
        return self._process.pid

    def send(self, command: Command) -> None:
        """Ask for something; never blocks. What is asked of a process that is gone is not done."""
        self._post(command)

    def _post(self, value: object) -> None:
        self._out += frame(value)
        self._write()

    def _write(self) -> None:
        """As much as there is room for. `receive`, which is called often, sends the rest."""
        with suppress(OSError, ValueError):  # full, or closed: then reading tells
            while self._out:
                del self._out[: self._socket.send(self._out)]

    def receive(self) -> list[Event]:
        """The events since the last call; never blocks and never raises. The last one of a process that ended is Gone;
        after that there are none."""
        from ggtui.viz.messages import Gone, Loaded

        if self._failed:
            message, self._failed = self._failed, ""
            return [Gone(message)]
        if self._told:
            return []
        self._write()
        ended = self._read()
        events: list[Event] = []
        for event in take_frames(self._in):
            self._loading = self._loading and not isinstance(event, Loaded)
            self._told = self._told or isinstance(event, Gone)
            events.append(event)
        if ended and not self._told and (how := self._how_ended()):
            self._told = True
            events.append(Gone(how, self._loading))
        return events

    def _read(self) -> bool:
        """What came; True when no more will."""
        self._listen()
        if self._ended_at:
            return True
        try:
            while data := self._socket.recv(_PIECE):
                self._in += data
        except BlockingIOError:
            return False
        except OSError:  # killed with unread messages
            pass
        self._ended_at = time.monotonic()
        return True

    def _listen(self) -> None:
        """To its stderr, which is not to fill up."""
        assert self._process is not None and self._process.stderr is not None
        with suppress(OSError, ValueError):
            while data := self._process.stderr.read(_PIECE):
                self._heard = (self._heard + data)[-_HEARD:]

    def _how_ended(self) -> str:
        """One line, or "" as long as it has not quite ended."""
        assert self._process is not None
        code = self._process.poll()
        if code is None:
            if time.monotonic() - self._ended_at > _PATIENCE:
                self._process.kill()
            return ""
        self._listen()
        try:
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        except ValueError:
            how = f"was ended by signal {-code}"
        said = self._heard.decode("utf-8", "replace").strip().rpartition("\n")[2]
        return f"the engine {how}{f': {printable_line(said)}' if said else ''}"

    def restart(self, changes: Mapping[str, Any]) -> None:
        """Begin anew, with the settings of the last start but for these, and no turns; never raises. The process there
        was, if it is still one, is ended first: there may not be memory for two models."""
        self.close()
        self.settings = {**self.settings, **changes}
        try:
            self._start()
        except OSError as error:
            self._failed, self._told = f"the engine does not start: {printable_line(str(error))}", True

    def close(self) -> None:
        """End the process and wait for it."""
        from ggtui.viz.messages import Quit

        process = self._process
        if process is None:
            return
        self.send(Quit())
        try:
            process.wait(0 if self._out else _PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._told = True
        self._socket.close()
        if process.stderr is not None:
            process.stderr.close()
