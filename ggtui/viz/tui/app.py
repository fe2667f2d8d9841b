"""The app: screens over one run, the engine's events taken in by a timer, and the keys that work everywhere."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterable, Mapping
from functools import partial
from importlib import import_module
from typing import Any, ClassVar

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver
from textual.screen import ModalScreen, Screen
from textual.scrollbar import ScrollBar, ScrollBarRender
from textual.theme import Theme

from ggtui.core.errors import GgtuiError
from ggtui.viz.live import Live
from ggtui.viz.messages import Command, Gone, MeasureKl, MeasureLimits, Profile, Stop
from ggtui.viz.terminal import hung_up
from ggtui.viz.tui import screens
from ggtui.viz.tui.base import NARROW, WIDE, LoadAnew, RunScreen
from ggtui.viz.tui.driver import LastingDriver
from ggtui.viz.tui.help import Help
from ggtui.viz.tui.switching import Engine, Switching

STREAM_HZ, SHOW_HZ = 20, 4
TWICE = 2.0  # seconds within which a second Ctrl+C leaves
TERMINAL_HZ = 1  # how often to look whether there still is one, which takes microseconds
HUNG_UP = 128 + signal.SIGHUP

DARK = Theme(
    "ggtui-dark", primary="#7aa2f7", secondary="#9aa5ce", accent="#e0af68", warning="#e0af68", error="#f7768e",
    success="#9ece6a", foreground="#c8ccd8", background="#15171d", surface="#1a1d25", panel="#232733", dark=True,
)  # fmt: skip
LIGHT = Theme(
    "ggtui-light", primary="#2e5cb8", secondary="#5a6478", accent="#9a5b00", warning="#9a5b00", error="#b3261e",
    success="#2f6f1f", foreground="#24272e", background="#fbfbf9", surface="#f3f3ef", panel="#e6e6e0", dark=False,
)  # fmt: skip


class AsciiScrollBar(ScrollBarRender):
    """Ends of bars are whole characters; their colours say where they are."""

    VERTICAL_BARS: ClassVar[list[str]] = [" "] * 8
    HORIZONTAL_BARS: ClassVar[list[str]] = [" "] * 8
    BLANK_GLYPH: ClassVar[str] = " "


class GgtuiApp(App[int]):
    """`engine` is None for a saved run, which begins at the first screen that needs none."""

    TITLE = "ggtui"
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "ctrl+p"
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-narrow"), (NARROW, "-medium"), (WIDE, "-wide"),
    ]  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "interrupt", "stop", priority=True, show=False),
        Binding("f1", "help", "help", priority=True, key_display="F1"),
        Binding("ctrl+o", "models", "models", show=False, priority=True),
        Binding("f9", "release_mouse", "mouse", show=False, priority=True),
    ]

    def __init__(
        self, live: Live, engine: Engine | None = None, *, mouse: bool = True, ascii_only: bool = False
    ) -> None:
        super().__init__()
        for row in screens.SCREENS:
            self._bindings.bind(row.key, f"tab({row.title!r})", row.title, show=False, priority=True)
            self._bindings.bind(row.digit, f"tab({row.title!r})", row.title, show=False)
        self.live, self.engine, self.ascii_only = live, engine, ascii_only
        self._switching = None if engine is None else Switching(live, engine)
        self._interrupted = -TWICE
        self.failed: Gone | None = None  # why there was nothing to show
        self._chosen = False  # something else than what it was started with
        self._shown = -1
        self.prepared = threading.Event()
        self._mouse = mouse

    def get_driver_class(self) -> type[Driver]:
        driver = super().get_driver_class()
        return LastingDriver if driver is LinuxDriver else driver

    def on_mount(self) -> None:
        for theme in (DARK, LIGHT):
            self.register_theme(theme)
        self.theme = LIGHT.name if light_terminal(os.environ.get("COLORFGBG", "")) else DARK.name
        ScrollBar.renderer = AsciiScrollBar if self.ascii_only else ScrollBarRender
        for row in screens.SCREENS:
            self.install_screen(row.load()(self.live, self.ask, row), row.title)
        self.push_screen(screens.first(self.engine is not None).title)
        self.set_interval(1 / STREAM_HZ, self._pump)
        self.set_interval(1 / SHOW_HZ, self._show)
        self.call_after_refresh(threading.Thread(target=self._prepare, daemon=True).start)
        if self.is_web:  # a server that was killed leaves its screens behind
            parent = os.getppid()
            self.set_interval(2, lambda: self.exit() if os.getppid() != parent else None)
        elif not self.is_headless:  # without a terminal its input is at its end, and reading that takes a whole core
            self.set_interval(1 / TERMINAL_HZ, lambda: self.exit(return_code=HUNG_UP) if hung_up() else None)
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGHUP):  # so that the terminal is put in order first
                asyncio.get_running_loop().add_signal_handler(number, self.exit, None, 128 + number)

    def _prepare(self) -> None:
        """Load what the first figures need, numpy above all, while the person reads the first frame. Until then no
        event is taken in: two threads that import the same may find it half imported."""
        try:
            import_module("ggtui.perf.table")
        finally:
            self.prepared.set()

    def ask(self, command: Command) -> None:
        """Ask something of the engine. Measuring that may take a minute ends for it."""
        if self.live.measuring is not None and not isinstance(command, MeasureKl):
            self.live.measuring = None
            if not isinstance(command, Stop):
                self.ask(Stop())
        if self._switching is not None:
            self._switching.send(command)

    def _pump(self) -> None:
        """Take in what the engine said."""
        if not self.prepared.is_set():
            return
        if self.engine is None or self._switching is None:
            return
        events = self.engine.receive()
        for event in events:
            self._switching.take(event)
            if self.live.loaded is not None:
                self.failed = None
            if isinstance(event, Gone) and event.loading and self.live.loaded is None:  # there is no chat to keep
                self._first_failed(event)
                return
            chat = screens.first(True)
            if isinstance(event, Gone) and self.front.row is not chat:
                self.notify(
                    f"The engine stopped; {chat.digit} opens the {chat.title}, which says why.", severity="error"
                )
        if events:
            self.front.stream()

    def _first_failed(self, event: Gone) -> None:
        """Nothing was loaded yet. Where no model has the name that was given, or another one was chosen since, let the
        person choose; who chooses none leaves."""
        self.failed = event
        if event.unknown or self._chosen:
            self._pick(event.message)
        else:
            self.exit(return_code=event.exit_code)

    def _pick(self, told: str = "") -> None:
        from ggtui.viz.tui.dialogs.models import Models  # imports much

        def closed(_: object) -> None:
            if self.live.loaded is None and self.live.state == "gone" and self.failed is not None:
                self.exit(return_code=self.failed.exit_code)

        self.push_screen(Models(self.live, self.ask, lambda model: self.load_anew({"model": model}), told), closed)

    def on_load_anew(self, asked: LoadAnew) -> None:
        self.load_anew(asked.changes)

    def load_anew(self, changes: Mapping[str, Any]) -> None:
        """Begin anew with these settings changed, of those that the engine starts with; the chat is kept."""
        if self._switching is not None:
            self._chosen, self.failed = True, None
            self._switching.restart(changes)

    def _show(self) -> None:
        if self.prepared.is_set() and self.live.version != self._shown:
            self._shown = self.live.version
            self.front.draw()

    @property
    def front(self) -> RunScreen:
        """The screen that is in front, perhaps behind a dialog."""
        return next(screen for screen in reversed(self.screen_stack) if isinstance(screen, RunScreen))

    def refresh_now(self) -> None:
        """Take in and draw what is new without waiting for the timers."""
        self._pump()
        self._show()

    # ---- keys ----

    def action_tab(self, title: str) -> None:
        while isinstance(self.screen, ModalScreen):  # help and dialogs
            self.pop_screen()
        if isinstance(self.screen, RunScreen) and title != self.screen.row.title:
            self.switch_screen(title)

    def action_interrupt(self) -> None:
        """Copy what is selected, else stop the answer, else leave when pressed twice."""
        selected = self.screen.get_selected_text()
        if selected:
            self.copy_to_clipboard(selected)
            self.screen.clear_selection()
        elif self.live.state == "busy" or self.live.measuring is not None:
            self.ask(Stop())
        elif time.monotonic() - self._interrupted < TWICE:
            self.exit()
        else:
            self._interrupted = time.monotonic()
            self.notify("Press Ctrl+C again to leave.", timeout=TWICE)

    def action_help(self) -> None:
        if isinstance(self.screen, Help):
            self.screen.dismiss()
        elif isinstance(self.screen, RunScreen):
            self.push_screen(Help(self.screen.row.title, self.screen, self.screen.MORE_KEYS))

    def action_restart_engine(self) -> None:
        """Begin anew with an engine that is gone; the chat and the settings are kept."""
        if self.live.state == "gone":
            self.load_anew({})

    def action_models(self) -> None:
        """Choose another model; the chat is kept."""
        if self.engine is not None and not isinstance(self.screen, ModalScreen):
            self._pick()

    def action_release_mouse(self) -> None:
        """Let the terminal have the mouse, to select text with, or take it back."""
        toggle = getattr(self._driver, "_disable_mouse_support" if self._mouse else "_enable_mouse_support", None)
        if toggle is not None:
            toggle()
            self._mouse = not self._mouse
            self.notify(
                "The mouse is the terminal's; F9 takes it back." if not self._mouse else "The mouse works here."
            )

    def action_change_colors(self) -> None:
        self.theme = LIGHT.name if self.theme == DARK.name else DARK.name

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        for row in screens.SCREENS:
            yield SystemCommand(f"Go to {row.title}", row.key.upper(), partial(self.action_tab, row.title))
        yield SystemCommand("Help", "The keys that work here (F1)", self.action_help)
        yield SystemCommand("Light or dark", "Change the colours", self.action_change_colors)
        yield SystemCommand("Mouse", "Give the mouse to the terminal, or take it back (F9)", self.action_release_mouse)
        yield SystemCommand("Suspend", "Back to the shell; fg returns", self.action_suspend_process)
        yield SystemCommand("Quit", "Leave ggtui", self.exit)
        if self.engine is not None:
            yield SystemCommand("Models", "Talk to another one; the chat is kept (^O)", self.action_models)
            yield SystemCommand("Profile off", "Record no node times", partial(self.ask, Profile(False)))
            yield SystemCommand("Profile on", "Record node times", partial(self.ask, Profile(True)))
            yield SystemCommand("Measure limits", "What this machine allows", partial(self.ask, MeasureLimits()))
            yield SystemCommand("Measure KL", "What matrices in fewer bits would cost", partial(self.ask, MeasureKl()))
            yield SystemCommand("Restart the engine", "When it stopped; the chat is kept", self.action_restart_engine)


def light_terminal(colors: str) -> bool:
    """Whether COLORFGBG, "text;background", tells of a light background."""
    return colors.rpartition(";")[2] in ("7", "15")


def run(engine: Engine | None, live: Live, *, mouse: bool = True, ascii_only: bool = False) -> int:
    """Run the app until the person leaves; the exit code. Raises GgtuiError for a model that does not load."""
    app = GgtuiApp(live, engine, mouse=mouse, ascii_only=ascii_only)
    try:
        app.run(mouse=mouse)
    finally:
        if engine is not None:
            engine.close()
    if hung_up():  # perhaps before the app could look, and then it failed
        return HUNG_UP
    if app.failed is not None:
        error = GgtuiError(app.failed.message)
        error.exit_code = app.failed.exit_code
        raise error
    return app.return_code or 0
