"""The conversation line by line: text goes to the model, chat/commands.py does the rest."""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, TextIO

from ggtui.chat import commands
from ggtui.chat import saved as saved_chats
from ggtui.chat.conversation import Chat, turns_told
from ggtui.chat.modes import MODES, told
from ggtui.chat.reloading import Reloading
from ggtui.core.errors import ContextFullError, GgtuiError, UsageError
from ggtui.viz import show, summary
from ggtui.viz.interrupt import stop_on_signal
from ggtui.viz.shell_perf import Profile
from ggtui.viz.terminal import Wrapped, keys_held
from ggtui.viz.text import color_wanted, printable, printable_line

if TYPE_CHECKING:
    from ggtui.core.engine.steps import Stats, Step


class Shell:
    """A conversation without the line editor.

    reloading  makes the chat anew, with other settings
    ask      lets the person edit a text; None if they would rather not
    sure     asks whether to do something
    started  when the program began, for the total time
    """

    def __init__(
        self,
        chat: Chat,
        ask: Callable[[str], str | None],
        sure: Callable[[str], bool],
        out: TextIO | None = None,
        *,
        reloading: Reloading,
        started: int = 0,
        quiet: bool = False,
    ) -> None:
        self._reloading = reloading
        self.chat, self.ask, self.sure, self.started, self.quiet = chat, ask, sure, started, quiet
        self.out = out or sys.stdout
        self.wrapped = Wrapped(self.out)
        self.leaving = False
        self.profile = Profile(chat.session)
        self._name = ""  # under which this chat was saved or loaded

    # ---- lines ----

    def handle(self, line: str) -> None:
        """Do what a line asks for. Errors are said, and nothing is raised; `leaving` is set by /bye."""
        try:
            if line.startswith("/"):
                commands.run(self, line)
            elif line.strip() or MODES[self.chat.mode].goes_on:
                self._stream(self.chat.say(line))
        except ContextFullError:
            self.tell(f"ggtui: {summary.context_full(self.chat.session, in_chat=True)}")
        except GgtuiError as error:
            self.tell(f"ggtui: {error}")
        except OSError as error:
            where = f"{error.filename}: " if error.filename is not None else ""
            self.tell(f"ggtui: {where}{error.strerror or error}")

    def tell(self, line: str) -> None:
        self.wrapped.write(printable_line(line) + "\n")

    def _tell_all(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.tell(line)

    # ---- answers ----

    def _stream(self, steps: Iterator[Step]) -> None:
        """Write an answer as it comes, and one line about it."""
        session = self.chat.session
        before, shown, reason = copy.copy(session.stats), "", ""
        try:
            with keys_held(), stop_on_signal(session.stop):
                for step in steps:
                    text = step.text if shown else step.text.lstrip(" ")
                    shown = text or shown
                    self.wrapped.write(printable(text))
                    self.profile.take(step)
            reason = session.stop_reason
        except KeyboardInterrupt:
            reason = "stopped"
        finally:
            if shown and not shown.endswith("\n"):
                self.wrapped.write("\n")
        if reason == "context full":
            self.tell(f"ggtui: {summary.context_full(session, in_chat=True)}")
        if not self.quiet:
            self._dim(self._figures(before, reason))

    def _figures(self, before: Stats, reason: str) -> str:
        session, after = self.chat.session, self.chat.session.stats
        n, n_prompt = after.n_sampled - before.n_sampled, after.n_prompt - before.n_prompt
        speed = summary.per_second(after.n_predicted - before.n_predicted, after.predict_ns - before.predict_ns)
        prompt_speed = summary.per_second(n_prompt, after.prompt_ns - before.prompt_ns)
        paced = summary.paced(self.chat.settings.speed)
        why = {"n_predict": "", "context full": ""}.get(reason, f"; {reason}")
        return (
            f"[{n} tokens, {speed:.0f} tok/s{paced}; prompt {n_prompt}, {prompt_speed:.0f} tok/s; "
            f"context {session.n_past}/{session.n_ctx}{why}]"
        )

    def _dim(self, line: str) -> None:
        dim, normal = ("\x1b[2m", "\x1b[0m") if color_wanted(self.out) else ("", "")
        self.out.write(f"{dim}{printable_line(line)}{normal}\n")
        self.out.flush()

    # ---- what commands ask for ----

    @property
    def reports(self) -> Shell:
        return self

    @property
    def keys(self) -> Mapping[str, str]:
        return {}

    def unknown(self, word: str, meant: str | None) -> str:
        return f"{word}: no such command; {f'did you mean {meant}?' if meant else '/help lists them'}"

    def value(self, key: str) -> object:
        return self.chat.values[key] if key in self.chat.values else getattr(self._reloading.settings, key)

    def configure(self, key: str, value: object, told: str) -> None:
        self.chat.configure({key: value})
        self.tell(told)

    def load_anew(self, changes: Mapping[str, object]) -> None:
        recording = self.chat.session.recording
        self.chat, error = self._reloading(self.chat, changes)
        self.chat.session.recording = recording
        self.profile = Profile(self.chat.session)
        if error is not None:
            self.tell(f"ggtui: {error}; back to the model there was")
            return
        self._tell_all(self.greeting())

    def models(self) -> None:
        from ggtui.viz.choices import choices

        found = list(choices())
        width = min(max(len(choice.name) for choice in found), _NAME)
        in_use = self.chat.session.path
        told = ((c, f"{c.told}{', in use' if c.path == in_use else ''}") for c in found)
        self._tell_all(f"{choice.name:{width}}  {line}" for choice, line in told)

    def greeting(self) -> list[str]:
        """The model, and how it is asked."""
        s = self.chat.session
        name = s.metadata.get("general.name", s.path.stem)
        return [f"{name}: {s.isa}, {s.threads} threads, context {s.n_ctx}.", told(self.chat.mode)]

    def settings(self) -> None:
        self._tell_all(self.params())

    def help(self) -> None:
        width = max(len(c.usage) for c in commands.COMMANDS)
        self._tell_all(f"{c.usage:{width}}  {c.help}" for c in commands.COMMANDS)
        self._tell_all(("", *_KEYS))

    def leave(self) -> None:
        self.leaving = True

    def clear(self) -> None:
        self.chat.clear()
        self._name = ""
        self.tell("Everything said so far is forgotten; /undo right after brings it back.")

    def regen(self) -> None:
        self._stream(self.chat.regen())

    def undo(self) -> None:
        turn = self.chat.undo()
        if turn is None:
            self._name = ""
            self._say_again()
            self.tell(f"Brought back what was said before: {turns_told(self.chat.turns)}.")
        else:
            left = turns_told(self.chat.turns)
            self.tell(f"Took back {_short(turn.prompt)} and its answer; {left} left. /redo brings it back.")

    def redo(self) -> None:
        self.chat.redo()
        self._say_again(len(self.chat.turns) - 1)

    def branch(self, by: int) -> None:
        """Say from there on what is another conversation now."""
        before = self.chat.turns
        self.chat.branch(by)
        turns = self.chat.turns
        same = sum(1 for a, b in zip(before, turns, strict=False) if a is b)
        self._say_again(same)
        place, of = self.chat.tree.places[same]
        self.tell(f"Answer {place} of {of}; {turns_told(turns)}.")

    def _say_again(self, first: int = 0) -> None:
        """The conversation from a turn on, once more."""
        turns = list(enumerate(self.chat.turns))[first:]
        text = "".join(MODES[turn.mode].text(turn.prompt, first=n == 0) + turn.text for n, turn in turns)
        self.wrapped.write(printable(text if text.endswith("\n") else f"{text}\n"))

    def edit(self) -> None:
        if not self.chat.turns:
            raise UsageError("there is nothing to edit yet")
        prompt = self.ask(self.chat.turns[-1].prompt)
        if prompt is None:
            self.tell("Left as it was.")
        else:
            self._stream(self.chat.edit(prompt))

    def save(self, name: str) -> str:
        if name != self._name and saved_chats.exists(name) and not self.sure(f"{name} is there; write over it?"):
            return "Left as it was."
        path = saved_chats.save(name, self.chat.tree, str(self.chat.session.path))
        self._name = name
        return f"Saved {turns_told(self.chat.turns)}: {path}"

    def load(self, name: str) -> str:
        self.chat.restore(saved_chats.load(name))
        self._name = name
        self._say_again()
        back = "; /undo right after brings back what was said before" if self.chat.replaced else ""
        return f"Loaded {turns_told(self.chat.turns)}{back}."

    def sessions(self) -> None:
        self._tell_all(saved_chats.names() or ["No chats are saved; /save NAME does."])

    def stats(self) -> list[str]:
        total_ns = time.perf_counter_ns() - self.started
        return summary.lines(summary.measured(self.chat.session, total_ns))

    def record(self, on: bool) -> None:
        self.tell(self.profile.record(on))

    def alternatives(self, n: int) -> None:
        for rank, (_, token, p) in enumerate(self.chat.alternatives(n), 1):
            self.tell(f"{rank:3}  {p:7.2%}  {token!r}")

    # ---- what it tells of a run, in lines ----

    def info(self) -> list[str]:
        return show.info(self.chat)

    def params(self) -> list[str]:
        return show.params(self.value)

    def graph(self) -> list[str]:
        return show.graph(self.chat)

    def mem(self) -> list[str]:
        return show.mem(self.chat)

    def prompt(self) -> list[str]:
        return show.prompt(self.chat)

    def node_times(self, top: int) -> Iterator[str]:
        return self.profile.tables(top)

    def save_times(self, file: str) -> list[str]:
        return [self.profile.save(file)]

    def draw(self, file: str) -> list[str]:
        return [self.profile.draw(file)]


_NAME = 40  # characters that names are brought to, where there are longer ones
_KEYS = (
    "Enter sends, Ctrl+J begins a new line, Ctrl+C stops the model, Ctrl+D on an empty line leaves.",
    "Arrow up brings back what was typed before. A text that begins with / needs a space before it.",
)


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
