"""The one process that renders chat templates for this program (rendering/process.py), as seen from here: started when
it is first needed, kept for the next request, killed when it takes too long.

It ends with this program, however that ends: its socket then says so.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ggtui.core.errors import MissingPartError, TemplateError

LIMIT_S = 1.8  # so that with a start of the process it is within 2 s
START_S = 30.0  # on a machine that has more to do
MOST_ANSWER = 64 << 20  # bytes
_NO_START = "the process for chat templates does not start"
_LIBRARIES = ("jinja2", "markupsafe")
# All that it gets of the environment: what Python itself may need, and the time zone.
_ENVIRONMENT = ("DYLD_LIBRARY_PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "TZ")


class Helper:
    """Safe to use from several threads: one request after another. After a fork the child starts its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._ready = False  # it said so

    def prepare(self) -> None:
        """Start it, for who will soon ask, and don't wait until it is ready. Where it can't be, who asks is told."""
        with self._lock, suppress(MissingPartError, OSError, ValueError):  # the last from find_spec
            if self._process is None:
                self._start()

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """What rendering.process.answer says to it. Raises TemplateError when it does not within LIMIT_S, or ends;
        MissingPartError when it cannot be started."""
        data = json.dumps(request).encode()
        with self._lock:
            end = None
            while True:
                runs = self._process is not None and self._process.poll() is None
                if not runs:
                    self.stop()
                    self._start()
                is_new = not self._ready
                try:
                    if is_new:
                        self._await()
                except MissingPartError:
                    if not runs:
                        raise
                    continue  # it ended since it was prepared
                end = end or time.monotonic() + LIMIT_S
                try:
                    answer = self._exchange(data, end)
                except TimeoutError:
                    self.stop()
                    raise TemplateError(f"takes longer than {LIMIT_S:g} s") from None
                except (EOFError, OSError, ValueError):
                    answer = {"error": self._how_it_ended(), "last": True}
                except BaseException:  # Ctrl+C: its answer would be taken for that to the next request
                    self.stop()
                    raise
                if "last" not in answer:
                    return answer
                self.stop()
                if is_new:  # else what earlier templates left in its memory may be to blame
                    return answer

    def _start(self) -> None:
        paths = [spec.origin for name in _LIBRARIES if (spec := find_spec(name)) is not None and spec.origin]
        if len(paths) < len(_LIBRARIES):
            raise MissingPartError("chat templates need jinja2, which is not installed: pip install jinja2")
        folders = [str(Path(path).parent.parent) for path in paths]
        folders.append(str(Path(__file__).parent))  # has `rendering`, here without the packages around it
        code = f"import sys; sys.path += {folders!r}; from rendering.process import main; main()"
        ours, theirs = socket.socketpair()
        self._socket = ours
        try:
            with theirs:
                self._process = subprocess.Popen(
                    (sys.executable, "-I", "-S", "-c", code),  # nothing from the current folder or the environment
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                    start_new_session=True,  # so that the terminal's Ctrl+C does not reach it
                )
        except OSError:
            self.stop()
            raise MissingPartError(_NO_START) from None
        except BaseException:
            self.stop()
            raise

    def _await(self) -> None:
        """Until it is ready."""
        assert self._socket is not None
        try:
            self._socket.settimeout(START_S)
            if not self._socket.recv(1):
                raise EOFError
            self._ready = True
        except (EOFError, OSError):
            self.stop()
            raise MissingPartError(_NO_START) from None
        except BaseException:
            self.stop()
            raise

    def _exchange(self, data: bytes, end: float) -> dict[str, Any]:
        assert self._socket is not None
        self._socket.settimeout(max(0.001, end - time.monotonic()))
        self._socket.sendall(len(data).to_bytes(4, "little") + data)
        length = int.from_bytes(self._receive(4, end), "little")
        if length > MOST_ANSWER:
            raise ValueError(length)
        answer: dict[str, Any] = json.loads(self._receive(length, end))
        return answer

    def _receive(self, n: int, end: float) -> bytes:
        assert self._socket is not None
        data = bytearray()
        while len(data) < n:
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            if not (more := self._socket.recv(min(n - len(data), 1 << 20))):
                raise EOFError
            data += more
        return bytes(data)

    def _how_it_ended(self) -> str:
        process = self._process
        self.stop()
        if process is not None and process.returncode == -signal.SIGXCPU:
            return f"takes longer than {LIMIT_S:g} s"
        return "the process that renders it broke off"

    def stop(self) -> None:
        """End the process. The next request starts a new one."""
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            with suppress(OSError):
                self._process.kill()
            self._process.wait()
        self._process = self._socket = None
        self._ready = False

    def forget(self) -> None:
        """In a child after a fork: the process is the parent's, and the lock may be held by a thread that is not
        here."""
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            self._process.returncode = 0  # so that nobody waits for it
        self._lock = threading.Lock()
        self._process = self._socket = None
        self._ready = False


HELPER = Helper()
atexit.register(HELPER.stop)
os.register_at_fork(after_in_child=HELPER.forget)
