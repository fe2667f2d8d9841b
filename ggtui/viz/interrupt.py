"""Signals that end things: Ctrl+C, SIGTERM and SIGHUP, heard at once also while C computes."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SOON = 0.05  # seconds
_ENDS = (signal.SIGTERM, signal.SIGHUP)


class Terminated(BaseException):
    """SIGTERM or SIGHUP came: `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def _in_main_thread() -> bool:
    """Only there can a program say what signals do."""
    return threading.current_thread() is threading.main_thread()


@contextmanager
def terminable() -> Iterator[None]:
    """While inside, SIGTERM and SIGHUP raise Terminated, so that files and the terminal are put in order first; not the
    one that is ignored, as nohup does with SIGHUP."""
    if not _in_main_thread():
        yield
        return

    def terminate(number: int, _: object) -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the system and the shell both tell that a terminal is gone
        raise Terminated(number)

    before = {number: signal.getsignal(number) for number in _ENDS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, terminate)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def stop_on_signal(stop: Callable[[], None]) -> Iterator[None]:
    """While inside, what ends a program calls `stop`, from a thread of its own, if its handler does not end it soon.

    Python runs a handler only when C returns, and reading a long prompt can take C many seconds. The handler itself
    (KeyboardInterrupt for SIGINT) runs as ever, after `stop` has made C return. Where C returns by itself there is no
    need to stop it, and a stop that came too late would end the next run instead.
    """
    if not _in_main_thread():
        yield
        return
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    ended = threading.Event()

    def watch() -> None:
        with open(read_end, "rb", buffering=0) as signals:
            while number := signals.read(1):  # nothing: the other end is closed
                if number[0] in (signal.SIGINT, *_ENDS) and not ended.wait(_SOON):
                    stop()

    watcher = threading.Thread(target=watch, name="ggtui-interrupt", daemon=True)
    before = signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    try:  # from here on a signal must find its way to the end
        watcher.start()
        yield
    finally:
        ended.set()
        signal.set_wakeup_fd(before)
        os.close(write_end)
        if watcher.is_alive():
            watcher.join()


@contextmanager
def finish_first(finish: Callable[[], None]) -> Iterator[None]:
    """While inside, the first signal that ends a program calls `finish`, which is to have the work come to a good end
    soon; the next one ends the program as ever. Behind that good end the first one is raised."""
    if not _in_main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, *_ENDS)}
    before = {number: handler for number, handler in handlers.items() if handler is not signal.SIG_IGN}
    came: list[int] = []

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def first(number: int, _: FrameType | None) -> None:
        restore()
        came.append(number)
        finish()

    for number in before:
        signal.signal(number, first)
    try:
        yield
    finally:
        restore()
    for signalled in came:
        raise KeyboardInterrupt if signalled == signal.SIGINT else Terminated(signalled)
