"""The Chat screen: what is said, the prompt, and beside them what goes on."""

from __future__ import annotations

import math
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from ggtui.chat import commands
from ggtui.chat import saved as saved_chats
from ggtui.chat.conversation import turns_told
from ggtui.chat.modes import MODES, told
from ggtui.core.errors import GgtuiError, UsageError
from ggtui.viz.live import Live
from ggtui.viz.messages import Clear, Command, Configure, Edit, Regen, Restore, Say, Stop, Undo
from ggtui.viz.text import printable, printable_line
from ggtui.viz.tui.base import RunScreen, Send
from ggtui.viz.tui.dialogs.alternatives import Next
from ggtui.viz.tui.dialogs.sessions import Sessions
from ggtui.viz.tui.dialogs.settings import Settings
from ggtui.viz.tui.screens import ScreenRow
from ggtui.viz.tui.screens.chat_commands import Typed
from ggtui.viz.tui.widgets.hot import Hot, hot_line, hottest
from ggtui.viz.tui.widgets.prompt import Prompt
from ggtui.viz.tui.widgets.status import kv_line, panel
from ggtui.viz.tui.widgets.transcript import LEVEL_STYLES, NAME, Transcript

LEGEND = ("50%+", "10%+", "1%+ underlined", "rarer bold underlined")
LOADING = "The model is still loading; it answers what was sent as soon as it can."
BUSY = "The model is still writing; ^C stops it. What you typed is kept."


class ChatScreen(RunScreen):
    """Talk to the model."""

    MORE_KEYS = (
        ("Enter", "send; without a text the model goes on with its own"),
        ("^J", "a new line"),
        ("up down", "at the first and last line: what was sent before"),
        ("Esc i", "leave the prompt, and back"),
    )
    AUTO_FOCUS = ""  # who leaves the prompt stays outside it, also after a dialog
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("i", "prompt", "prompt", tooltip="back to the prompt"),
        Binding("enter", "prompt", "prompt", show=False, tooltip="back to the prompt"),
        Binding("a", "alternatives", "next", tooltip="what could come next; go another way from any token"),
        Binding("p", "probabilities", "odds", tooltip="mark tokens by their probability"),
        Binding("m", "mode", "mode", tooltip="mode: go on with your text, or answer it"),
        Binding("r", "restart", "restart", tooltip="start the engine again when it stopped"),
        Binding("ctrl+c", "app.interrupt", "stop", key_display="^C", priority=True,
                tooltip="copy what is selected, else stop the answer"),
        Binding("ctrl+r", "regen", "regen", key_display="^R", priority=True, tooltip="another answer"),
        Binding("ctrl+e", "edit", "edit", key_display="^E", priority=True, tooltip="change the last prompt, ask again"),
        Binding("ctrl+z", "undo", "undo", key_display="^Z", priority=True,
                tooltip="take the last turn back; with text in the prompt: its last change"),
        Binding("ctrl+y", "copy", "copy", key_display="^Y", priority=True, tooltip="copy the last answer"),
        Binding("ctrl+s", "settings", "settings", key_display="^S", priority=True, tooltip="settings"),
        Binding("ctrl+o", "sessions", "saved chats", show=False, priority=True, tooltip="load or save a chat"),
        Binding("ctrl+l", "clear", "clear", show=False, priority=True, tooltip="forget everything said so far"),
        Binding("ctrl+p", "app.command_palette", "palette", key_display="^P", priority=True),
        Binding("pageup", "page(-1)", "up", show=False, tooltip="scroll by a page"),
        Binding("pagedown", "page(1)", "down", show=False, tooltip="scroll by a page"),
        Binding("home", "page(-1000000)", "first", show=False, tooltip="to the first or the last line"),
        Binding("end", "page(1000000)", "last", show=False, tooltip="to the first or the last line"),
    ]  # fmt: skip
    DEFAULT_CSS = """
    ChatScreen { layout: vertical; }
    ChatScreen #said { width: 1fr; }
    ChatScreen #note { height: auto; max-height: 3; padding: 0 1; color: $warning; display: none; }
    ChatScreen #note.-shown { display: block; }
    ChatScreen #rule { height: 1; color: $secondary; }
    ChatScreen .status { height: 1; color: $foreground; }
    ChatScreen #entry { height: auto; }
    ChatScreen #mark { width: 3; height: 1; color: $primary; text-style: bold; }
    ChatScreen #panel { width: 50; height: 1fr; padding: 1 2; background: $surface; display: none; }
    ChatScreen.-wide #panel { display: block; }
    ChatScreen.-wide .status { display: none; }
    """

    def __init__(self, live: Live, send: Send, row: ScreenRow) -> None:
        super().__init__(live, send, row)
        self._note, self._noted = "", ""  # what to tell, and what is told
        self._n_told, self._state = 0, ""
        self._asked = -1  # the version at which the model was asked to speak
        self._draft: str | None = None  # what was in the prompt when editing began
        self._saved: tuple[tuple[str, str], ...] = ()  # the chat as it was saved or loaded
        self._hot: Hot | None = None
        self._hot_of = 0

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
        self._tell_trouble()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that would do nothing are not shown."""
        return self.live.state == "gone" if action == "restart" else True

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

    @property
    def busy(self) -> bool:
        """The model speaks, or was asked to just now."""
        return self.live.state == "busy" or self._asked == self.live.version

    @property
    def name_of_model(self) -> str:
        return printable_line(self.live.run.model.rsplit(".", 1)[0])[:NAME] or "model"

    # ---- drawing ----

    def stream(self) -> None:
        live = self.live
        self.transcript.say(live.chat, self.name_of_model, self._hint())
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

    def show(self) -> None:
        self.stream()
        self._draw_rule()
        if self.live.n_evaluations != self._hot_of:
            self._hot_of = self.live.n_evaluations
            self._hot = hottest(self.live.stages(), 10)
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
                return (f"Loading {printable_line(self.live.run.model) or 'the model'} ...",)
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

    def tell(self, line: str) -> None:
        """Show a line until there is another."""
        self._note = line
        self._draw_note()

    # ---- the prompt ----

    def on_prompt_sent(self) -> None:
        """Enter: the text goes to the model, unless it is a command or the model can't take it now."""
        text, state = self.prompt.text, self.live.state
        if text.startswith("/"):
            self._run(self.prompt.take())
        elif state == "gone":
            self._draw_note()
        elif state == "saved":
            self.tell(self.lacking)
        elif self.busy:
            self.tell(LOADING if state == "loading" else BUSY)
        elif self._draft is not None:
            self._ask(Edit(self.prompt.take()))
            self._end_edit()
        elif text.strip() or (MODES[self.mode].goes_on and state != "loading"):
            self._ask(Say(self.prompt.take()))  # one that still loads answers as soon as it can
        self._tell_trouble()

    def _tell_trouble(self) -> None:
        """Once, why no history is kept."""
        if self.prompt.past.trouble:
            self.tell(self.prompt.past.trouble)
            self.prompt.past.trouble = ""

    def _run(self, line: str) -> None:
        try:
            self.tell("")
            commands.run(Typed(self), line)
        except (GgtuiError, OSError) as error:
            self.tell(str(error))
            self.prompt.put(line)

    def on_prompt_left(self) -> None:
        if self._draft is not None:
            self._end_edit()
            self.tell("Left as it was.")
        else:
            self.set_focus(None)

    def _end_edit(self) -> None:
        self.prompt.put(self._draft or "")
        self._draft = None
        self.query_one("#mark", Static).update(" > ")

    def _ask(self, command: Command) -> None:
        """Make the model speak."""
        self.tell("")
        self._asked = self.live.version
        self.transcript.move(math.inf)
        self.send(command)

    def _ready(self, something: bool = True) -> bool:
        """Whether a command makes sense now; says so if not. `something`: it is about a turn that there must be."""
        state = self.live.state
        if state == "gone":
            return False
        if self.busy:
            self.tell("The model is still writing; ^C stops it.")
        elif state != "idle":
            self.tell(self.lacking or LOADING)
        elif something and not self.live.chat:
            self.tell("Nothing was said yet.")
        else:
            return True
        return False

    def command(self, command: Command, done: str) -> None:
        """Something that changes the chat; an answer under way ends first."""
        if self.busy:
            self.send(Stop())
        self.change(command, done)

    def change(self, command: Command, done: str) -> None:
        """Something that an answer under way need not end for."""
        if self.live.state in ("idle", "busy"):
            self.send(command)
            self.tell(done)
        else:
            self._ready(something=False)

    # ---- keys ----

    def action_prompt(self) -> None:
        self.prompt.focus()

    def action_regen(self) -> None:
        if self.live.state == "gone":
            self.action_restart()
        elif self._ready():
            self._ask(Regen())

    async def action_restart_engine(self) -> None:
        await self.run_action("app.restart_engine")

    def action_restart(self) -> None:
        if self.live.state == "gone":
            self.call_later(self.action_restart_engine)

    def action_edit(self) -> None:
        if self._draft is None and self._ready():
            self._draft = self.prompt.text
            self.query_one("#mark", Static).update("e> ")
            self.prompt.put(self.live.chat[-1].turn.prompt)
            self.prompt.focus()
            self.tell("Change the last prompt: Enter sends it in place of the old one, Esc leaves it as it was.")

    def action_undo(self) -> None:
        if self.prompt.has_focus and self.prompt.text:
            self.prompt.undo()
        elif self.live.state != "gone":
            self.undo()

    def undo(self) -> None:
        """Take the last turn back."""
        if self.live.chat:
            self.command(Undo(), "Took back the last prompt and its answer.")
        else:
            self.tell("There is nothing to take back yet.")

    def action_clear(self) -> None:
        self.command(Clear(), "Everything said so far is forgotten.")

    def action_copy(self) -> None:
        if not self.live.chat:
            self.tell("Nothing was said yet.")
            return
        text = printable(self.live.chat[-1].turn.text.strip())  # also for the terminal it may be pasted into
        self.app.copy_to_clipboard(text)
        self.tell(f"Copied the last answer, {len(text)} characters.")

    def action_settings(self) -> None:
        if self.live.state in ("gone", "saved"):
            self._ready(something=False)
        else:
            self.app.push_screen(Settings(self.live, self.send))

    def action_alternatives(self) -> None:
        if self._ready():
            self.app.push_screen(Next(self.live, self.send, self.live.chat[-1], self.ascii_only))

    def action_probabilities(self) -> None:
        self.transcript.mark(not self.transcript.probabilities)
        self._draw_rule()

    def action_mode(self) -> None:
        """The next of the ways in which prompts from now on become text for the model."""
        names = tuple(MODES)
        mode = names[(names.index(self.mode) + 1) % len(names)]
        self.change(Configure({"mode": mode}), told(mode))

    def action_page(self, pages: int) -> None:
        self.transcript.move(pages)

    def help(self) -> None:
        """The page of all keys."""
        self.call_later(self.run_action, "app.help")

    def leave(self) -> None:
        """End the app."""
        self.app.exit()

    # ---- saved chats ----

    def action_sessions(self) -> None:
        now = tuple((spoken.turn.prompt, spoken.turn.text) for spoken in self.live.chat)
        self.app.push_screen(Sessions(self.live, self.send, self.save, self.load, now not in ((), self._saved)))

    def save(self, name: str) -> str:
        """Keep the chat under a name; returns what to tell. Raises GgtuiError, OSError."""
        turns = [spoken.turn for spoken in self.live.chat]
        path = saved_chats.save(name, turns, self.live.loaded.path if self.live.loaded is not None else "")
        self._saved = tuple((turn.prompt, turn.text) for turn in turns)
        return f"Saved {turns_told(turns)}: {path}"

    def load(self, name: str) -> str:
        """Go on with a saved chat; returns what to tell. Raises GgtuiError, OSError."""
        if self.live.state not in ("idle", "busy"):
            raise UsageError("there is no model to go on with it")
        turns = saved_chats.load(name)
        self._saved = tuple((turn.prompt, turn.text) for turn in turns)
        self.command(Restore(turns), f"Loaded {turns_told(turns)}.")
        return f"Loaded {turns_told(turns)}."

    # ---- selected text ----

    def get_selected_text(self) -> str | None:
        """Also of the prompt, so that Ctrl+C copies it; while the model speaks, that stops it."""
        selected = super().get_selected_text()
        return selected or (None if self.live.state == "busy" else self.prompt.selected_text or None)
