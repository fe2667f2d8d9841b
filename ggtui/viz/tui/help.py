"""What the keys do: those of the screen in front, and those that work everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from ggtui.viz.tui import screens

EVERYWHERE = (
    ("^P", "palette: everything that can be done, by name"),
    ("^O", "models: talk to another one, the chat is kept"),
    ("^C", "copy what is selected, else stop the answer, else twice: leave"),
    ("F9", "give the mouse to the terminal, to select text with"),
    ("^Q", "leave"),
)
_NAMES = {
    "slash": "/", "enter": "Enter", "escape": "Esc", "plus": "+", "minus": "-", "equals_sign": "=", "asterisk": "*",
    "left_square_bracket": "[", "right_square_bracket": "]", "question_mark": "?", "pageup": "PgUp",
    "pagedown": "PgDn",
}  # fmt: skip


def key_name(key: str) -> str:
    """A key as the footer writes it: ^R, F1, Enter."""
    parts = key.split("+")
    last = _NAMES.get(parts[-1], parts[-1])
    if last[0] == "f" and last[1:].isdigit():
        last = last.upper()
    for modifier in reversed(parts[:-1]):
        last = f"^{last.upper()}" if modifier == "ctrl" else f"{modifier}+{last}"
    return last


def key_rows(bindings: Iterable[Binding]) -> list[tuple[str, str]]:
    """Keys and what they do; keys of one meaning on one line."""
    found: dict[str, list[str]] = {}
    for binding in bindings:
        if binding.description:
            found.setdefault(binding.tooltip or binding.description, []).append(key_name(binding.key))
    return [(" ".join(keys), text) for text, keys in found.items()]


def everywhere() -> tuple[tuple[str, str], ...]:
    """The keys that work on every screen, those that open one first."""
    return (
        (screens.f_keys(" - "), ", ".join(row.title for row in screens.SCREENS)),
        (screens.digits(" - "), "the same, outside the prompt"),
        *EVERYWHERE,
    )


def help_text(tab: str, rows: Sequence[tuple[str, str]], common: Sequence[tuple[str, str]]) -> Text:
    """The whole page; `common` are the keys that are not the screen's own."""
    text = Text()
    for title, lines in ((f"Keys of {tab}", rows), ("Everywhere", common)):
        text.append(f"{title}\n", style="bold underline")
        for keys, what in lines:
            text.append(f"  {keys:14}", style="bold").append(f" {what}\n")
        text.append("\n")
    text.append("Esc or F1 closes this page.")
    return text


class Help(ModalScreen[None]):
    """F1. `common`: the keys that work everywhere, where these are not those of the app with many screens."""

    DEFAULT_CSS = """
    Help { align: center middle; }
    Help > VerticalScroll {
        width: 72; max-width: 100%; height: auto; max-height: 90%; padding: 1 2; background: $panel;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter", "dismiss", "close", show=False)]

    def __init__(
        self,
        tab: str,
        screen: Screen[None],
        more: Sequence[tuple[str, str]] = (),
        common: Sequence[tuple[str, str]] | None = None,
    ) -> None:
        super().__init__()
        inherited = {binding.action for binding in Screen.BINDINGS if isinstance(binding, Binding)}
        own = (active.binding for active in screen.active_bindings.values() if active.node is screen)
        for row in screens.SCREENS if common is None else ():
            self._bindings.bind(row.digit, f"app.tab({row.title!r})", row.title, show=False)
        rows = [*more, *key_rows(b for b in own if b.action not in inherited)]
        self._text = help_text(tab, rows, everywhere() if common is None else common)

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Static(self._text)
