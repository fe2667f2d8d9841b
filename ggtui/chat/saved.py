"""Chats as files: JSON under the user's data folder, one file a name."""

from __future__ import annotations

import json
from pathlib import Path

from ggtui.chat.conversation import Turn
from ggtui.chat.folders import chats, make_private
from ggtui.chat.modes import MODES
from ggtui.chat.tree import Tree
from ggtui.core import saving
from ggtui.core.errors import GgtuiError, UsageError
from ggtui.core.reading import read_object

SCHEMA = "ggtui-chat"
VERSION = 2  # 1 had the turns of one conversation, without those said in their place
MAX_NAME = 100
MOST = 64 << 20  # bytes of a saved chat


def _path(name: str) -> Path:
    """Raises UsageError for a name that could lead elsewhere or that a terminal could not show."""
    if not _is_name(name):
        raise UsageError(f"name {name!r}: must be 1 to {MAX_NAME} bytes of printable text, no / or \\, no dot in front")
    return chats() / f"{name}.json"


def _is_name(text: str) -> bool:
    bad = not text or text.startswith(".") or any(c in "/\\" for c in text) or not text.isprintable()
    return not bad and len(text.encode("utf-8", "replace")) <= MAX_NAME


def exists(name: str) -> bool:
    """Whether there is a saved chat of this name. Raises UsageError for a bad name."""
    return _path(name).exists()


def save(name: str, tree: Tree[Turn], model: str) -> Path:
    """Write all turns under `name`, over what was there. Raises UsageError for a bad name, GgtuiError, OSError.

    after  of each turn which one it follows, by its number from 0; -1 where it is a first
    by     the file of the model that answered; files of before have none
    end    the last turn of the conversation; -1 where it has none
    """
    path = _path(name)
    make_private(path.parent)
    rows = [
        {"after": after, "prompt": t.prompt, "text": t.text, "mode": t.mode, "reason": t.reason, "by": t.by}
        for t, after in zip(tree.items, tree.before, strict=True)
    ]
    data = {"schema": SCHEMA, "version": VERSION, "model": model, "turns": rows, "end": tree.end}
    saving.write(path, json.dumps(data, indent=1), private=True, durable=True)
    return path


def load(name: str) -> Tree[Turn]:
    """The turns saved under `name`, without tokens. Raises UsageError without any, GgtuiError for a damaged file and
    one that a newer ggtui saved, OSError for one that can't be read."""
    path = _path(name)
    try:
        data = read_object(path, MOST)
    except FileNotFoundError as error:
        saved = names()
        raise UsageError(f"no saved chat {name!r}; saved: {', '.join(saved) or 'none'}") from error
    except ValueError as error:
        raise GgtuiError(f"{path}: not a saved chat: {error}") from error
    if data.get("schema") != SCHEMA:
        raise GgtuiError(f"{path}: not a saved chat")
    version = data.get("version")
    if version not in range(1, VERSION + 1):
        raise GgtuiError(f"{path}: version {version!r}; this ggtui reads 1 to {VERSION}; use a newer one")
    try:
        turns = [Turn(t["prompt"], t["text"], t["mode"], t["reason"], by=t.get("by", "")) for t in data["turns"]]
        if version == 1:
            tree = Tree(turns)
        else:
            tree = Tree.of(turns, [_number(t["after"]) for t in data["turns"]], _number(data["end"]))
    except (KeyError, TypeError, ValueError) as error:
        raise GgtuiError(f"{path}: a damaged chat: {error!r}") from error
    for turn in turns:
        texts = (turn.prompt, turn.text, turn.mode, turn.reason, turn.by)
        if not all(isinstance(t, str) for t in texts) or turn.mode not in MODES:
            raise GgtuiError(f"{path}: a damaged chat: {turn.mode!r} is no mode, or a text is none")
    return tree


def _number(value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r} is no turn's number")
    return value


def names() -> list[str]:
    """The saved chats, in alphabetical order; files of names that `save` refuses are none."""
    return sorted(path.stem for path in chats().glob("*.json") if _is_name(path.stem))
