"""The tokens of the conversation as the model reads them, and who wrote each: the template, you or the model."""

from __future__ import annotations

from bisect import bisect_right
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.widgets import Static

from ggtui.chat.conversation import Written
from ggtui.viz.live import Live
from ggtui.viz.messages import AsRead, Tokens
from ggtui.viz.text import bytes_shown, printable_line
from ggtui.viz.tui.base import Send
from ggtui.viz.tui.dialogs.base import Dialog

# Of each writer the style, and who that is
WRITERS = {
    "template": ("tokens--template", "the template"),
    "you": ("tokens--you", "you"),
    "said": ("tokens--you", "you or the model, written anew"),
    "model": ("tokens--model", "the model"),
}
_AROUND = 12  # lines that the box has around those of the tokens


def laid_out(tokens: tuple[Written, ...], width: int) -> list[list[tuple[int, str]]]:
    """Lines of at most `width` columns: of each token its number and what is shown of it. A line ends after a line
    feed, and no token is cut but one that is wider than a line."""
    lines: list[list[tuple[int, str]]] = [[]]
    room = width
    for n, token in enumerate(tokens):
        text = printable_line(token.raw.decode("utf-8", "replace"))
        if cell_len(text) > width:
            text = f"{set_cell_size(text, width - 3)}..."
        if cell_len(text) > room:
            lines.append([])
            room = width
        lines[-1].append((n, text))
        room -= cell_len(text)
        if token.raw.endswith(b"\n"):
            lines.append([])
            room = width
    return lines


class TokensRead(Dialog):
    """All tokens, every other one on another ground; of the one that is chosen all that is to be known."""

    TITLE_TEXT = "What the model reads"
    KEYS = "arrows: choose   home, end: first, last   Esc: close"
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *(style for style, _ in WRITERS.values()),
        "tokens--other",
        "tokens--chosen",
    }
    DEFAULT_CSS = """
    TokensRead > .box { width: 96; }
    TokensRead .tokens { height: auto; }
    TokensRead .about { height: 2; margin-top: 1; }
    TokensRead .tokens--template { color: $secondary; }
    TokensRead .tokens--you { color: $accent; text-style: bold; }
    TokensRead .tokens--model { color: $primary; }
    TokensRead .tokens--other { background: $surface; }
    TokensRead .tokens--chosen { text-style: reverse; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "choose(-1)", show=False),
        Binding("right", "choose(1)", show=False),
        Binding("up", "line(-1)", show=False),
        Binding("down", "line(1)", show=False),
        Binding("home", "choose(-1000000)", show=False),
        Binding("end", "choose(1000000)", show=False),
    ]

    def __init__(self, live: Live, send: Send) -> None:
        super().__init__(live, send)
        self._read: AsRead | None = None
        self._older = live.as_read  # which answers another question
        self._lines: list[list[tuple[int, str]]] = []
        self._at = 0
        send(Tokens())

    def content(self) -> ComposeResult:
        yield Static(classes="tokens", markup=False)
        yield Static(classes="about", markup=False)

    def on_resize(self, event: Resize) -> None:
        self._lay_out()

    def follow(self) -> None:
        new = self.live.as_read
        if new is not None and new is not self._read and new is not self._older:
            self._read = new
            self._at = max(len(self._read.tokens) - 1, 0)
            self._lay_out()

    def _lay_out(self) -> None:
        if self._read is not None:
            self._lines = laid_out(self._read.tokens, max(min(self.size.width, 96) - 4, 8))
        self._draw()

    @property
    def _starts(self) -> list[int]:
        """The first token of each line that has one."""
        return [line[0][0] for line in self._lines if line]

    def _draw(self) -> None:
        tokens = self._read.tokens if self._read is not None else ()
        if not tokens:
            self.query_one(".tokens", Static).update("Nothing was said yet." if self._read else "asking the model ...")
            return
        lines = [line for line in self._lines if line]
        height = max(self.size.height - _AROUND, 3)
        chosen = bisect_right(self._starts, self._at) - 1
        top = min(max(chosen - height // 2, 0), max(len(lines) - height, 0))
        text = Text(no_wrap=True, end="")
        for line in lines[top : top + height]:
            for n, shown in line:
                text.append(shown, self._style(n, tokens[n]))
            text.append("\n")
        self.query_one(".tokens", Static).update(text)
        self.query_one(".about", Static).update(self._about(tokens))

    def _style(self, n: int, token: Written) -> str:
        names = [WRITERS[token.by][0], *["tokens--other"] * (n % 2), *["tokens--chosen"] * (n == self._at)]
        return " ".join(str(self.get_component_rich_style(name, partial=True)) for name in names)

    def _about(self, tokens: tuple[Written, ...]) -> Text:
        """The chosen token, and how many each has written."""
        assert self._read is not None
        token, before = tokens[self._at], self._read.n_before
        text = Text(f"{before + self._at + 1} of {before + len(tokens)}: token {token.id} ", no_wrap=True, end="")
        text.append(printable_line(bytes_shown(token.raw))[:40], "bold").append(f", by {WRITERS[token.by][1]}\n")
        if before:
            text.append(f"of the newest {len(tokens)}: ")
        for by in dict.fromkeys(token.by for token in tokens):
            n = sum(token.by == by for token in tokens)
            text.append(f"{WRITERS[by][1]} {n}", self._style(0 if self._at else 2, Written(0, b"", by))).append("   ")
        return text

    def action_choose(self, by: int) -> None:
        last = len(self._read.tokens) - 1 if self._read is not None else 0
        self._at = min(max(self._at + by, 0), max(last, 0))
        self._draw()

    def action_line(self, by: int) -> None:
        starts = self._starts
        if starts:
            line = min(max(bisect_right(starts, self._at) - 1 + by, 0), len(starts) - 1)
            self.action_choose(starts[line] - self._at)
