from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ggtui.chat.conversation import Turn
from ggtui.chat.folders import chats
from ggtui.chat.saved import load, names, save
from ggtui.core.errors import GgtuiError, UsageError

TURNS = (Turn("a\n\x1b", "b \ud83d", "chat", "stop text"), Turn("", "", "complete", "end of text"))


def test_what_is_saved_is_loaded() -> None:
    assert names() == []
    path = save("my chat", TURNS, "m.gguf")
    save("Änderung", [], "m.gguf")
    assert path.parent == chats()
    assert load("my chat") == TURNS
    assert load("Änderung") == ()
    assert names() == ["my chat", "Änderung"]
    save("my chat", TURNS[:1], "m.gguf")
    assert load("my chat") == TURNS[:1]
    assert [p.suffix for p in chats().iterdir()] == [".json", ".json"], "no temporary file is left"
    (chats() / "a\x1b[2J.json").touch()
    assert names() == ["my chat", "Änderung"], "what could not be loaded is not listed"


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "a/b", "../x", "a\\b", "a\nb", "a\x1b[m", "x" * 101, "ü" * 51]
)
def test_bad_names(name: str) -> None:
    for action in (lambda: save(name, TURNS, "m"), lambda: load(name)):
        with pytest.raises(UsageError, match=r"^name .*: must be 1 to 100 bytes"):
            action()
    assert not chats().exists()


def test_a_missing_chat() -> None:
    with pytest.raises(UsageError, match=r"^no saved chat 'x'; saved: none$"):
        load("x")
    save("y", TURNS, "m")
    with pytest.raises(UsageError, match=r"^no saved chat 'x'; saved: y$"):
        load("x")


GOOD = {"schema": "ggtui-chat", "version": 1, "model": "m", "turns": []}


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ("{", "not a saved chat: "),
        ("[" * 100_000, "not a saved chat: "),
        ("[]", "not a saved chat"),
        ('{"schema": "other"}', "not a saved chat"),
        ({**GOOD, "version": 2}, "version 2; this ggtui reads version 1"),
        ({**GOOD, "turns": [{"prompt": "a"}]}, "a damaged chat: KeyError"),
        ({**GOOD, "turns": 1}, "a damaged chat: TypeError"),
        ({**GOOD, "turns": [{"prompt": 1, "text": "", "mode": "chat", "reason": ""}]}, "a damaged chat"),
        ({**GOOD, "turns": [{"prompt": "", "text": "", "mode": "sing", "reason": ""}]}, "a damaged chat: 'sing'"),
        ({**GOOD, "turns": [{"prompt": "", "text": "", "mode": [], "reason": ""}]}, "a damaged chat"),
    ],
)
def test_a_damaged_file(data: Any, problem: str) -> None:
    path: Path = save("x", [], "m")
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    with pytest.raises(GgtuiError) as raised:
        load("x")
    assert str(raised.value).startswith(f"{path}: {problem}")


@pytest.mark.timeout(20)
def test_what_is_no_file_of_a_chat_is_refused() -> None:
    """At once: nobody writes into the FIFO, and a chat of a terabyte is none."""
    path = save("x", [], "m")
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="is over the limit"):
        load("x")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(OSError, match="is not a regular file"):
        load("x")
    assert names() == ["x"]


def test_a_file_that_is_no_text() -> None:
    save("x", [], "m").write_bytes(b"\xff\xfe")
    with pytest.raises(GgtuiError, match="not a saved chat"):
        load("x")
