"""The screens of the app: each is a file and a row here. Tabs, keys, help and palette follow from the rows, the footer
from the file's bindings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ggtui.viz.live import Live


class Need(NamedTuple):
    """What there must be for a screen to show something.

    met      whether it is there
    lacking  what to tell of a saved run without it; {others} are the keys of the screens that need no engine
    """

    met: Callable[[Live], bool]
    lacking: str = "This run has no evaluations."


ENGINE = Need(
    lambda live: live.state != "saved",
    "This is a saved run; there is no model to talk to. {others} show it.",
)
GRAPHS = Need(lambda live: bool(live.graphs), "This run has no graph.")
EVALUATIONS = Need(lambda live: bool(live.n_evaluations))
RECORDS = Need(lambda live: bool(live.evaluations))
BYTES = Need(lambda live: bool(live.memory.weights or live.memory.kv or live.evaluations or live.loaded is not None))


class ScreenRow(NamedTuple):
    """A screen.

    key    one of f2 to f8 or f10, which works always; outside the prompt the digit before it does, too
    place  module:class
    """

    title: str
    key: str
    needs: Need
    place: str

    @property
    def digit(self) -> str:
        return str(int(self.key[1:]) - 1)

    def load(self) -> Any:
        """The class, a kind of base.RunScreen."""
        module, _, name = self.place.partition(":")
        return getattr(import_module(module), name)


SCREENS: tuple[ScreenRow, ...] = (
    ScreenRow("chat", "f2", ENGINE, "ggtui.viz.tui.screens.chat:ChatScreen"),
    ScreenRow("perf", "f3", EVALUATIONS, "ggtui.viz.tui.screens.perf:PerfScreen"),
    ScreenRow("graph", "f4", GRAPHS, "ggtui.viz.tui.screens.graph:GraphScreen"),
    ScreenRow("time", "f5", RECORDS, "ggtui.viz.tui.screens.timeline:TimelineScreen"),
    ScreenRow("mem", "f6", BYTES, "ggtui.viz.tui.screens.memory:MemoryScreen"),
)


def first(with_engine: bool) -> ScreenRow:
    """The screen to begin at."""
    return next(row for row in SCREENS if with_engine or row.needs is not ENGINE)


def lacking(row: ScreenRow, live: Live) -> str:
    """Why a screen has nothing to show, and what to do; "" where it has."""
    if row.needs.met(live):
        return ""
    return row.needs.lacking.format(others=f_keys("-", others=True)) if live.state == "saved" else nothing_ran()


def nothing_ran() -> str:
    """What to tell before the model said anything."""
    return f"Nothing has run yet: {first(True).digit} opens the {first(True).title}."


def keys_by_title() -> dict[str, str]:
    """F2, F3, ... by the title of the screen they open."""
    return {row.title: row.key.upper() for row in SCREENS}


def f_keys(joint: str, *, others: bool = False) -> str:
    """The keys of all screens, or of those that need no engine: F2-F6, with the joint in place of -."""
    return _ranges("F", (int(row.key[1:]) for row in SCREENS if not others or row.needs is not ENGINE), joint)


def digits(joint: str) -> str:
    """The keys of all screens outside the prompt."""
    return _ranges("", (int(row.digit) for row in SCREENS), joint)


def _ranges(before: str, numbers: Iterable[int], joint: str) -> str:
    """Numbers with those that follow each other put together."""

    def runs() -> Iterator[list[int]]:
        run: list[int] = []
        for n in sorted(numbers):
            if run and n != run[-1] + 1:
                yield run
                run = []
            run.append(n)
        yield run

    return ", ".join(
        f"{before}{run[0]}{joint}{before}{run[-1]}" if len(run) > 1 else f"{before}{run[0]}" for run in runs()
    )
