"""Asks where to write a picture of the graph."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from ggtui.core.errors import UsageError
from ggtui.viz.picture import PICTURE_ENDINGS, TEXT_ENDINGS, check_ending, renderer
from ggtui.viz.text import printable_line

_ENDINGS = " ".join(PICTURE_ENDINGS + TEXT_ENDINGS)
_HINT = "enter writes it, esc goes back"


def written(path: Path) -> Path:
    """The file that a picture of this name leaves: without what draws it, that is its DOT text. Raises UsageError for
    an ending that no picture has."""
    ending = check_ending(path)
    drawn = ending in TEXT_ENDINGS or renderer(ending) is not None
    return path if drawn else path.with_suffix(".dot")


def objection(path: Path) -> str:
    """What speaks against writing it, in one line; "" for nothing. That a file is there does not count."""
    try:
        file = written(path)
    except UsageError as error:
        return printable_line(str(error))
    if file.is_dir():
        return f"{printable_line(str(file))} is a folder; choose another name"
    if file.exists() and not file.is_file():  # a pipe could wait for its reader for ever
        return f"{printable_line(str(file))} is no regular file; choose another name"
    if not file.parent.is_dir():
        return f"{printable_line(str(file.parent))} is no folder; choose another one"
    return ""


class SaveGraph(ModalScreen[Path | None]):
    """A line for the name of the file. A file that is there already is overwritten only when enter comes twice."""

    DEFAULT_CSS = """
    SaveGraph { align: center middle; background: $background 60%; }
    SaveGraph > Vertical {
        width: 72; max-width: 96%; height: auto; padding: 1 2; background: $panel;
    }
    SaveGraph Input { height: 1; border: none; padding: 0 1; margin: 1 0; background: $surface; }
    SaveGraph Input:focus { border: none; }
    SaveGraph Static { background: $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "back")]

    def __init__(self, what: str, default: str) -> None:
        super().__init__()
        self._what, self._default = what, default
        self._asked: Path | None = None  # the file that was said to be there

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(f"{self._what}: the name of the file ({_ENDINGS})", markup=False)
            yield Input(self._default, select_on_focus=False)
            yield Static(_HINT, markup=False, id="hint")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if not event.value.strip():
            self._tell(f"the name of a file; {_HINT}")
            return
        try:
            path = Path(event.value.strip()).expanduser()
            against = objection(path)
            there = not against and written(path).exists()
        except (OSError, RuntimeError, ValueError) as error:  # no such home, too long, not allowed to look
            reason = str(getattr(error, "strerror", None) or error).rstrip(".")
            self._tell(printable_line(f"{reason}; choose another name"))
            return
        if against:
            self._tell(against)
        elif there and self._asked != path:
            self._asked = path
            self._tell(f"{printable_line(written(path).name)} is there already: enter overwrites it, esc goes back")
        else:
            self.dismiss(path)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._asked = None
        self._tell(_HINT)

    def _tell(self, text: str) -> None:
        self.query_one("#hint", Static).update(text)

    def action_leave(self) -> None:
        self.dismiss(None)

    def on_click(self, event: events.Click) -> None:
        if event.widget is self:
            self.dismiss(None)
