"""Another model for the chat under way, or the same one loaded otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ggtui.chat.conversation import Chat, Turn, without_tokens
from ggtui.chat.tree import Tree
from ggtui.core.errors import GgtuiError

_OF_ONE_MODEL: Mapping[str, Any] = {"template": None, "pre": None, "adapter": None}  # settings that another one has not


class State(NamedTuple):
    """What a chat goes on from, settings by their names in Python.

    started   those that the model is loaded with
    settings  the live ones
    """

    started: Mapping[str, Any]
    settings: Mapping[str, Any]
    turns: Tree[Turn]

    def changed(self, changes: Mapping[str, Any]) -> State:
        """With other settings to load with. Another model has other tokens, and is asked in its own way."""
        started = {**self.started, **changes}
        if started.get("model") == self.started.get("model"):
            return self._replace(started=started)
        settings = {name: value for name, value in self.settings.items() if name != "mode"}
        return State({**started, **_OF_ONE_MODEL}, settings, without_tokens(self.turns))


class Reloading:
    """Makes chats from settings that change.

    settings  attributes as Chat and loading take them
    load      makes a chat from these, with a model of its own
    """

    def __init__(self, settings: Any, load: Callable[[], Chat]) -> None:
        self.settings, self.load = settings, load

    def __call__(self, chat: Chat, changes: Mapping[str, Any]) -> tuple[Chat, GgtuiError | OSError | None]:
        """The chat with other settings, in place of `chat`, whose model is let go of first: there may not be memory for
        both. Where that fails, or Ctrl+C ends it, it is what it was, and there is an error.

        Raises UnknownModelError, and lets go of nothing, for a name that no model has; GgtuiError where the model there
        was does not load either.
        """
        if (model := changes.get("model")) is not None:
            from ggtui.core.files.places import find_model

            find_model(model)
        now = State(dict(vars(self.settings)), chat.values, chat.tree)
        chat.session.close()
        try:
            return self._made(now.changed(changes)), None
        except (GgtuiError, OSError, KeyboardInterrupt) as error:
            why = GgtuiError("interrupted") if isinstance(error, KeyboardInterrupt) else error
        try:
            return self._made(now), why
        except (GgtuiError, OSError) as error:
            raise GgtuiError(f"{why}; and the model before: {error}; choose one with /model NAME") from error

    def _made(self, state: State) -> Chat:
        vars(self.settings).update(state.started)
        chat = self.load()
        try:
            chat.configure(state.settings)
            chat.restore(state.turns)
        except BaseException:
            chat.session.close()
            raise
        return chat
