"""Writes what was recorded into a file, in one of the formats of perf.export."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, Static

from ggtui.core.errors import GgtuiError
from ggtui.core.runtime.record import Trace
from ggtui.perf.export import EXPORTERS, Exporter
from ggtui.viz import tables
from ggtui.viz.live import Live
from ggtui.viz.text import model_name, printable_line
from ggtui.viz.tui.base import Send
from ggtui.viz.tui.dialogs.base import Dialog

_ENDINGS = {"chrome": ".chrome.json", "speedscope": ".speedscope.json", "sqlite": ".db", "markdown": ".md"}


def file_name(exporter: Exporter, trace: Trace) -> str:
    """A name for the file, after the model."""
    model = model_name(trace.run.model) or "ggtui"
    return f"{model}-perf{_ENDINGS.get(exporter.name, f'.{exporter.name}')}"


class Export(Dialog):
    """A format and a file name."""

    TITLE_TEXT = "Export what was recorded"
    KEYS = "up and down choose the format   Enter writes   Esc closes"
    DEFAULT_CSS = """
    Export .formats { height: auto; margin-bottom: 1; }
    Export Input { background: $surface; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "choose(-1)", show=False),
        Binding("down", "choose(1)", show=False),
    ]

    def __init__(self, live: Live, send: Send, trace: Trace) -> None:
        super().__init__(live, send)
        self._trace = trace
        self._at = 0
        self._sure = ""  # the name that may be written over, after Enter pressed once more
        self._writing = False

    def content(self) -> ComposeResult:
        yield Static(self._formats(), classes="formats", markup=False)
        yield Input(file_name(EXPORTERS[0], self._trace), placeholder="file name", compact=True)
        yield Static(classes="note", markup=False)

    def _formats(self) -> Text:
        text = Text()
        for n, exporter in enumerate(EXPORTERS):
            mark, style = (">", "bold") if n == self._at else (" ", "")
            text.append(f"{mark} {exporter.name:12}{exporter.help}\n", style)
        text.rstrip()
        return text

    def _say(self, line: str) -> None:
        self.query_one(".note", Static).update(printable_line(line))

    def action_choose(self, by: int) -> None:
        name, suggested = self.query_one(Input), file_name(EXPORTERS[self._at], self._trace)
        self._at = (self._at + by) % len(EXPORTERS)
        self.query_one(".formats", Static).update(self._formats())
        if name.value in ("", suggested):
            name.value = file_name(EXPORTERS[self._at], self._trace)

    def on_input_changed(self) -> None:
        self._sure = ""
        self._say("")

    def on_input_submitted(self) -> None:
        name = self.query_one(Input).value.strip()
        if self._writing or not name:
            return
        try:
            path = Path(name).expanduser()
            there = path.exists()
        except (OSError, RuntimeError, ValueError) as error:
            self._say(f"{name}: {error}")
            return
        if there and not path.is_file():
            self._say(f"{name} is no regular file; choose another file name.")
            return
        if there and self._sure != name:
            self._sure = name
            self._say(f"{name} is there already; Enter again writes over it.")
            return
        self._writing = True
        self._say(f"writing {name} ...")
        # Of the app: closing the dialog does not end it.
        self.app.run_worker(partial(self._write, EXPORTERS[self._at], path), thread=True)

    def _write(self, exporter: Exporter, path: Path) -> None:
        """In a thread of its own."""
        try:
            exporter.save(self._trace, path)
            told = f"Written: {path.absolute()} ({tables.size(path.stat().st_size)})"
        except (GgtuiError, OSError) as error:
            self.app.call_from_thread(self._failed, str(error))
        except ValueError as error:
            self.app.call_from_thread(self._failed, f"{path}: {error}")
        else:
            self.app.call_from_thread(self._written, told)

    def _failed(self, line: str) -> None:
        self._writing, self._sure = False, ""
        if self.is_attached:
            self._say(line)
        else:
            self.app.notify(printable_line(line), severity="error", markup=False)

    def _written(self, line: str) -> None:
        self.app.notify(printable_line(line), markup=False)
        if self.is_attached and self.is_current:
            self.dismiss()
