"""What the model might have said: at each token of the last answer, the likeliest ones, and another way from there."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from ggtui.viz.live import Live, Spoken
from ggtui.viz.messages import Alternative, Alternatives, Choose, Likeliest
from ggtui.viz.text import printable_line
from ggtui.viz.tui.base import Send
from ggtui.viz.tui.dialogs.base import Dialog
from ggtui.viz.tui.widgets.status import bar

N = 10  # alternatives that are asked for
AFTER = "(the end)"


def context_line(spoken: Spoken, keep: int | None, width: int) -> Text:
    """Where in the answer the choice is: the text ahead of it, and the token that came there in brackets."""
    steps = spoken.steps
    if keep is None or keep >= len(steps):
        before, token = spoken.turn.prompt + spoken.turn.text, AFTER
    else:
        before = spoken.turn.prompt + "".join(step.text for step in steps[:keep])
        token = printable_line(steps[keep].text.strip() or repr(steps[keep].text))[:20]
    before, room = printable_line(before), width - len(token) - 3
    text = Text(before if len(before) <= room else f"...{before[3 - room :]}", no_wrap=True, end="")
    return text.append(" [").append(token, "bold").append("]")


def rows_text(rows: tuple[Alternative, ...], at: int, said: int | None, ascii_only: bool) -> Text:
    """A line each: a mark at the chosen one, probability, bar, token, and which one the model took."""
    text = Text(no_wrap=True, end="")
    for n, row in enumerate(rows):
        token = printable_line(row.text)
        mark = "  said" if row.token == said else ""
        line = f"{'>' if n == at else ' '} {row.p:6.1%} {bar(row.p, 24, ascii_only)}  '{token[:24]}'{mark}"
        text.append(f"{line}\n", "bold" if n == at else "")
    return text


class Next(Dialog):
    """Rows are asked of the engine, one question at a time, and kept while the dialog is open."""

    TITLE_TEXT = "What could come next"
    KEYS = "arrows: choose, other place  Enter: go  Esc: close"
    DEFAULT_CSS = """
    Next .where { height: 1; margin-bottom: 1; }
    Next .rows { height: auto; min-height: 6; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "choose(-1)", show=False),
        Binding("down", "choose(1)", show=False),
        Binding("left", "step(-1)", show=False),
        Binding("right", "step(1)", show=False),
        Binding("home", "step(-1000000)", show=False),
        Binding("end", "step(1000000)", show=False),
        Binding("enter", "take", show=False),
    ]

    def __init__(self, live: Live, send: Send, spoken: Spoken, ascii_only: bool) -> None:
        super().__init__(live, send)
        self._spoken, self._ascii = spoken, ascii_only
        self._rows: dict[int | None, Likeliest] = {}  # by the place asked for; None: after all
        self._keep: int | None = None
        self._at = 0
        self._waiting: tuple[int | None] | None = None  # the place asked about
        self._n_told, self._answer = live.n_told, live.likeliest

    def content(self) -> ComposeResult:
        yield Static(classes="where", markup=False)
        yield Static(classes="rows", markup=False)
        yield Static(classes="note", markup=False)

    def on_mount(self) -> None:
        super().on_mount()
        self._show()

    def _show(self) -> None:
        found = self._rows.get(self._keep)
        width = min(self.size.width, 76) - 4
        self.query_one(".where", Static).update(context_line(self._spoken, self._keep, width))
        rows = self.query_one(".rows", Static)
        if found is not None:
            steps = self._spoken.steps
            said = steps[self._keep].token if self._keep is not None and self._keep < len(steps) else None
            rows.update(rows_text(self._shown(found), self._at, said, self._ascii))
        else:
            rows.update("...")
            if self._waiting is None:
                self._waiting = (self._keep,)
                self.send(Alternatives(N, self._keep))

    def _shown(self, found: Likeliest) -> tuple[Alternative, ...]:
        """As many as there is room for."""
        return found.rows[: max(self.size.height - 10, 1)]

    def follow(self) -> None:
        if self.live.n_told != self._n_told:
            self._n_told = self.live.n_told
            message = self.live.message
            self.query_one(".note", Static).update(printable_line(message))
            self._waiting = None if message else self._waiting
            if message:
                return
        answer = self.live.likeliest
        if self._waiting is not None and answer is not None and answer is not self._answer:
            self._answer = answer
            (keep,) = self._waiting
            if answer.keep != keep and (keep is not None or answer.keep < len(self._spoken.steps)):
                return  # it was asked by a dialog before this one
            self._rows[keep] = answer
            self._waiting = None
            self._show()

    def action_choose(self, by: int) -> None:
        found = self._rows.get(self._keep)
        if found is not None:
            self._at = min(max(self._at + by, 0), len(self._shown(found)) - 1)
            self._show()

    def action_step(self, by: int) -> None:
        n = len(self._spoken.steps)
        if not n:
            self.query_one(".note", Static).update("The tokens of this answer are not known: it was not seen coming.")
            return
        keep = min(max((n if self._keep is None else self._keep) + by, 0), n)
        self._keep, self._at = (None if keep == n else keep), 0
        self._show()

    def action_take(self) -> None:
        found = self._rows.get(self._keep)
        if found is not None and found.rows:
            self.send(Choose(found.keep, found.rows[self._at].token))
            self.dismiss()
