"""What changed against a saved run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Input, Static

from ggtui.core.errors import GgtuiError
from ggtui.core.runtime.record import Trace
from ggtui.perf import load
from ggtui.perf.compare import Comparison, compare, differences
from ggtui.viz import tables
from ggtui.viz.live import Live
from ggtui.viz.text import printable_line
from ggtui.viz.tui.base import Send
from ggtui.viz.tui.dialogs.base import Dialog

_TOP = 100  # nodes listed at most
_OTHER = 9  # lines of the dialog that are not changes
_NAMES = 10  # of nodes that only one of the runs has


def comparison_text(found: Comparison, problems: list[str], width: int) -> str:
    """The largest changes first, and what was different to begin with."""
    title, columns, lines = tables.comparison_table(found, _TOP)
    shown = [[printable_line(cell) for cell in line] for line in lines]
    text = [tables.text_table(title, *tables.fitted(columns, shown, width, 2))]
    text += [f"compared all the same: {printable_line(problem)}" for problem in problems]
    for what, names in (("only in the base", found.missing), ("not in the base", found.new)):
        if names:
            more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
            text.append(f"{what}: {printable_line(', '.join(names[:_NAMES]))}{more}")
    return "\n".join(text)


class Compare(Dialog):
    """The name of a saved trace, then the changes. `chosen` is told the name once it could be read."""

    TITLE_TEXT = "Compare with a saved run"
    KEYS = "Enter compares   Tab goes to the name and back   Esc closes"
    DEFAULT_CSS = """
    Compare > .box { width: 100; }
    Compare Input { background: $surface; }
    Compare VerticalScroll { height: auto; margin-top: 1; display: none; }
    Compare.-found VerticalScroll { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("f", "force", "compare all the same", show=False)]

    def __init__(self, live: Live, send: Send, trace: Trace, name: str, chosen: Callable[[str], None]) -> None:
        super().__init__(live, send)
        self._trace, self._file, self._chosen = trace, name, chosen
        self._refused = ""  # the name that only `f` compares with
        self._busy = False

    def content(self) -> ComposeResult:
        yield Input(self._file, placeholder="a file that e or ggtui perf --json wrote", compact=True)
        yield Static(classes="note", markup=False)
        with VerticalScroll():
            yield Static(classes="changes", markup=False)

    def _say(self, line: str) -> None:
        self.query_one(".note", Static).update(printable_line(line))

    def on_input_changed(self) -> None:
        self._refused = ""
        self._say("")
        self.remove_class("-found")

    def on_input_submitted(self) -> None:
        self._begin(self.query_one(Input).value.strip(), force=False)

    def action_force(self) -> None:
        if self._refused:
            self._begin(self._refused, force=True)

    def _begin(self, name: str, *, force: bool) -> None:
        if name and not self._busy:
            self._busy = True
            self._say(f"reading {name} ...")
            width = self.query_one(Input).size.width
            self.run_worker(partial(self._compare, name, force, width), thread=True)

    def _compare(self, name: str, force: bool, width: int) -> None:
        """In a thread of its own."""
        refused, text = "", ""
        try:
            base = load(Path(name).expanduser())
            problems = differences(base, self._trace)
            if problems and not force:
                refused = f"{'; '.join(problems)}; f compares all the same"
            else:
                text = comparison_text(compare(base, self._trace, force=True), problems, width)
            self.app.call_from_thread(self._done, name, refused, text)
        except OSError as error:
            self.app.call_from_thread(self._failed, f"{name}: {error.strerror or error}")
        except (GgtuiError, RuntimeError, ValueError) as error:
            self.app.call_from_thread(self._failed, str(error))

    def _failed(self, line: str) -> None:
        self._busy = False
        if self.is_attached:
            self._say(line)

    def _done(self, name: str, refused: str, text: str) -> None:
        self._busy = False
        if not self.is_attached:
            return
        self._chosen(name)
        self._refused = name if refused else ""
        self._say(refused)
        self.set_class(not refused, "-found")
        self.query_one(VerticalScroll).styles.max_height = max(self.app.size.height - _OTHER, 3)
        self.query_one(".changes", Static).update(text)
        # Out of the name, so that f is a key and the arrows scroll.
        self.set_focus(None if refused else self.query_one(VerticalScroll))
