"""The Chat screen: what its keys do, and lines that are sent."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import Static

from ggtui.chat import commands
from ggtui.chat.conversation import Turn, turns_told
from ggtui.chat.modes import MODES, told
from ggtui.chat.tree import Tree
from ggtui.core.errors import GgtuiError, UsageError
from ggtui.viz.live import Live
from ggtui.viz.messages import Branch, Clear, Command, Configure, Edit, Redo, Regen, Restore, Say, Stop, Undo
from ggtui.viz.text import printable
from ggtui.viz.tui.base import LoadAnew, Send
from ggtui.viz.tui.dialogs.alternatives import Next
from ggtui.viz.tui.dialogs.sessions import Sessions
from ggtui.viz.tui.dialogs.settings import Settings
from ggtui.viz.tui.dialogs.sure import Sure
from ggtui.viz.tui.dialogs.tokens import TokensRead
from ggtui.viz.tui.saving import Saving
from ggtui.viz.tui.screens import ScreenRow
from ggtui.viz.tui.screens.chat_commands import Typed
from ggtui.viz.tui.screens.chat_view import ChatView

LOADING = "The model is still loading; it answers what was sent as soon as it can."
BUSY = "The model is still writing; ^C stops it. What you typed is kept."


class ChatScreen(ChatView):
    """Talk to the model."""

    MORE_KEYS = (
        ("Enter", "send; without a text the model goes on with its own"),
        ("^J", "a new line"),
        ("up down", "at the first and last line: what was sent before"),
        ("Esc i", "leave the prompt, and back"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("i", "prompt", "prompt", tooltip="back to the prompt"),
        Binding("enter", "prompt", "prompt", show=False, tooltip="back to the prompt"),
        Binding("a", "alternatives", "next", tooltip="what could come next; go another way from any token"),
        Binding("p", "probabilities", "odds", tooltip="mark tokens by their probability"),
        Binding("k", "tokens", "tokens", show=False, tooltip="the tokens that the model reads, and who wrote them"),
        Binding("t", "thoughts", "thoughts", show=False, tooltip="fold what the model thought into a line, or show it"),
        Binding("m", "mode", "mode", tooltip="mode: go on with your text, or answer it"),
        Binding("r", "restart", "restart", tooltip="start the engine again when it stopped"),
        Binding("ctrl+c", "app.interrupt", "stop", key_display="^C", priority=True,
                tooltip="copy what is selected, else stop the answer"),
        Binding("ctrl+r", "regen", "regen", key_display="^R", priority=True, tooltip="another answer"),
        Binding("ctrl+e", "edit", "edit", key_display="^E", priority=True, tooltip="change the last prompt, ask again"),
        Binding("ctrl+z", "undo", "undo", key_display="^Z", priority=True,
                tooltip="take the last turn back; with text in the prompt: its last change"),
        Binding("alt+down", "redo", "redo", show=False, priority=True, tooltip="bring back what ^Z took"),
        Binding("alt+left", "branch(-1)", "before", show=False, priority=True, tooltip="another answer that was given"),
        Binding("alt+right", "branch(1)", "after", show=False, priority=True, tooltip="another answer that was given"),
        Binding("ctrl+y", "copy", "copy", key_display="^Y", priority=True, tooltip="copy the last answer"),
        Binding("ctrl+s", "settings", "settings", key_display="^S", priority=True, tooltip="settings"),
        Binding("ctrl+g", "sessions", "saved chats", show=False, priority=True, tooltip="load or save a chat"),
        Binding("ctrl+l", "clear", "clear", show=False, priority=True, 
                tooltip="forget everything said so far; ^Z right after brings it back"),
        Binding("ctrl+p", "app.command_palette", "palette", key_display="^P", priority=True),
        Binding("pageup", "page(-1)", "up", show=False, tooltip="scroll by a page"),
        Binding("pagedown", "page(1)", "down", show=False, tooltip="scroll by a page"),
        Binding("home", "page(-1000000)", "first", show=False, tooltip="to the first or the last line"),
        Binding("end", "page(1000000)", "last", show=False, tooltip="to the first or the last line"),
    ]  # fmt: skip

    def __init__(self, live: Live, send: Send, row: ScreenRow) -> None:
        super().__init__(live, send, row)
        self.saving = Saving(live)
        self._asked = -1  # the version at which the model was asked to speak
        self._draft: str | None = None  # what was in the prompt when editing began

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that would do nothing are not shown."""
        return self.live.state == "gone" if action == "restart" else True

    @property
    def busy(self) -> bool:
        """The model speaks, or was asked to just now."""
        return self.live.state == "busy" or self._asked == self.live.version

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
        self.tell_trouble()

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

    def load_anew(self, changes: Mapping[str, object]) -> None:
        """Have the engine begin anew with these settings changed. Raises UnknownModelError, and leaves it as it is, for
        a name that no model has."""
        from ggtui.core.files.places import find_model

        if (model := changes.get("model")) is not None:
            find_model(str(model))
        self.tell("")
        self.post_message(LoadAnew(changes))

    def action_models(self) -> None:
        """Choose another model."""
        self.call_later(self.run_action, "app.models")

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
        """Take the last turn back, or bring back what was cleared just now."""
        if self.live.replaced:
            self.saving.forget()
            self.command(Undo(), "Brought back what was said before.")
        elif self.live.chat:
            self.command(Undo(), "Took back the last prompt and its answer; alt+down brings it back.")
        else:
            self.tell("There is nothing to take back yet.")

    def action_redo(self) -> None:
        self._walk(Redo(), lambda tree: tree.redo())

    def action_branch(self, by: int) -> None:
        self._walk(Branch(by), lambda tree: tree.branch(by))

    def _walk(self, command: Command, walk: Callable[[Tree[Turn]], object]) -> None:
        """Go to turns that are not shown; says so where there are none."""
        try:
            walk(self.live.turns)
        except UsageError as error:
            self.tell(str(error))
        else:
            self.command(command, "")

    def action_clear(self) -> None:
        self.saving.forget()
        self.command(Clear(), "Everything said so far is forgotten; ^Z brings it back.")

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

    def action_tokens(self) -> None:
        if self._ready(something=False):
            self.app.push_screen(TokensRead(self.live, self.send))

    def action_thoughts(self) -> None:
        folded = not self.transcript.folded
        some = self.transcript.fold(folded)
        self.tell("" if some else f"What models think will be {'folded' if folded else 'shown'}; there is none yet.")

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
        self.app.push_screen(Sessions(self.live, self.send, self.saving, self.load))

    def save(self, name: str) -> str:
        """Keep the chat under a name, if need be after a question; returns what to tell. Raises GgtuiError,
        OSError."""
        if not self.saving.overwrites(name):
            return self.saving.save(name)

        def save() -> None:
            try:
                self.tell(self.saving.save(name))
            except (GgtuiError, OSError) as error:
                self.tell(str(error))

        self.app.push_screen(Sure(self.live, self.send, f"A chat called {name} is there already. Write over it?", save))
        return ""

    def load(self, name: str) -> str:
        """Go on with a saved chat; returns what to tell. Raises GgtuiError, OSError."""
        if self.live.state not in ("idle", "busy"):
            raise UsageError("there is no model to go on with it")
        back = " ^Z brings back what was said before." if self.live.tree.items else ""
        tree = self.saving.load(name)
        told = f"Loaded {turns_told(tree.path)}.{back}"
        self.command(Restore(tree), told)
        return told

    # ---- selected text ----

    def get_selected_text(self) -> str | None:
        """Also of the prompt, so that Ctrl+C copies it; while the model speaks, that stops it."""
        selected = super().get_selected_text()
        return selected or (None if self.live.state == "busy" else self.prompt.selected_text or None)
