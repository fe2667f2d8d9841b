"""The app: five screens over one run, the engine's events taken in by a timer, and the keys that work everywhere."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import ClassVar, Protocol

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.theme import Theme

from ggtui.viz.live import Live
from ggtui.viz.messages import Command, Event, MeasureLimits, Profile, Stop
from ggtui.viz.tui.base import NARROW, WIDE, RunScreen
from ggtui.viz.tui.screens.chat import ChatScreen
from ggtui.viz.tui.screens.graph import GraphScreen
from ggtui.viz.tui.screens.memory import MemoryScreen
from ggtui.viz.tui.screens.perf import PerfScreen
from ggtui.viz.tui.screens.timeline import TimelineScreen

STREAM_HZ, SHOW_HZ = 20, 4
TWICE = 2.0  # seconds within which a second Ctrl+C leaves

SCREENS: tuple[type[RunScreen], ...] = (ChatScreen, PerfScreen, GraphScreen, TimelineScreen, MemoryScreen)

DARK = Theme(
    "ggtui-dark", primary="#7aa2f7", secondary="#9aa5ce", accent="#e0af68", warning="#e0af68", error="#f7768e",
    success="#9ece6a", foreground="#c8ccd8", background="#15171d", surface="#1a1d25", panel="#232733", dark=True,
)  # fmt: skip
LIGHT = Theme(
    "ggtui-light", primary="#2e5cb8", secondary="#5a6478", accent="#9a5b00", warning="#9a5b00", error="#b3261e",
    success="#2f6f1f", foreground="#24272e", background="#fbfbf9", surface="#f3f3ef", panel="#e6e6e0", dark=False,
)  # fmt: skip


class Engine(Protocol):
    """What the app needs of the engine's process."""

    def send(self, command: Command) -> None:
        """Ask for something; never blocks."""

    def receive(self) -> list[Event]:
        """The events since the last call; never blocks. Ends with Gone when the process is no more."""

    def restart(self) -> None:
        """Begin anew after Gone, with the same settings and no turns."""

    def close(self) -> None:
        """End the process and wait for it."""


class GgtuiApp(App[int]):
    """`engine` is None for a saved run, which begins at the Perf screen."""

    TITLE = "ggtui"
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "ctrl+p"
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-narrow"), (NARROW, "-medium"), (WIDE, "-wide"),
    ]  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = [
        *[
            binding
            for n, cls in enumerate(SCREENS, start=1)
            for binding in (
                Binding(f"f{n + 1}", f"tab({n - 1})", cls.TAB, show=False, priority=True),
                Binding(str(n), f"tab({n - 1})", cls.TAB, show=False),
            )
        ],
        Binding("ctrl+c", "interrupt", "stop", priority=True, show=False),
        Binding("f1", "help", "help", priority=True),
        Binding("f9", "release_mouse", "mouse", show=False, priority=True),
    ]

    def __init__(self, live: Live, engine: Engine | None = None, *, ascii_only: bool = False) -> None:
        super().__init__()
        self.live, self.engine, self.ascii_only = live, engine, ascii_only
        self._interrupted = 0.0
        self._shown = -1

    def on_mount(self) -> None:
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = LIGHT.name if os.environ.get("COLORFGBG", "").endswith(";15") else DARK.name
        for cls in SCREENS:
            self.install_screen(cls(self.live, self.ask), cls.TAB)
        self.push_screen((ChatScreen if self.engine is not None else PerfScreen).TAB)
        self.set_interval(1 / STREAM_HZ, self._pump)
        self.set_interval(1 / SHOW_HZ, self._show)

    def ask(self, command: Command) -> None:
        """Ask something of the engine."""
        if self.engine is not None:
            self.engine.send(command)

    def _pump(self) -> None:
        """Take in what the engine said."""
        events = self.engine.receive() if self.engine is not None else []
        for event in events:
            self.live.take(event)
        if events and isinstance(self.screen, RunScreen):
            self.screen.stream()

    def _show(self) -> None:
        if self.live.version != self._shown and isinstance(self.screen, RunScreen):
            self._shown = self.live.version
            self.screen.draw()

    def refresh_now(self) -> None:
        """Take in and draw what is new without waiting for the timers."""
        self._pump()
        self._show()

    # ---- keys ----

    def action_tab(self, index: int) -> None:
        name = SCREENS[index].TAB
        if isinstance(self.screen, RunScreen) and name != self.screen.TAB:
            self.switch_screen(name)

    def action_interrupt(self) -> None:
        """Copy what is selected, else stop the answer, else leave when pressed twice."""
        selected = self.screen.get_selected_text()
        if selected:
            self.copy_to_clipboard(selected)
            self.screen.clear_selection()
        elif self.live.state == "busy":
            self.ask(Stop())
        elif time.monotonic() - self._interrupted < TWICE:
            self.exit(0)
        else:
            self._interrupted = time.monotonic()
            self.notify("Press Ctrl+C again to leave.", timeout=TWICE)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        yield SystemCommand("Quit", "Leave ggtui", lambda: self.exit(0))
        yield SystemCommand("Suspend", "Back to the shell; fg returns", self.action_suspend_process)
        yield SystemCommand("Light or dark", "Change the colours", self.action_change_colors)
        if self.engine is not None:
            yield SystemCommand("Profile off", "Record no node times", lambda: self.ask(Profile(False)))
            yield SystemCommand("Profile on", "Record node times", lambda: self.ask(Profile(True)))
            yield SystemCommand("Measure limits", "What this machine allows", lambda: self.ask(MeasureLimits()))

    def action_change_colors(self) -> None:
        self.theme = LIGHT.name if self.theme == DARK.name else DARK.name
