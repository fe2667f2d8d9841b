"""What the Chat screen gives chat/commands.py, for commands typed at its prompt."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Protocol

from ggtui.chat.settings import SETTINGS
from ggtui.viz.live import Live
from ggtui.viz.messages import Command, Configure, Profile
from ggtui.viz.tui.screens import f_keys, keys_by_title
from ggtui.viz.tui.widgets.status import p95, typical


class Actions(Protocol):
    """What commands need of the Chat screen."""

    live: Live

    def tell(self, line: str) -> None: ...
    def change(self, command: Command, done: str) -> None: ...
    def save(self, name: str) -> str: ...
    def load(self, name: str) -> str: ...
    def undo(self) -> None: ...
    def action_redo(self) -> None: ...
    def action_branch(self, by: int) -> None: ...
    def leave(self) -> None: ...
    def help(self) -> None: ...
    def action_regen(self) -> None: ...
    def action_edit(self) -> None: ...
    def action_clear(self) -> None: ...
    def action_settings(self) -> None: ...
    def action_sessions(self) -> None: ...
    def action_alternatives(self) -> None: ...
    def action_models(self) -> None: ...
    def load_anew(self, changes: Mapping[str, object]) -> None: ...


class Typed:
    """The front end of commands, over the screen. Lists are dialogs here, and what a run did is on other screens."""

    reports = None

    def __init__(self, screen: Actions) -> None:
        self._screen, self._live = screen, screen.live
        self.tell, self.save, self.load = screen.tell, screen.save, screen.load
        self.undo, self.leave, self.help = screen.undo, screen.leave, screen.help
        self.redo, self.branch = screen.action_redo, screen.action_branch
        self.clear, self.regen, self.edit = screen.action_clear, screen.action_regen, screen.action_edit
        self.settings, self.sessions = screen.action_settings, screen.action_sessions
        self.load_anew, self.models = screen.load_anew, screen.action_models

    @property
    def keys(self) -> Mapping[str, str]:
        return keys_by_title()

    def unknown(self, word: str, meant: str | None) -> str:
        hint = f"did you mean {meant}?" if meant else "F1 lists the keys."
        return f"{word}: no such command; {hint} A text that begins with / needs a space before it."

    def value(self, key: str) -> object:
        known = {**self._live.settings, **self._live.started}
        return known.get(key, SETTINGS[key.replace("_", "-")].default)

    def configure(self, key: str, value: object, told: str) -> None:
        self._screen.change(Configure({key: value}), told)

    def stats(self) -> list[str]:
        live = self._live
        times = typical([ns / 1e6 for ns in live.token_times])
        if not times:
            return ["Nothing was generated yet."]
        return [
            f"{live.n_evaluations} tokens generated, {live.n_past} in the context; the newest {len(live.token_times)}: "
            f"{live.tokens_per_s:.0f} tok/s, {fmean(times):.1f} ms each, p95 {p95(times):.1f} ms. "
            f"{f_keys('-')} show the rest."
        ]

    def record(self, on: bool) -> None:
        self._screen.change(Profile(on), f"Node times are {'' if on else 'not '}recorded from now on.")

    def alternatives(self, n: int) -> None:
        """The dialog, which has room for as many as it shows, whatever `n`."""
        self._screen.action_alternatives()
