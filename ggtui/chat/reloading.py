"""Another model for the chat under way, or the same one loaded otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ggtui.chat.conversation import Chat, without_tokens
from ggtui.core.errors import GgtuiError

OF_ONE_MODEL: Mapping[str, object] = {"template": None, "pre": None}  # settings that another one has not


class Reloading:
    """Makes chats from settings that change.

    settings  attributes as Chat and loading take them
    load      makes a chat from these, with a model of its own
    """

    def __init__(self, settings: Any, load: Callable[[], Chat]) -> None:
        self.settings, self.load = settings, load

    def __call__(self, chat: Chat, changes: Mapping[str, object]) -> tuple[Chat, GgtuiError | OSError | None]:
        """The chat with other settings, in place of `chat`, whose model is let go of first: there may not be memory for
        both. Where that fails, or Ctrl+C ends it, it is what it was, and there is an error.

        Raises UnknownModelError, and lets go of nothing, for a name that no model has; GgtuiError where the model there
        was does not load either.
        """
        other = "model" in changes and changes["model"] != self.settings.model
        if other and changes["model"] is not None:
            from ggtui.core.files.places import find_model

            find_model(str(changes["model"]))
        if other:
            changes = {**changes, **OF_ONE_MODEL}
        before = {name: getattr(self.settings, name) for name in changes}
        chat.session.close()
        made: Chat | None = None
        try:
            vars(self.settings).update(changes)
            made = self.load()
            made.configure({name: value for name, value in chat.values.items() if not (other and name == "mode")})
            made.restore(without_tokens(chat.tree) if other else chat.tree)
            return made, None
        except (GgtuiError, OSError, KeyboardInterrupt) as error:
            if made is not None:
                made.session.close()
            vars(self.settings).update(before)
            why = GgtuiError("interrupted") if isinstance(error, KeyboardInterrupt) else error
            return self._back(chat, why), why

    def _back(self, chat: Chat, why: GgtuiError | OSError) -> Chat:
        try:
            made = self.load()
        except (GgtuiError, OSError) as error:
            raise GgtuiError(f"{why}; and the model before: {error}; choose one with /model NAME") from error
        made.configure(chat.values)
        made.restore(chat.tree)
        return made
