"""Who may go on: locks that outlive a fork(), and one owner at a time of what several threads could mix up."""

from __future__ import annotations

import os
import threading
from weakref import WeakSet

from ggtui.core.errors import UsageError


class ForkedLock:
    """A lock that its holder may take again, and that a child of fork() finds open: the threads that may have held it
    are not there."""

    def __init__(self) -> None:
        self._renew()
        _LOCKS.add(self)

    def _renew(self) -> None:
        self._lock = threading.RLock()
        self.acquire, self.release = self._lock.acquire, self._lock.release

    def after_fork(self) -> None:
        """In the child, whose one thread may itself have held it: asked for as threading.Condition does."""
        if not self._lock._is_owned():  # type: ignore[attr-defined]
            self._renew()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


_LOCKS: WeakSet[ForkedLock] = WeakSet()


def _open_all() -> None:
    for lock in _LOCKS:
        lock.after_fork()


os.register_at_fork(after_in_child=_open_all)


class OneReader:
    """To be entered by who reads tokens; raises UsageError while another thread does. `changes` counts how often tokens
    were read or forgotten: of a sequence that two generations read on in turn the texts would be mixed."""

    def __init__(self) -> None:
        self.changes = 0
        self._lock = ForkedLock()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            raise UsageError(
                "another thread reads tokens of this session or sequence; have one for each thread, or take turns"
            )

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def check(self, changes: int) -> None:
        """Raise UsageError where there were others than so many."""
        if self.changes != changes:
            raise UsageError(
                "other tokens of this session or sequence were read or forgotten since the last step of this "
                "generation; end one before the next begins, or have a session or sequence for each"
            )
