"""A progress bar with the time that is left, on stderr, for work that takes a while."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

Progress = Callable[[int, int], None]
# Columns of the name at most and of the bar: with the figures 76, for a ^C that is echoed behind 80 wraps the line, and
# then only half of it is taken away.
_MOST_NAMED, _WIDTH = 32, 32
_EVERY = 0.1  # seconds from one drawing to the next


@contextmanager
def progress_bar(what: str, *, quiet: bool = False, after: float = 0.0) -> Iterator[Progress | None]:
    """What to call with the amount done and the whole, from any thread; None where nobody would see it.

    `what` names the work. The bar is drawn where stderr is a terminal, and is gone afterwards. Work that is over within
    `after` seconds, if that is not 0, has none.
    """
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield None
    elif after:
        late = _Late(what, after)
        try:
            yield late.tell
        finally:
            late.end()
    else:
        with _bars() as bars:
            task = bars.add_task(what, total=None)
            yield lambda done, total: bars.update(task, completed=done, total=total)


def _bars(*, threaded: bool = True) -> Bars:
    """Bars that a thread of theirs draws, with what is written meanwhile above them; or that are drawn when they are
    told to, and take no other's writing in."""
    from rich import progress
    from rich.console import Console
    from rich.table import Column

    columns = (
        progress.TextColumn(
            "{task.description}", markup=False, table_column=Column(no_wrap=True, max_width=_MOST_NAMED)
        ),
        progress.BarColumn(_WIDTH),
        progress.TaskProgressColumn(table_column=Column(no_wrap=True, min_width=4)),
        progress.TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )
    return progress.Progress(
        *columns, console=Console(stderr=True), transient=True, auto_refresh=threaded, redirect_stdout=threaded,
        redirect_stderr=threaded,
    )  # fmt: skip


class _Late:
    """A bar that a thread draws from some seconds on. Who works only notes how far it is, so that neither the drawing
    nor the import of what draws is waited for, but by `end`."""

    def __init__(self, what: str, after: float) -> None:
        self._told: tuple[int, int | None] = (0, None)  # in one, so that both are of the same moment
        self._over = Event()
        self._thread = Thread(target=self._draw, args=(what, after), name="ggtui-progress", daemon=True)
        self._thread.start()

    def tell(self, done: int, total: int) -> None:
        self._told = done, total

    def end(self) -> None:
        self._over.set()
        self._thread.join()

    def _draw(self, what: str, after: float) -> None:
        if self._over.wait(after):
            return
        with suppress(OSError), _bars(threaded=False) as bars:  # of a terminal that is gone
            task = bars.add_task(what, total=None)
            while True:
                done, total = self._told
                bars.update(task, completed=done, total=total, refresh=True)
                if self._over.wait(_EVERY):
                    return
