from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from ggtui.viz.interrupt import Terminated, stop_on_signal, terminable


def test_stop_is_called_while_the_main_thread_is_busy() -> None:
    """As with C: no exception reaches it, it only learns that it is to stop."""
    asked, shown = threading.Event(), []
    before = signal.signal(signal.SIGINT, lambda *_: shown.append(asked.wait(20)))
    try:
        with stop_on_signal(asked.set):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGINT, before)
    assert shown == [True]


def test_stop_is_not_called_if_the_handler_ends_it() -> None:
    with pytest.raises(KeyboardInterrupt), stop_on_signal(lambda: pytest.fail("called")):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)


def test_without_a_signal_nothing_is_called_and_nothing_is_left() -> None:
    before, n_threads = signal.set_wakeup_fd(-1), threading.active_count()
    n_files = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
    with stop_on_signal(lambda: pytest.fail("called")):
        pass
    assert threading.active_count() == n_threads
    if n_files:
        assert len(os.listdir("/proc/self/fd")) == n_files
    assert signal.set_wakeup_fd(before) == -1


def test_other_signals_do_not_stop() -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        with stop_on_signal(lambda: pytest.fail("called")):
            os.kill(os.getpid(), signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_raises(number: signal.Signals) -> None:
    before = handlers()
    with pytest.raises(Terminated) as raised, terminable():
        os.kill(os.getpid(), number)
        time.sleep(5)
    assert raised.value.number == number and handlers() == before


def test_a_second_sighup_does_not_disturb_the_end() -> None:
    """A terminal that closes is told of by the system and by the shell."""
    done: list[bool] = []
    with pytest.raises(Terminated), terminable():
        try:
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(5)
        finally:
            os.kill(os.getpid(), signal.SIGHUP)
            done.append(True)
    assert done == [True]


def test_what_is_ignored_stays_so() -> None:
    """Under nohup a program goes on."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with terminable():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_in_another_thread_signals_are_left_alone() -> None:
    done: list[bool] = []

    def run() -> None:
        with terminable(), stop_on_signal(lambda: None):
            done.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert done == [True]
