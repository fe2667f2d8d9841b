"""What a line typed in the conversation does: text goes to the model, /commands do the rest."""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TextIO

from ggtui.chat import saved as saved_chats
from ggtui.chat.conversation import MODES, Chat, Turn
from ggtui.chat.settings import SETTINGS, nearest
from ggtui.core.errors import ContextFullError, GgtuiError, UsageError
from ggtui.viz import show, summary
from ggtui.viz.interrupt import stop_on_signal
from ggtui.viz.shell_perf import WAYS, Profile
from ggtui.viz.terminal import Wrapped, keys_held
from ggtui.viz.text import color_wanted, printable, printable_line

if TYPE_CHECKING:
    from ggtui.core.engine.session import Stats, Step

MAX_ALTERNATIVES = 100
LIVE = tuple(s.name for s in SETTINGS.values() if s.live)


class Shell:
    """A conversation without the line editor. `ask(text)` lets the person edit a text, None if they would rather not;
    started is when the program began, for the total time."""

    def __init__(
        self,
        chat: Chat,
        ask: Callable[[str], str | None],
        out: TextIO | None = None,
        *,
        started: int = 0,
        quiet: bool = False,
    ) -> None:
        self.chat, self.ask, self.started, self.quiet = chat, ask, started, quiet
        self.out = out or sys.stdout
        self.wrapped = Wrapped(self.out)
        self.leaving = False
        self.profile = Profile(chat.session)

    # ---- lines ----

    def handle(self, line: str) -> None:
        """Do what a line asks for. Errors are said, and nothing is raised; `leaving` is set by /bye."""
        try:
            if line.startswith("/"):
                self._command(line)
            elif line.strip() or self.chat.mode == "complete":
                self._stream(self.chat.say(line))
        except ContextFullError:
            self.say(f"ggtui: {summary.context_full(self.chat.session, in_chat=True)}")
        except GgtuiError as error:
            self.say(f"ggtui: {error}")
        except OSError as error:
            where = f"{error.filename}: " if error.filename is not None else ""
            self.say(f"ggtui: {where}{error.strerror or error}")

    def _command(self, line: str) -> None:
        word, _, rest = line.rstrip().partition(" ")
        for command in COMMANDS:
            if word in command.names:
                command.run(self, rest.strip())
                return
        meant = nearest(word, [name for command in COMMANDS for name in command.names])
        raise UsageError(f"{word}: no such command; {f'did you mean {meant}?' if meant else '/help lists them'}")

    def say(self, line: str) -> None:
        self.wrapped.write(printable_line(line) + "\n")

    def _say_all(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.say(line)

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
            self.say(f"ggtui: {summary.context_full(session, in_chat=True)}")
        if not self.quiet:
            self._dim(self._figures(before, reason))

    def _figures(self, before: Stats, reason: str) -> str:
        session, after = self.chat.session, self.chat.session.stats
        n, n_prompt = after.n_sampled - before.n_sampled, after.n_prompt - before.n_prompt
        speed = summary.per_second(after.n_predicted - before.n_predicted, after.predict_ns - before.predict_ns)
        prompt_speed = summary.per_second(n_prompt, after.prompt_ns - before.prompt_ns)
        why = {"n_predict": "", "context full": ""}.get(reason, f"; {reason}")
        return (
            f"[{n} tokens, {speed:.0f} tok/s; prompt {n_prompt}, {prompt_speed:.0f} tok/s; "
            f"context {session.n_past}/{session.n_ctx}{why}]"
        )

    def _dim(self, line: str) -> None:
        dim, normal = ("\x1b[2m", "\x1b[0m") if color_wanted(self.out) else ("", "")
        self.out.write(f"{dim}{printable_line(line)}{normal}\n")
        self.out.flush()

    # ---- commands ----

    def _help(self, _: str) -> None:
        width = max(len(c.usage) for c in COMMANDS)
        self._say_all(f"{c.usage:{width}}  {c.help}" for c in COMMANDS)
        self._say_all(("", *_KEYS))

    def _bye(self, _: str) -> None:
        self.leaving = True

    def _clear(self, _: str) -> None:
        self.chat.clear()
        self.say("Everything said so far is forgotten.")

    def _regen(self, _: str) -> None:
        self._stream(self.chat.regen())

    def _undo(self, _: str) -> None:
        turn = self.chat.undo()
        self.say(f"Took back {_short(turn.prompt)} and its answer; {turns_told(self.chat.turns)} left.")

    def _edit(self, _: str) -> None:
        if not self.chat.turns:
            raise UsageError("there is nothing to edit yet")
        prompt = self.ask(self.chat.turns[-1].prompt)
        if prompt is None:
            self.say("Left as it was.")
        else:
            self._stream(self.chat.edit(prompt))

    def _save(self, name: str) -> None:
        path = saved_chats.save(name, self.chat.turns, str(self.chat.session.path))
        self.say(f"Saved {turns_told(self.chat.turns)}: {path}")

    def _load(self, name: str) -> None:
        turns = saved_chats.load(name)
        self.chat.clear()
        for turn in turns:
            mode = MODES[turn.mode]
            self.wrapped.write(printable(mode.text(turn.prompt, first=not self.chat.turns) + turn.text))
            self.chat.add(turn)
        self.wrapped.write("\n")
        self.say(f"Loaded {turns_told(turns)}.")

    def _sessions(self, _: str) -> None:
        self._say_all(saved_chats.names() or ["No chats are saved; /save NAME does."])

    def _mode(self, name: str) -> None:
        if name:
            self.chat.mode = SETTINGS["mode"].parse(name, "/mode")
        self.say(f"Mode {self.chat.mode}: {MODE_HELP[self.chat.mode]}")

    def _set(self, words: str) -> None:
        name, _, text = words.partition(" ")
        name, text = name.replace("_", "-"), text.strip()
        if not name:
            self._say_all(show.params(self.chat))
            return
        if name not in SETTINGS:
            meant = nearest(name, LIVE)
            hint = f"did you mean {meant}?" if meant else "/set lists them"
            raise UsageError(f"/set {name}: no such setting; {hint}")
        setting = SETTINGS[name]
        if not setting.live:
            raise UsageError(f"/set {name}: only at the start, by ggtui chat --{name} {setting.metavar}")
        if text == "default":
            setattr(self.chat.settings, setting.key, setting.default)
        elif text:
            value = setting.parse(text, f"/set {name}")
            setattr(self.chat.settings, setting.key, (value,) if setting.many else value)
        self.say(f"{name} = {setting.text(getattr(self.chat.settings, setting.key))}")

    def _show(self, subject: str) -> None:
        if subject not in show.SUBJECTS:
            raise UsageError(f"/show {subject}: must be {' or '.join(show.SUBJECTS)}")
        self._say_all(show.SUBJECTS[subject](self.chat))

    def _stats(self, _: str) -> None:
        total_ns = time.perf_counter_ns() - self.started
        self._say_all(summary.lines(summary.measured(self.chat.session, total_ns)))

    def _topk(self, text: str) -> None:
        try:
            n = int(text or 10)
        except ValueError:
            n = 0
        if not 1 <= n <= MAX_ALTERNATIVES:
            raise UsageError(f"/topk {text}: must be a whole number, 1 to {MAX_ALTERNATIVES}")
        for rank, (_, token, p) in enumerate(self.chat.alternatives(n), 1):
            self.say(f"{rank:3}  {p:7.2%}  {token!r}")

    def _perf(self, words: str) -> None:
        self._say_all(self.profile.perf(words))

    def _trace(self, name: str) -> None:
        self.say(self.profile.draw(name))


class Command(NamedTuple):
    """A row of what can be typed; `values` are what its argument may be, for completion."""

    names: tuple[str, ...]
    argument: str
    help: str
    run: Callable[[Shell, str], None]
    values: Callable[[], Iterable[str]] = tuple

    @property
    def usage(self) -> str:
        return f"{self.names[0]} {self.argument}".rstrip()


COMMANDS = (
    Command(("/help", "/?"), "", "what can be typed", Shell._help),
    Command(("/bye", "/exit", "/quit"), "", "leave", Shell._bye),
    Command(("/clear",), "", "forget everything said so far", Shell._clear),
    Command(("/regen",), "", "another answer to the last prompt", Shell._regen),
    Command(("/undo",), "", "take the last prompt and its answer back", Shell._undo),
    Command(("/edit",), "", "change the last prompt and ask again", Shell._edit),
    Command(("/save",), "NAME", "keep this chat under a name", Shell._save, saved_chats.names),
    Command(("/load",), "NAME", "go on with a saved chat", Shell._load, saved_chats.names),
    Command(("/sessions",), "", "list the saved chats", Shell._sessions),
    Command(("/mode",), "|".join(MODES), "go on with your text, or answer it", Shell._mode,
            lambda: MODES),
    Command(("/set",), "NAME VALUE", "change a setting; alone: list them",
            Shell._set, lambda: LIVE),
    Command(("/show",), "|".join(show.SUBJECTS), "model, settings, nodes of the graph, memory",
            Shell._show, lambda: show.SUBJECTS),
    Command(("/stats",), "", "what everything took so far", Shell._stats),
    Command(("/perf",), "on|off|top N|save FILE", "record node times; show them; save them",
            Shell._perf, lambda: WAYS),
    Command(("/trace",), "FILE", "draw the graph that ran: svg, png, pdf or dot", Shell._trace),
    Command(("/topk",), "N", "the likeliest next tokens (10)", Shell._topk),
)  # fmt: skip

MODE_HELP = {
    "complete": "the model goes on with what you type; Enter alone lets it go on with its own text.",
    "chat": "what you type is a question, and the model answers it.",
}
_KEYS = (
    "Enter sends, Ctrl+J begins a new line, Ctrl+C stops the model, Ctrl+D on an empty line leaves.",
    "Arrow up brings back what was typed before. A text that begins with / needs a space before it.",
)


def turns_told(turns: Sequence[Turn]) -> str:
    return "1 turn" if len(turns) == 1 else f"{len(turns)} turns"


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
