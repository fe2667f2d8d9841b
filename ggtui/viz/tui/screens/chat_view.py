"""What the Chat screen looks like: the turns, the prompt, and beside them what goes on."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from ggtui.chat.modes import MODES
from ggtui.viz.live import Live
from ggtui.viz.messages import Alternative
from ggtui.viz.text import printable_line
from ggtui.viz.tui.base import RunScreen, Send
from ggtui.viz.tui.screens import ScreenRow
from ggtui.viz.tui.widgets.hot import Hot, hot_line, hottest
from ggtui.viz.tui.widgets.prompt import Prompt
from ggtui.viz.tui.widgets.status import kv_line, panel
from ggtui.viz.tui.widgets.transcript import LEVEL_STYLES, Transcript

LEGEND = ("50%+", "10%+", "1%+ underlined", "rarer bold underlined")


class ChatView(RunScreen):
    """Draws the chat. What keys do is in chat.py."""

    AUTO_FOCUS = ""  # who leaves the prompt stays outside it, also after a dialog
    DEFAULT_CSS = """
    ChatView { layout: vertical; }
    ChatView #said { width: 1fr; }
    ChatView #note { height: auto; max-height: 3; padding: 0 1; color: $warning; display: none; }
    ChatView #note.-shown { display: block; }
    ChatView #rule { height: 1; color: $secondary; }
    ChatView .status { height: 1; color: $foreground; }
    ChatView #entry { height: auto; }
    ChatView #mark { width: 3; height: 1; color: $primary; text-style: bold; }
    ChatView #panel { width: 50; height: 1fr; padding: 1 2; background: $surface; display: none; }
    ChatView.-wide #panel { display: block; }
    ChatView.-wide .status { display: none; }
    """

    def __init__(self, live: Live, send: Send, row: ScreenRow) -> None:
        super().__init__(live, send, row)
        self._note, self._noted = "", ""  # what to tell, and what is told
        self._n_told, self._state = 0, ""
        self._hot: Hot | None = None
        self._hot_of = 0
        self._next: tuple[Alternative, ...] = ()  # as they are drawn

    def body(self) -> ComposeResult:
        with Horizontal():
            with Vertical(id="said"):
                yield Transcript()
                yield Static(id="note", markup=False)
                yield Static(id="rule", markup=False)
                yield Static(id="hot", classes="status", markup=False)
                yield Static(id="kv", classes="status", markup=False)
                with Horizontal(id="entry"):
                    yield Static(" > ", id="mark", markup=False)
                    yield Prompt()
            yield Static(id="panel", markup=False)

    def on_mount(self) -> None:
        if self.live.state != "gone":
            self.set_focus(self.prompt)
        self.tell_trouble()

    # ---- what there is ----

    @property
    def prompt(self) -> Prompt:
        return self.query_one(Prompt)

    @property
    def transcript(self) -> Transcript:
        return self.query_one(Transcript)

    @property
    def mode(self) -> str:
        return str(self.live.settings.get("mode", "complete"))

    @property
    def ascii_only(self) -> bool:
        return bool(getattr(self.app, "ascii_only", False))

    # ---- drawing ----

    def stream(self) -> None:
        live = self.live
        self.transcript.say(live.chat, live.run.model, self._hint())
        if live.state != self._state:
            self._state, before = live.state, self._state
            self.refresh_bindings()
            if live.state == "gone":
                self.set_focus(None)  # so that r is a key
            elif live.state == "idle" and before == "loading" and self.app.screen is self:
                self.prompt.focus()
        if live.n_told != self._n_told:
            self._n_told = live.n_told
            self.tell(live.message)
        self._draw_note()
        if live.ahead and live.next is not self._next:  # together with the token that they follow
            self._draw_figures()

    def show(self) -> None:
        self.stream()
        self._draw_rule()
        if self.live.n_evaluations != self._hot_of:
            self._hot_of = self.live.n_evaluations
            self._hot = hottest(self.live.stages(), 10)
        self._draw_figures()

    def _draw_figures(self) -> None:
        """What stands beside the text or below it."""
        self._next = self.live.next
        if self.has_class("-wide"):
            width = 46
            text = Text(no_wrap=True, end="")
            for line, style in panel(self.live, self._hot, width, self.ascii_only):
                text.append(f"{line}\n", style)
            self.query_one("#panel", Static).update(text, layout=False)
        else:
            self.query_one("#hot", Static).update(hot_line(self._hot, self.size.width), layout=False)
            line = kv_line(self.live, self.size.width, self.ascii_only)
            self.query_one("#kv", Static).update(line, layout=False)

    def _hint(self) -> tuple[str, ...]:
        match self.live.state:
            case "loading":
                loading = self.live.loading
                model = self.live.run.model if loading is None else loading.model
                return (f"Loading {printable_line(model) or 'the model'} ...",)
            case "saved":
                return (self.lacking,)
            case _:
                begin, *rest = MODES[self.mode].hint
                return (begin, " ".join((*rest, "F1 shows all keys.")))

    def _draw_note(self) -> None:
        note = self._note
        if self.live.state == "gone":
            why = self.live.message.removeprefix("the engine ").rstrip(".")
            note = f"The engine stopped ({why}). Press r to start it again; the chat is kept."
        if note != self._noted:
            self._noted = note
            widget = self.query_one("#note", Static)
            widget.update(printable_line(note))
            widget.set_class(bool(note), "-shown")

    def _draw_rule(self) -> None:
        transcript = self.transcript
        text = Text(no_wrap=True, end="")
        line = "-" if self.ascii_only else "─"
        if transcript.probabilities:
            text.append(f"{line} odds: ")
            for words, style in zip(LEGEND, LEVEL_STYLES, strict=True):
                text.append(words, transcript.get_component_rich_style(style)).append("  ")
        if transcript.below:
            text.append(f"{line} {transcript.below} more lines below: End ")
        text.append(line * max(transcript.size.width - text.cell_len, 0))
        self.query_one("#rule", Static).update(text, layout=False)

    def on_transcript_moved(self) -> None:
        self._draw_rule()

    def on_resize(self) -> None:
        self.call_after_refresh(self.draw)

    def tell_trouble(self) -> None:
        """Once, why no history is kept."""
        if self.prompt.past.trouble:
            self.tell(self.prompt.past.trouble)
            self.prompt.past.trouble = ""

    def tell(self, line: str) -> None:
        """Show a line until there is another."""
        self._note = line
        self._draw_note()
