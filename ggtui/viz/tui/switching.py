"""Another model for the chat under way, or the same one loaded otherwise: the engine's process begins anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ggtui.chat.reloading import State
from ggtui.viz.live import Live
from ggtui.viz.messages import Command, Configure, Event, Failed, Gone, Restore, Turns


class Engine(Protocol):
    """What the app needs of the engine's process."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What it was started with last, by names in Python."""

    def send(self, command: Command) -> None:
        """Ask for something; never blocks."""

    def receive(self) -> list[Event]:
        """The events since the last call; never blocks. Ends with Gone when the process is no more."""

    def restart(self, changes: Mapping[str, Any]) -> None:
        """Begin anew, with these settings changed and no turns."""

    def close(self) -> None:
        """End the process and wait for it."""


class Switching:
    """Begins anew with the chat as it is. Where the engine doesn't come up with the changes, or can't take the chat, it
    goes back to how it was, and says why."""

    def __init__(self, live: Live, engine: Engine) -> None:
        self._live, self._engine = live, engine
        self._begun: State | None = None  # what an engine that did not come up yet is to go on from
        self._asked: list[Command] = []  # what it was asked since
        self._back: State | None = None  # what to go back to where that fails
        self._why = ""  # it went back

    def send(self, command: Command) -> None:
        """Ask for something. What is asked while a model loads is asked again of the one that is gone back to."""
        if self._begun is not None:
            self._asked.append(command)
        self._engine.send(command)

    def restart(self, changes: Mapping[str, Any]) -> None:
        """Begin anew with these settings changed, of those that the engine starts with."""
        live = self._live
        now = self._begun or State(dict(self._engine.settings), dict(live.settings), live.turns)
        if changes and live.state in ("idle", "busy"):
            self._back = now
        self._why = ""
        self._begin(now.changed(changes))

    def _begin(self, state: State) -> None:
        self._begun = state
        self._engine.restart(state.started)
        self._live.restarting()
        if state.settings:
            self._engine.send(Configure(state.settings))
        self._engine.send(Restore(state.turns))
        for command in self._asked:
            self._engine.send(command)

    def take(self, event: Event) -> None:
        """Bring the run up to date with an event of the engine."""
        if self._back is not None and isinstance(event, Gone | Failed):
            back, self._back, self._why = self._back, None, event.message
            self._begin(back)
            return
        self._live.take(event)
        if not isinstance(event, Turns):  # the answer to Restore
            return
        self._begun = self._back = None
        self._asked.clear()
        if self._why:
            self._live.take(Failed(f"{self._why}; back to the model there was"))
            self._why = ""
