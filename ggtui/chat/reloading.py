"""Another model for the chat under way, or the same one loaded otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ggtui.chat.conversation import Chat, without_tokens
from ggtui.core.errors import GgtuiError


class Reloading:
    """Makes chats from settings that change.

    settings  attributes as Chat and loading take them
    load      makes a chat from these, with a model of its own
    """

    def __init__(self, settings: Any, load: Callable[[], Chat]) -> None:
        self.settings, self.load = settings, load

    def __call__(self, chat: Chat, changes: Mapping[str, object]) -> tuple[Chat, GgtuiError | OSError | None]:
        """The chat with other settings, in place of `chat`, whose model is let go of first: there may not be memory for
        both. Where that fails it is what it was, and there is an error. Raises what `load` does where that fails too.
        """
        before = {name: getattr(self.settings, name) for name in changes}
        other = changes.get("model", before.get("model")) != before.get("model")
        chat.session.close()
        try:
            vars(self.settings).update(changes)
            made = self.load()
            made.configure({name: value for name, value in chat.values.items() if not (other and name == "mode")})
            made.restore(without_tokens(chat.tree) if other else chat.tree)
            return made, None
        except (GgtuiError, OSError) as error:
            vars(self.settings).update(before)
            made = self.load()
            made.configure(chat.values)
            made.restore(chat.tree)
            return made, error
