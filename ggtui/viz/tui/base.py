"""What the screens share: a bar that says what runs, the keys at the bottom, and when to draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Footer, Static

from ggtui.core.runtime.busy import BUSY
from ggtui.viz import summary
from ggtui.viz.live import Live
from ggtui.viz.messages import Command
from ggtui.viz.text import model_name, printable_line
from ggtui.viz.tui import screens
from ggtui.viz.tui.palette import ScreenKeys

NARROW = 81  # columns below which panels stack
WIDE = 120  # columns from which on the chat has a panel at its right


class LoadAnew(Message):
    """Asks the app to have the engine begin anew with these settings changed."""

    def __init__(self, changes: Mapping[str, object]) -> None:
        super().__init__()
        self.changes = changes


Send = Callable[[Command], None]
STATES = {"loading": "loading", "busy": "writing", "idle": "ready", "gone": "stopped", "saved": "saved run"}


class TopBar(Static):
    """One line: the model and what computes it, the screens, the speed."""

    DEFAULT_CSS = "TopBar { height: 1; background: $panel; color: $foreground; }"

    def __init__(self, live: Live, tab: str) -> None:
        super().__init__(markup=False)
        self._live, self._tab = live, tab

    def show(self) -> None:
        """Draw it anew."""
        self.update(bar(self._live, self._tab, self.size.width or self.app.size.width), layout=False)

    def on_resize(self) -> None:
        self.show()


def paced(live: Live) -> str:
    """Beside the engine's own speed: the one at which it is to show text, if there is one."""
    speed = live.settings.get("speed")
    return summary.paced(speed) if isinstance(speed, float) else ""


def bar(live: Live, name: str, width: int) -> Text:
    """The text of the bar, `width` columns wide; `name` is the tab in front."""
    run = live.run
    heaviest = max(run.types, key=run.types.__getitem__) if run.types else ""
    model = model_name(run.model) or "ggtui"
    computes = f"{run.device}/{run.threads}t" if run.threads else ""
    told = [model, printable_line(heaviest), printable_line(computes)]
    named = ((row.title, f"{row.digit} {row.title}") for row in screens.SCREENS)
    tabs = " ".join(f"[{tab}]" if title == name else tab for title, tab in named)
    rate = live.tokens_per_s
    pace = paced(live) if width >= NARROW - 9 else ""
    loading = f" {live.loading.part:.0%}" if live.loading is not None else ""
    state = "" if rate and width < NARROW - 9 + len(pace) else f"{STATES[live.state] + loading:9}"
    taken = run.others + run.stolen
    busy = f"busy {taken:.0%} " if taken >= BUSY and width >= NARROW - 9 else ""  # other programs, other machines
    right = f"{busy}{rate:5.0f} tok/s{pace} {state}" if rate else f"{busy}{state}"
    room = width - len(tabs) - len(right) - 4
    while len(told) > 1 and len(" ".join(told)) > room:  # rather less than half a word
        told.pop()
    text = Text(f" {' '.join(filter(None, told))[: max(room, 0)]}", style="bold", no_wrap=True, end="")
    text.append(f"  {tabs}", style="not bold")
    text.append(" " * max(width - text.cell_len - len(right), 1))
    text.append(right, style="not bold")
    text.truncate(width)
    return text


class RunScreen(Screen[None]):
    """A screen. `live` is the run, `send` asks something of the engine (for a saved run it does nothing), `row` its
    place among the screens.

    A screen overrides `body` (its widgets), `show` (draw the state; four times a second, when it is new) and, where
    text streams, `stream` (twenty times a second).
    """

    MORE_KEYS: ClassVar[tuple[tuple[str, str], ...]] = ()  # that its widgets know, for the help
    COMMANDS = Screen.COMMANDS | {ScreenKeys}

    def __init__(self, live: Live, send: Send, row: screens.ScreenRow) -> None:
        super().__init__(name=row.title)
        self.live, self.send, self.row = live, send, row

    def compose(self) -> ComposeResult:
        yield TopBar(self.live, self.row.title)
        yield from self.body()
        yield Footer(show_command_palette=False, compact=True)

    def body(self) -> ComposeResult:
        """The widgets between the bar and the keys."""
        yield from ()

    @property
    def lacking(self) -> str:
        """Why there is nothing to show, and what to do; "" where there is something."""
        return screens.lacking(self.row, self.live)

    def draw(self) -> None:
        """All of it anew."""
        if self.is_mounted and self.query(TopBar):  # one that is being made or closed lacks some of its widgets
            self.query_one(TopBar).show()
            self.show()

    def show(self) -> None:
        """Bring what is seen in line with `live`."""

    def stream(self) -> None:
        """Add the text that came."""

    def on_screen_resume(self) -> None:
        self.call_after_refresh(self.draw)
