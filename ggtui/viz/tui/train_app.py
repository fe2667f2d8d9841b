"""The app of a training: one screen over what a source tells, taken in by a timer."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterable
from typing import ClassVar

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver
from textual.screen import Screen

from ggtui.core.training.events import Ended, Saved, Trouble
from ggtui.viz.interrupt import Terminated
from ggtui.viz.terminal import hung_up
from ggtui.viz.training import Course
from ggtui.viz.training_thread import Failed, Source, Told
from ggtui.viz.tui.app import DARK, HUNG_UP, LIGHT, SHOW_HZ, STREAM_HZ, TERMINAL_HZ, light_terminal
from ggtui.viz.tui.driver import LastingDriver
from ggtui.viz.tui.help import Help
from ggtui.viz.tui.screens.train import TITLE, TrainScreen, state

ASKED = 5.0  # seconds that a question stands, and a key pressed again is an answer
_ENDING = "Ending after the step under way; Ctrl+C leaves at once, without saving."
EVERYWHERE = (
    ("^P", "palette: everything that can be done, by name"),
    ("^C", "asks, then saves and ends; again: leaves at once"),
)


class TrainApp(App[int]):
    """What is shown is `course`, which `source` tells of."""

    TITLE = "ggtui train"
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "ctrl+p"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c,ctrl+q", "interrupt", "stop", priority=True, show=False),
        Binding("f1", "help", "help", priority=True, show=False),
    ]

    def __init__(self, source: Source, *, ascii_only: bool = False) -> None:
        super().__init__()
        self.course, self.source = Course(), source
        self.front = TrainScreen(self.course, source, ascii_only=ascii_only)
        self.failed: BaseException | None = None  # what ended the training
        self.at_once = 0  # the signal by which the person left without saving
        self.heeded = 0  # the signal that it saved and ended by
        self._wants_end = False
        self._shown: tuple[int, str, bool] = (-1, "", False)  # version, state, and whether it runs

    def get_driver_class(self) -> type[Driver]:
        driver = super().get_driver_class()
        return LastingDriver if driver is LinuxDriver else driver

    def on_mount(self) -> None:
        for theme in (DARK, LIGHT):
            self.register_theme(theme)
        self.theme = LIGHT.name if light_terminal(os.environ.get("COLORFGBG", "")) else DARK.name
        self.push_screen(self.front)
        self.set_interval(1 / STREAM_HZ, self._pump)
        self.set_interval(1 / SHOW_HZ, self._show)
        if not self.is_headless:
            self.set_interval(1 / TERMINAL_HZ, lambda: self.exit(return_code=HUNG_UP) if hung_up() else None)
        if threading.current_thread() is threading.main_thread():
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGTERM, self._terminate)
            loop.add_signal_handler(signal.SIGHUP, self.exit, None, HUNG_UP)

    def _pump(self) -> None:
        """Take in what came."""
        for news in self.source.receive():
            match news:
                case Told():
                    self.front.say(news.text, problem=news.problem, passing=not news.problem)
                case Failed():
                    self.failed = news.error
                    self.exit(return_code=1)
                case _:
                    self.course.take(news)
                    if isinstance(news, Saved) and self.source.runs:
                        self.front.say(f"Saved behind step {news.step}: {news.path}", passing=True)
                    elif isinstance(news, Trouble):
                        self.front.say(news.message, problem=True)
                    elif isinstance(news, Ended) and self._wants_end:
                        self.exit()
                    elif isinstance(news, Ended):
                        self.front.withdraw()
                        self.front.say(f"{news.reason.capitalize()} at step {news.step}; q leaves.")

    def _show(self) -> None:
        before, self._shown = self._shown, (self.course.version, state(self.course, self.source), self.source.runs)
        if self._shown != before:
            self.front.draw()
        if self._shown[2] != before[2]:
            self.front.refresh_bindings()  # other keys do something now

    def refresh_now(self) -> None:
        """Take in and draw what is new without waiting for the timers."""
        self._pump()
        self._show()

    # ---- keys ----

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self.source.runs == (action == "stop") if action in ("stop", "leave") else True

    def action_leave(self) -> None:
        self.exit()

    def action_stop(self) -> None:
        """Ask once; then save and end."""
        if self._wants_end:
            self.front.say(_ENDING)
        elif self.front.asks:
            self._end()
        else:
            self.front.ask("Save after the step under way, and end? q or Ctrl+C again: yes. Esc: no.", ASKED)

    def _end(self) -> None:
        """The training saves and ends, and then the app does."""
        self._wants_end = True
        self.front.withdraw()
        self.front.say(_ENDING)
        self.source.end()

    def _leave_at_once(self, number: int) -> None:
        self.at_once = number
        self.exit()

    def _terminate(self) -> None:
        """SIGTERM: end, without a question; the second one at once."""
        if not self.source.runs:
            self.exit()
        elif self._wants_end:
            self._leave_at_once(signal.SIGTERM)
        else:
            self.heeded = signal.SIGTERM
            self._end()

    def action_interrupt(self) -> None:
        """As q; once it ends, leave at once."""
        selected = self.screen.get_selected_text()
        if selected:
            self.copy_to_clipboard(selected)
            self.screen.clear_selection()
        elif not self.source.runs:
            self.exit()
        elif self._wants_end:
            self._leave_at_once(signal.SIGINT)
        else:
            self.action_stop()

    def action_help(self) -> None:
        if isinstance(self.screen, Help):
            self.screen.dismiss()
        elif self.screen is self.front:
            self.push_screen(Help(TITLE, self.front, common=EVERYWHERE))

    def action_change_colors(self) -> None:
        self.theme = LIGHT.name if self.theme == DARK.name else DARK.name

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        yield SystemCommand("Help", "The keys that work here (?)", self.action_help)
        yield SystemCommand("Light or dark", "Change the colours", self.action_change_colors)
        yield SystemCommand("Suspend", "Back to the shell; fg returns", self.action_suspend_process)


def run(source: Source, *, ascii_only: bool = False) -> int:
    """Show it until the person leaves; the exit code. A training that is left under way saves and ends first, unless
    the person said that it is not to. Raises what ended it, of a signal KeyboardInterrupt or Terminated."""
    app = TrainApp(source, ascii_only=ascii_only)
    app.run()
    if app.at_once:
        source.abandon()
        raise KeyboardInterrupt if app.at_once == signal.SIGINT else Terminated(app.at_once)
    source.close()
    late = [news.error for news in source.receive() if isinstance(news, Failed)]  # while it was waited for
    for error in (app.failed, *late):
        if error is not None:
            raise error
    if app.heeded:
        raise Terminated(app.heeded)
    return HUNG_UP if hung_up() else app.return_code or 0
