"""Under which name the chat on the screen is kept, and whether it is as it was kept."""

from __future__ import annotations

from ggtui.chat import saved as saved_chats
from ggtui.chat.conversation import Turn, turns_told
from ggtui.chat.tree import Tree
from ggtui.viz.live import Live


class Saving:
    """Saves and loads. Raises UsageError, GgtuiError and OSError as chat/saved.py does."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._name = ""
        self._saved = self._said(live.turns)

    @staticmethod
    def _said(tree: Tree[Turn]) -> list[tuple[str, str]]:
        return [(turn.prompt, turn.text) for turn in tree.items]

    @property
    def unsaved(self) -> bool:
        """Whether there is something that is not in the file."""
        said = self._said(self._live.turns)
        return bool(said) and said != self._saved

    def overwrites(self, name: str) -> bool:
        """Whether another chat is saved under this name."""
        return name != self._name and saved_chats.exists(name)

    def save(self, name: str) -> str:
        """Keep the chat under a name, over what was there; returns what to tell."""
        live = self._live
        path = saved_chats.save(name, live.turns, live.loaded.path if live.loaded is not None else "")
        self._name, self._saved = name, self._said(live.turns)
        return f"Saved {turns_told(live.turns.path)}: {path}"

    def load(self, name: str) -> Tree[Turn]:
        """A saved chat, which is the one on the screen from now on."""
        tree = saved_chats.load(name)
        self._name, self._saved = name, self._said(tree)
        return tree

    def forget(self) -> None:
        """Another chat begins."""
        self._name = ""
