from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from chat_fixtures import text_of

from ggtui.chat.conversation import Turn
from ggtui.chat.folders import chats
from ggtui.chat.saved import VERSION, exists, load, names, save
from ggtui.chat.tree import Tree
from ggtui.core.errors import GgtuiError, UsageError

TURNS = Tree((Turn("a\n\x1b", "b \ud83d", "chat", "stop text"), Turn("", "", "complete", "end of text")))


def forked() -> Tree[Turn]:
    """Two answers to the second prompt, and the conversation at the first of them."""
    tree = Tree((Turn("one", " 1"), Turn("two", " 2")))
    tree.undo()
    tree.add(Turn("two", " II"))
    tree.branch(1)
    return tree


def test_what_is_saved_is_loaded() -> None:
    assert names() == []
    path = save("my chat", TURNS, "m.gguf")
    save("Änderung", Tree(), "m.gguf")
    assert path.parent == chats()
    assert load("my chat") == TURNS
    assert load("Änderung") == Tree()
    assert names() == ["my chat", "Änderung"]
    assert exists("my chat") and not exists("another")
    save("my chat", forked(), "m.gguf")
    assert load("my chat") == forked()
    assert [p.suffix for p in chats().iterdir()] == [".json", ".json"], "no temporary file is left"
    (chats() / "a\x1b[2J.json").touch()
    assert names() == ["my chat", "Änderung"], "what could not be loaded is not listed"


def test_a_saved_chat_is_for_the_user_alone_and_on_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    path = save("secret", TURNS, "m")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and synced


def test_a_full_disk_is_one_line_and_keeps_the_old_chat(full_disk: Any) -> None:
    path = save("x", TURNS, "m")
    with full_disk(1000), pytest.raises(GgtuiError, match=r"x\.json: cannot be written: File too large$"):
        save("x", Tree(TURNS.items * 1000), "m")
    assert load("x") == TURNS and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "a/b", "../x", "a\\b", "a\nb", "a\x1b[m", "x" * 101, "ü" * 51]
)
def test_bad_names(name: str) -> None:
    for action in (lambda: save(name, TURNS, "m"), lambda: load(name), lambda: exists(name)):
        with pytest.raises(UsageError, match=r"^name .*: must be 1 to 100 bytes"):
            action()
    assert not chats().exists()


def test_a_missing_chat() -> None:
    with pytest.raises(UsageError, match=r"^no saved chat 'x'; saved: none$"):
        load("x")
    save("y", TURNS, "m")
    with pytest.raises(UsageError, match=r"^no saved chat 'x'; saved: y$"):
        load("x")


def test_a_chat_saved_before_there_were_branches_still_opens() -> None:
    rows = [{"prompt": f"p{n}", "text": f" t{n}", "mode": "complete", "reason": "n_predict"} for n in range(3)]
    data = {"schema": "ggtui-chat", "version": 1, "model": "m", "turns": rows}
    save("x", Tree(), "m").write_text(json.dumps(data))
    tree = load("x")
    assert [(turn.prompt, turn.text) for turn in tree.path] == [("p0", " t0"), ("p1", " t1"), ("p2", " t2")]
    assert tree.places == [(1, 1)] * 3


def test_what_was_taken_back_is_saved_too() -> None:
    tree = forked()
    for _ in range(2):
        tree.undo()
    save("x", tree, "m")
    again = load("x")
    assert again.path == [] and again == tree
    assert again.redo().prompt == "one"


GOOD = {"schema": "ggtui-chat", "version": 2, "model": "m", "turns": [], "end": -1}
ROW = {"after": -1, "prompt": "", "text": "", "mode": "chat", "reason": ""}


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ("{", "not a saved chat: "),
        ("[" * 100_000, "not a saved chat: "),
        ("[]", "not a saved chat"),
        ('{"schema": "other"}', "not a saved chat"),
        ({**GOOD, "version": VERSION + 1}, "version 3; this ggtui reads 1 to 2; use a newer one"),
        ({**GOOD, "version": "x"}, "version 'x'; this ggtui reads 1 to 2"),
        ({"schema": "ggtui-chat", "turns": []}, "version None; this ggtui reads 1 to 2"),
        ({**GOOD, "turns": [ROW], "end": 1}, "a damaged chat: ValueError"),
        ({**GOOD, "turns": [ROW], "end": True}, "a damaged chat: TypeError"),
        ({**GOOD, "turns": [{**ROW, "after": 0}]}, "a damaged chat: ValueError"),
        ({**GOOD, "turns": [{**ROW, "after": -2}]}, "a damaged chat: ValueError"),
        ({**GOOD, "turns": [{**ROW, "after": None}]}, "a damaged chat: TypeError"),
        ({**GOOD, "turns": {"a": 1}}, "a damaged chat: TypeError"),
        ({**GOOD, "turns": [{"prompt": "a"}]}, "a damaged chat: KeyError"),
        ({**GOOD, "turns": 1}, "a damaged chat: TypeError"),
        ({**GOOD, "turns": [{**ROW, "prompt": 1}]}, "a damaged chat: 'chat' is no mode, or a text is none"),
        ({**GOOD, "turns": [{**ROW, "mode": "sing"}]}, "a damaged chat: 'sing'"),
        ({**GOOD, "turns": [{**ROW, "mode": []}]}, "a damaged chat: [] is no mode, or a text is none"),
    ],
)
def test_a_damaged_file(data: Any, problem: str) -> None:
    path: Path = save("x", Tree(), "m")
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    with pytest.raises(GgtuiError) as raised:
        load("x")
    assert str(raised.value).startswith(f"{path}: {problem}")


@pytest.mark.timeout(20)
def test_what_is_no_file_of_a_chat_is_refused() -> None:
    """At once: nobody writes into the FIFO, and a chat of a terabyte is none."""
    path = save("x", Tree(), "m")
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
    save("x", Tree(), "m").write_bytes(b"\xff\xfe")
    with pytest.raises(GgtuiError, match="not a saved chat"):
        load("x")


def test_who_answered_is_kept(new_chat: Any) -> None:
    chat = new_chat()
    text_of(chat.say("Once"))
    path = save("one", chat.tree, "m")
    assert [turn.by for turn in load("one").path] == [chat.session.path.name]
    data = json.loads(path.read_text())
    del data["turns"][0]["by"]  # as it was before
    path.write_text(json.dumps(data))
    assert [turn.by for turn in load("one").path] == [""]
    data["turns"][0]["by"] = 5
    path.write_text(json.dumps(data))
    with pytest.raises(GgtuiError, match="a damaged chat"):
        load("one")
