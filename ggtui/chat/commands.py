"""What can be typed beside text: one table for every front end, the line-by-line one and the screen.

A front end gives what FrontEnd names. What it has no lines for, since a screen shows it, its row says where to find.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import NamedTuple, Protocol

from ggtui.chat import modes, saved
from ggtui.chat.settings import ANEW, LIVE, SETTINGS, live_value, nearest
from ggtui.core.errors import UsageError

MAX_ALTERNATIVES = 100
TOP = 10  # lines, where no number is given


class Reports(Protocol):
    """What a front end without screens tells of a run, in lines."""

    def info(self) -> Iterable[str]: ...
    def params(self) -> Iterable[str]: ...
    def graph(self) -> Iterable[str]: ...
    def mem(self) -> Iterable[str]: ...
    def prompt(self) -> Iterable[str]: ...
    def node_times(self, top: int) -> Iterable[str]: ...
    def save_times(self, file: str) -> Iterable[str]: ...
    def draw(self, file: str) -> Iterable[str]: ...


class FrontEnd(Protocol):
    """What commands ask of whoever reads the lines. Methods that return lines are told by the table.

    reports  None where screens show all that
    keys     those of the screens, by their titles; empty where there are none
    """

    @property
    def reports(self) -> Reports | None: ...
    @property
    def keys(self) -> Mapping[str, str]: ...
    def tell(self, line: str) -> None: ...
    def unknown(self, word: str, meant: str | None) -> str:
        """What to tell of a word that is no command; `meant` is one that is near."""

    def value(self, key: str) -> object:
        """Of a setting that can be changed."""

    def configure(self, key: str, value: object, told: str) -> None:
        """Set a live one, and tell."""

    def load_anew(self, changes: Mapping[str, object]) -> None:
        """Load the model anew, or another one, with these settings changed; the chat is kept."""

    def models(self) -> None:
        """Those that there are."""

    def settings(self) -> None:
        """All of them."""

    def help(self) -> None: ...
    def leave(self) -> None: ...
    def clear(self) -> None: ...
    def regen(self) -> None: ...
    def undo(self) -> None: ...
    def redo(self) -> None: ...
    def branch(self, by: int) -> None:
        """To another answer that was given in place of this one, `by` further."""

    def edit(self) -> None: ...
    def save(self, name: str) -> str: ...
    def load(self, name: str) -> str: ...
    def sessions(self) -> None: ...
    def stats(self) -> Iterable[str]: ...
    def record(self, on: bool) -> None: ...
    def alternatives(self, n: int) -> None: ...


class Command(NamedTuple):
    """A row of what can be typed; `values` are what its argument may be, for completion."""

    names: tuple[str, ...]
    argument: str
    help: str
    run: Callable[[FrontEnd, str], None]
    values: Callable[[], Iterable[str]] = tuple

    @property
    def usage(self) -> str:
        return f"{self.names[0]} {self.argument}".rstrip()


def run(front: FrontEnd, line: str) -> None:
    """Do what a line that begins with / asks for. Raises GgtuiError, OSError."""
    word, _, rest = line.strip().partition(" ")
    for command in COMMANDS:
        if word in command.names:
            command.run(front, rest.strip())
            return
    raise UsageError(front.unknown(word, nearest(word, [name for command in COMMANDS for name in command.names])))


def completions(typed: str) -> tuple[str, list[str]]:
    """The part of a line that is not complete yet, and what it may become: a command's name or its argument."""
    word, space, argument = typed.partition(" ")
    if not typed.startswith("/"):
        return typed, []
    if not space:
        return word, [command.names[0] for command in COMMANDS if command.names[0].startswith(word)]
    values = [value for command in COMMANDS if word in command.names for value in command.values()]
    return argument, [value for value in values if value.startswith(argument)]


def _report(front: FrontEnd, lines: Callable[[Reports], Iterable[str]], elsewhere: str) -> None:
    """Tell lines of a run, or where the screens show them: {TITLE} in `elsewhere` is the key of that screen."""
    _tell(front, [elsewhere.format_map(front.keys)] if front.reports is None else lines(front.reports))


def _tell(front: FrontEnd, lines: Iterable[str]) -> None:
    for line in lines:
        front.tell(line)


class Subject(NamedTuple):
    """What /show can tell of, in lines, or where it is on the screens."""

    lines: Callable[[Reports], Iterable[str]]
    elsewhere: str


SUBJECTS = {
    "info": Subject(lambda reports: reports.info(), "info: the bar at the top shows it."),
    "params": Subject(lambda reports: reports.params(), "params: ^S shows it."),
    "graph": Subject(lambda reports: reports.graph(), "graph: {graph} shows it."),
    "mem": Subject(lambda reports: reports.mem(), "mem: {mem} shows it."),
    "prompt": Subject(lambda reports: reports.prompt(), "prompt: Esc k shows the tokens that the model reads."),
}
_PERF = ("on", "off", "top", "save")


def _show(front: FrontEnd, subject: str) -> None:
    if subject not in SUBJECTS:
        raise UsageError(f"/show {subject}: must be {' or '.join(SUBJECTS)}")
    _report(front, *SUBJECTS[subject])


def _mode(front: FrontEnd, name: str) -> None:
    if name:
        mode = SETTINGS["mode"].parse(name, "/mode")
        front.configure("mode", mode, modes.told(mode))
    else:
        front.tell(modes.told(str(front.value("mode"))))


def _set(front: FrontEnd, words: str, asked: str = "/set ") -> None:
    """`asked`: what stood before the setting's name."""
    name, _, text = words.partition(" ")
    name, text = name.replace("_", "-"), text.strip()
    if not name:
        front.settings()
        return
    value = live_value(name, text, f"{asked}{name}")
    setting = SETTINGS[name]
    if text and setting.anew:
        front.load_anew({setting.key: value})
    elif text:
        front.configure(setting.key, value, f"{name} = {setting.text(value)}")
    else:
        front.tell(f"{name} = {setting.text(front.value(setting.key))}")


def _model(front: FrontEnd, name: str) -> None:
    if name:
        front.load_anew({"model": name})
    else:
        front.models()


def _perf(front: FrontEnd, words: str, *, elsewhere: str) -> None:
    way, _, rest = words.partition(" ")
    if words in ("on", "off"):
        front.record(words == "on")
    elif way == "save":
        _report(front, lambda reports: reports.save_times(rest), elsewhere)
    elif way in ("", "top"):
        _report(front, lambda reports: reports.node_times(_count("/perf top", rest)), elsewhere)
    else:
        raise UsageError(f"/perf {words}: must be {', '.join(_PERF[:-1])} or {_PERF[-1]}")


def _trace(front: FrontEnd, file: str, *, elsewhere: str) -> None:
    _report(front, lambda reports: reports.draw(file), elsewhere)


def _topk(front: FrontEnd, text: str) -> None:
    front.alternatives(_count("/topk", text, MAX_ALTERNATIVES))


def _model_names() -> Iterable[str]:
    from ggtui.core.files.places import BUILT_IN_NAME, models

    return [BUILT_IN_NAME, *(found.name for found in models())]


def _count(asked: str, text: str, most: int | None = None) -> int:
    """A number of lines. Raises UsageError in the name of `asked`."""
    n = TOP if not text else int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if n < 1 or (most is not None and n > most):
        wanted = "1 or more" if most is None else f"1 to {most}"
        raise UsageError(f"{asked} {text}: must be a whole number, {wanted}")
    return n


COMMANDS = (
    Command(("/help", "/?"), "", "what can be typed", lambda front, _: front.help()),
    Command(("/bye", "/exit", "/quit"), "", "leave", lambda front, _: front.leave()),
    Command(("/clear",), "", "forget everything said so far; /undo right after brings it back",
            lambda front, _: front.clear()),
    Command(("/regen",), "", "another answer to the last prompt", lambda front, _: front.regen()),
    Command(("/edit",), "", "change the last prompt and ask again", lambda front, _: front.edit()),
    Command(("/prev",), "", "the answer before, where one was given in its place", lambda front, _: front.branch(-1)),
    Command(("/next",), "", "the answer after", lambda front, _: front.branch(1)),
    Command(("/undo",), "", "take the last prompt and its answer back", lambda front, _: front.undo()),
    Command(("/redo",), "", "bring back what /undo took", lambda front, _: front.redo()),
    Command(("/save",), "NAME", "keep this chat under a name", lambda front, name: front.tell(front.save(name)),
            saved.names),
    Command(("/load",), "NAME", "go on with a saved chat", lambda front, name: front.tell(front.load(name)),
            saved.names),
    Command(("/sessions",), "", "list the saved chats", lambda front, _: front.sessions()),
    Command(("/mode",), "|".join(modes.MODES), "go on with your text, or answer it", _mode, lambda: modes.MODES),
    Command(("/system",), "TEXT", "what the model is told before a chat, where it has a template",
            lambda front, text: _set(front, f"system {text}", "/")),
    Command(("/speed",), "N", "tokens a second to show at most; 0: as fast as it can",
            lambda front, n: _set(front, f"speed {n}", "/")),
    Command(("/set",), "NAME VALUE", "change a setting; alone: list them", _set, lambda: (*LIVE, *ANEW)),
    Command(("/model",), "NAME", "go on with another model; alone: list those that there are", _model, _model_names),
    Command(("/show",), "|".join(SUBJECTS), "model, settings, nodes of the graph, memory", _show, lambda: SUBJECTS),
    Command(("/stats",), "", "what everything took so far", lambda front, _: _tell(front, front.stats())),
    Command(("/perf",), "on|off|top N|save FILE", "record node times; show them; save them",
            partial(_perf, elsewhere="{perf} shows node times; there, e writes them into a file."), lambda: _PERF),
    Command(("/trace",), "FILE", "draw the graph that ran: svg, png, pdf or dot",
            partial(_trace, elsewhere="{graph} shows the graph; there, o writes it into a file.")),
    Command(("/topk",), "N", "the likeliest next tokens (10)", _topk),
)  # fmt: skip
