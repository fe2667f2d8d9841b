"""The Train screen: how the loss falls, what the model says by now, and where the time of a step goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Footer, Static

from ggtui.core.runtime.record import MemoryUse, Trace
from ggtui.viz.text import model_name, printable_line
from ggtui.viz.training import Course
from ggtui.viz.tui.palette import ScreenKeys
from ggtui.viz.tui.widgets.lines import Lines
from ggtui.viz.tui.widgets.plot import bar
from ggtui.viz.tui.widgets.training_page import Page, Room, page

if TYPE_CHECKING:
    from ggtui.perf.table import Row
    from ggtui.viz.training_thread import Source

TITLE = "train"
_AROUND = 3  # lines of the bar, the status and the keys
_BAR = 20  # columns of the bar that says how far it is
_MANY_NODES = 60  # rows of them at most: no terminal is so high
PASSING = 8.0  # seconds that news are told for
OF_TRAINING = ("pause", "slow_down", "save", "trace")  # actions that do nothing once nothing is trained


class TrainScreen(Screen[None]):
    """A bar, the page, a line that says what keys did, and the keys. It draws `course`; `source` does what keys ask."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "pause", "pause", key_display="space", tooltip="wait after the step under way, or go on"),
        Binding("minus", "slow_down(0.5)", "slower", key_display="-", tooltip="halve the rate"),
        Binding("plus,equals_sign", "slow_down(2)", "faster", key_display="+", tooltip="double the rate"),
        Binding("s", "save", "save", tooltip="save model and checkpoint after the step under way"),
        Binding("t", "trace", "trace", tooltip="save the last steps' times for ggtui perf --open"),
        Binding("q", "app.stop", "stop", tooltip="save and end"),
        Binding("q", "app.leave", "leave", tooltip="leave"),
        Binding("escape", "withdraw", "go on", show=False, tooltip="go on training, where it asks whether to end"),
        Binding("question_mark", "app.help", "help", key_display="?", tooltip="this page"),
        Binding("up", "scroll(-1)", "scroll", show=False, tooltip="scroll the samples"),
        Binding("down", "scroll(1)", "scroll", show=False, tooltip="scroll the samples"),
        Binding("pageup", "page(-1)", "page", show=False, tooltip="scroll the samples by pages"),
        Binding("pagedown", "page(1)", "page", show=False, tooltip="scroll the samples by pages"),
        Binding("home", "scroll(-1000000)", "newest", show=False, tooltip="the newest sample"),
        Binding("end", "scroll(1000000)", "oldest", show=False, tooltip="the oldest sample"),
    ]
    COMMANDS = Screen.COMMANDS | {ScreenKeys}
    CSS = """
    TrainScreen { overflow: hidden; }
    TrainScreen #train-bar { height: 1; background: $panel; }
    TrainScreen #train-page { height: 1fr; }
    TrainScreen #train-status { height: 1; color: $accent; text-wrap: nowrap; text-overflow: ellipsis; }
    TrainScreen #train-status.-problem { color: $error; }
    """

    def __init__(self, course: Course, source: Source, *, ascii_only: bool = False) -> None:
        super().__init__(name=TITLE)
        self.course, self.source, self._ascii = course, source, ascii_only
        self._first = 0
        self._page = Page([], 0, 0, 0)
        self._rows: tuple[Trace | None, list[Row]] = (None, [])
        self._said: tuple[str, bool] = ("", False)  # and whether it is a problem
        self._question = ""
        self._forgets: Timer | None = None  # what was said
        self._withdraws: Timer | None = None  # the question

    def compose(self) -> ComposeResult:
        yield Static(id="train-bar", markup=False)
        yield Lines(id="train-page")
        yield Static(id="train-status", markup=False)
        yield Footer(show_command_palette=False, compact=True)

    def say(self, text: str, *, problem: bool = False, passing: bool = False) -> None:
        """In the status line, until there is something else to say; what is `passing` only for a while. A question that
        stands there comes first."""
        if self._forgets is not None:
            self._forgets.stop()
        self._forgets = self.set_timer(PASSING, lambda: self.say("")) if passing else None
        self._said = text, problem
        self._draw_status()

    def ask(self, question: str, seconds: float) -> None:
        """In the status line, for so long."""
        self.withdraw()
        self._question = question
        self._withdraws = self.set_timer(seconds, self.withdraw)
        self._draw_status()

    def withdraw(self) -> None:
        """The question, if one stands there."""
        if self._withdraws is not None:
            self._withdraws.stop()
        self._question, self._withdraws = "", None
        self._draw_status()

    @property
    def asks(self) -> bool:
        return bool(self._question)

    def _draw_status(self) -> None:
        status, (text, problem) = self.query_one("#train-status", Static), self._said
        status.set_class(problem and not self.asks, "-problem")
        status.update(printable_line(self._question or text))

    def draw(self) -> None:
        """All of it anew."""
        if not self.is_mounted or not self.query("#train-bar"):
            return
        width, height = self.app.size
        self.query_one("#train-bar", Static).update(heading(self.course, self.source, width, self._ascii))
        room = Room(width, max(height - _AROUND, 1), self._first, self._ascii)
        self._page = page(self.course, self._slowest(), self._memory(), room)
        self._first = self._page.first
        self.query_one("#train-page", Lines).put(self._page.lines[: room.height])

    def _memory(self) -> MemoryUse | None:
        return self.source.newest.memory if self.source.newest is not None else None

    def _slowest(self) -> list[Row]:
        """Those of the last step, the slowest first."""
        trace = self.source.newest
        if trace is not self._rows[0]:
            self._rows = trace, slowest(trace) if trace is not None else []
        return self._rows[1]

    def on_resize(self) -> None:
        self.draw()

    def on_screen_resume(self) -> None:
        self.call_after_refresh(self.draw)

    # ---- keys ----

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Footer, palette and keys have only those that do something now."""
        if action == "withdraw":
            return self.asks
        return self.source.runs or action not in OF_TRAINING

    def action_withdraw(self) -> None:
        self.withdraw()

    def action_pause(self) -> None:
        self._answer("Going on." if self.source.paused else "Pausing after the step under way ...")
        self.source.pause()

    def action_slow_down(self, times: float) -> None:
        self._answer(f"{'Halving' if times < 1 else 'Doubling'} the rate after the step under way ...")
        self.source.slow_down(times)

    def action_save(self) -> None:
        self._answer("Saving after the step under way ...")
        self.source.save()

    def action_trace(self) -> None:
        self._answer("Saving the times of the last steps ...")
        self.source.trace()

    def _answer(self, text: str) -> None:
        """To a key, which takes back what was asked before."""
        self.withdraw()
        self.say(text)

    def action_scroll(self, lines: int) -> None:
        self._first += lines
        self.draw()

    def action_page(self, pages: int) -> None:
        self.action_scroll(pages * max(self._page.shown, 1))


def slowest(trace: Trace) -> list[Any]:
    """The rows of a step's nodes, by their time."""
    from ggtui.perf.stage import stages  # not before there is something to add up
    from ggtui.perf.table import rows

    found = stages(trace)
    return rows(found[0])[:_MANY_NODES] if found else []


def state(course: Course, source: Source) -> str:
    """In a word, or two."""
    if course.ended is not None:
        return course.ended.reason
    if not source.runs:
        return "not ended" if course.began is not None else ""
    if source.ending:
        return "ending"
    return "paused" if source.paused else "training" if course.began is not None else "preparing"


def heading(course: Course, source: Source, width: int, ascii_only: bool) -> Text:
    """The bar at the top: the model, what computes it, how far it is."""
    began = course.began
    out = str(began.settings.get("out", "")) if began is not None else ""
    model = model_name(out.rpartition("/")[2]) or "ggtui"
    told = f"{model}  {began.threads}t" if began is not None else model
    share = course.step / course.steps if course.steps else 0.0
    far = f"step {course.step:,} of {course.steps:,}  {share:4.0%}" if course.steps else ""
    right = f"{far}  {state(course, source):9}"
    text = Text(f" {told}", style="bold", no_wrap=True, end="")
    if width >= 100 and course.steps:
        right = f"{bar(share, _BAR, ascii_only=ascii_only)}  {right}"
    text.truncate(max(width - len(right) - 2, 1))
    text.append(" " * max(width - text.cell_len - len(right), 1)).append(right, style="not bold")
    text.truncate(width)
    return text
