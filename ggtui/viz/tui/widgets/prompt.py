"""The editor at the bottom."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import TextArea

from ggtui.chat.history import History
from ggtui.viz.text import printable

LEFT = "i or Enter: back to the prompt"
OF_SCREEN = {"ctrl+c", "ctrl+e", "ctrl+y", "ctrl+z", "pageup", "pagedown"}  # keys that mean something else here


def _kept(bindings: Iterable[BindingType]) -> Iterator[BindingType]:
    """The editor's own keys without those of the screen."""
    for binding in bindings:
        if isinstance(binding, Binding):
            keys = [key for key in binding.key.split(",") if key not in OF_SCREEN]
            if keys:
                yield replace(binding, key=",".join(keys))


class Prompt(TextArea, inherit_bindings=False):
    """Several lines: Enter sends all of them, Ctrl+J begins another. At the first and the last line, arrows up and
    down go through what was typed before."""

    class Sent(Message):
        """Enter was pressed."""

    class Left(Message):
        """Esc was pressed."""

    DEFAULT_CSS = """
    Prompt, Prompt:focus { height: auto; max-height: 5; border: none; padding: 0; background: $background;
        scrollbar-size-vertical: 1; }
    Prompt .text-area--cursor-line { background: $background; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *_kept(TextArea.BINDINGS),
        Binding("pageup", "screen.page(-1)", show=False),
        Binding("pagedown", "screen.page(1)", show=False),
    ]

    def __init__(self) -> None:
        super().__init__(highlight_cursor_line=False, placeholder="")
        self.past = History()

    def put(self, text: str) -> None:
        """Have this text in the editor, with the cursor at its end."""
        self.text = printable(text)
        self.move_cursor(self.document.end)

    def take(self) -> str:
        """The text; the editor is empty then, and the history has it."""
        text = self.text
        self.past.add(text)
        self.put("")
        return text

    def on_focus(self) -> None:
        self.placeholder = ""

    def on_blur(self) -> None:
        self.placeholder = LEFT

    async def _on_key(self, event: events.Key) -> None:
        match event.key:
            case "enter":
                self.post_message(self.Sent())
            case "ctrl+j" | "shift+enter" | "alt+enter":
                self._replace_via_keyboard("\n", *self.selection)
            case "escape":
                self.post_message(self.Left())
            case "up" if self.navigator.is_first_wrapped_line(self.cursor_location):
                self._walk(self.past.older(self.text))
            case "down" if self.navigator.is_last_wrapped_line(self.cursor_location):
                self._walk(self.past.newer())
            case _:
                await super()._on_key(event)
                return
        event.stop()
        event.prevent_default()

    def _walk(self, text: str | None) -> None:
        if text is not None:
            self.put(text)

    async def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        self._insert(event.text)
        self.focus()

    def action_paste(self) -> None:
        """What was copied here, as ctrl+v has it."""
        self._insert(self.app.clipboard)

    def _insert(self, text: str) -> None:
        """A pasted text is kept whole; what could act on a terminal is shown escaped."""
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        if result := self._replace_via_keyboard(printable(text), *self.selection):
            self.move_cursor(result.end_location)
