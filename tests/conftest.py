"""What all tests share."""

from __future__ import annotations

import importlib.util
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import hypothesis
import pytest

# A shell ignores the one for what runs in its background, nohup the other, and so would every program that the tests
# start and interrupt.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, handler)

# No deadline: a loaded machine is not a bug. Derandomized: a failure repeats on every machine.
hypothesis.settings.register_profile("ggtui", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ggtui")


def pytest_report_header(config: pytest.Config) -> str:
    """Names the compiled module under test, which for the sanitizers is not the one in the working tree."""
    spec = importlib.util.find_spec("ggtui._native")
    return f"native: {spec.origin if spec else 'not built'}"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With GGTUI_NO_SKIPS=1, as in the continuous integration, a skipped test is a failure: a tool was missing."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = len(reporter.stats.get("skipped", ())) if reporter else 0
    if skipped and os.environ.get("GGTUI_NO_SKIPS") == "1":
        reporter.ensure_newline()
        reporter.write_line(f"{skipped} skipped, and GGTUI_NO_SKIPS=1 allows none", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session", autouse=True)
def _all_threads_work() -> None:
    """In every run, as many tests count on, however busy the machine is."""
    from ggtui.core.runtime.cpu import pool

    pool.MAY_REST = False


@pytest.fixture
def full_disk() -> Callable[[int], AbstractContextManager[None]]:
    """full_disk(n): within it no file grows beyond n bytes; writing more fails with "File too large"."""

    @contextmanager
    def full(n: int) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (n, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return full
