"""The commands of the REPL, typed at the prompt of the screen: the same names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ggtui.chat.settings import SETTINGS, nearest
from ggtui.core.errors import UsageError
from ggtui.viz.live import Live
from ggtui.viz.messages import Command, Configure, Profile
from ggtui.viz.shell import COMMANDS, MODE_HELP
from ggtui.viz.tui.dialogs.settings import parse
from ggtui.viz.tui.widgets.status import p95

WHERE = {"info": "the bar at the top", "params": "^S", "graph": "F4", "mem": "F6"}


class Actions(Protocol):
    """What commands need of the Chat screen."""

    live: Live

    @property
    def mode(self) -> str: ...
    def tell(self, line: str) -> None: ...
    def change(self, command: Command, done: str) -> None: ...
    def set_mode(self, mode: str) -> None: ...
    def save(self, name: str) -> str: ...
    def load(self, name: str) -> str: ...
    def undo(self) -> None: ...
    def leave(self) -> None: ...
    def help(self) -> None: ...
    def action_regen(self) -> None: ...
    def action_edit(self) -> None: ...
    def action_clear(self) -> None: ...
    def action_settings(self) -> None: ...
    def action_sessions(self) -> None: ...
    def action_alternatives(self) -> None: ...


def run(screen: Actions, line: str) -> None:
    """Do what a line that begins with / asks for. Raises GgtuiError, OSError."""
    word, _, rest = line.strip().partition(" ")
    for command in COMMANDS:
        if word in command.names:
            DO[command.names[0]](screen, rest.strip())
            return
    meant = nearest(word, [name for command in COMMANDS for name in command.names])
    hint = f"did you mean {meant}?" if meant else "F1 lists the keys."
    raise UsageError(f"{word}: no such command; {hint} A text that begins with / needs a space before it.")


def _set(screen: Actions, words: str) -> None:
    name, _, text = words.partition(" ")
    name, text = name.replace("_", "-"), text.strip()
    if not name:
        screen.action_settings()
        return
    setting = SETTINGS.get(name)
    value = parse(name, text, f"/set {name}")
    assert setting is not None
    if text:
        screen.change(Configure({setting.key: value}), f"{name} = {setting.text(value)}")
    else:
        screen.tell(f"{name} = {setting.text(screen.live.settings.get(setting.key, setting.default))}")


def _mode(screen: Actions, name: str) -> None:
    if name:
        screen.set_mode(SETTINGS["mode"].parse(name, "/mode"))
    else:
        screen.tell(f"Mode {screen.mode}: {MODE_HELP[screen.mode]}")


def _stats(screen: Actions, _: str) -> None:
    live = screen.live
    times = [ns / 1e6 for ns in live.token_times]
    if not times:
        screen.tell("Nothing was generated yet.")
        return
    mean = sum(times) / len(times)
    screen.tell(
        f"{live.n_evaluations} tokens generated, {live.n_past} in the context; the newest {len(times)}: "
        f"{live.tokens_per_s:.0f} tok/s, {mean:.1f} ms each, p95 {p95(times):.1f} ms. F2-F6 show the rest."
    )


def _show(screen: Actions, subject: str) -> None:
    if subject not in WHERE:
        raise UsageError(f"/show {subject}: must be {' or '.join(WHERE)}")
    screen.tell(f"{subject}: {WHERE[subject]} shows it.")


def _perf(screen: Actions, words: str) -> None:
    if words in ("on", "off"):
        told = f"Node times are {'' if words == 'on' else 'not '}recorded from now on."
        screen.change(Profile(words == "on"), told)
    else:
        screen.tell("F3 shows node times; there, e writes them into a file.")


DO: dict[str, Callable[[Actions, str], None]] = {
    "/help": lambda screen, _: screen.help(),
    "/bye": lambda screen, _: screen.leave(),
    "/clear": lambda screen, _: screen.action_clear(),
    "/regen": lambda screen, _: screen.action_regen(),
    "/undo": lambda screen, _: screen.undo(),
    "/edit": lambda screen, _: screen.action_edit(),
    "/save": lambda screen, name: screen.tell(screen.save(name)),
    "/load": lambda screen, name: screen.tell(screen.load(name)),
    "/sessions": lambda screen, _: screen.action_sessions(),
    "/mode": _mode,
    "/set": _set,
    "/show": _show,
    "/stats": _stats,
    "/perf": _perf,
    "/trace": lambda screen, _: screen.tell("F4 shows the graph; there, o writes it into a file."),
    "/topk": lambda screen, _: screen.action_alternatives(),
}
