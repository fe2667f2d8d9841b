"""One reader at a time: of a session that two threads read on at once, or two generations in turn, the texts would be
mixed."""

from __future__ import annotations

import os
import threading

from ggtui.core.errors import UsageError


class OneReader:
    """To be entered by who reads tokens; raises UsageError while another thread does. `changes` counts how often tokens
    were read or forgotten."""

    def __init__(self) -> None:
        self.changes = 0
        self._process, self._lock = os.getpid(), threading.Lock()

    def __enter__(self) -> None:
        if self._process != os.getpid():  # a child of fork() has none of the threads that may have held it
            self._process, self._lock = os.getpid(), threading.Lock()
        if not self._lock.acquire(blocking=False):
            raise UsageError("the session reads tokens in another thread; load one for each thread, or take turns")

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def check(self, changes: int) -> None:
        """Raise UsageError where there were others than so many."""
        if self.changes != changes:
            raise UsageError(
                "the session read or forgot other tokens since the last step of this generation; end one before the "
                "next begins, or load a session for each"
            )
