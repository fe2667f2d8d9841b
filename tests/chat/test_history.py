"""What was typed before."""

from __future__ import annotations

import os
import stat
from typing import Any

import pytest
from prompt_toolkit.history import FileHistory

from ggtui.chat import folders
from ggtui.chat.history import MOST, History, newest, parse


def test_the_file_is_that_of_the_repl() -> None:
    folders.make_private(folders.history().parent)
    theirs = FileHistory(str(folders.history()))
    theirs.store_string("one")
    theirs.store_string("two\nlines")
    ours = History()
    assert ours.texts == ["one", "two\nlines"]
    ours.add("three\n\n+four")
    ours.add("three\n\n+four")
    ours.add("  ")
    assert list(theirs.load_history_strings()) == ["three\n\n+four", "two\nlines", "one"]
    assert History().texts == ["one", "two\nlines", "three\n\n+four"]


def test_history_is_for_the_user_alone() -> None:
    History().add("secret")
    assert stat.S_IMODE(os.stat(folders.history()).st_mode) == 0o600


def test_no_history_is_kept_where_it_is_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GGTUI_NOHISTORY", "1")
    history = History()
    history.add("one")
    assert history.older("") == "one" and not history.trouble
    assert not folders.history().exists()


def test_a_history_that_cannot_be_kept_says_so() -> None:
    folders.history().mkdir(parents=True)
    history = History()
    assert history.trouble.startswith("no history is kept: ")
    history.add("one")
    assert history.texts == ["one"]


def test_a_full_disk_is_told_once_and_what_was_typed_stays(full_disk: Any) -> None:
    folders.make_private(folders.history().parent)
    history = History()
    assert not history.trouble
    with full_disk(0):
        history.add("one")
        assert history.trouble == f"no history is kept: {folders.history()}: File too large"
        history.trouble = ""
        history.add("two")
    assert not history.trouble and (history.older(""), history.older("")) == ("two", "one")


def test_half_a_history_is_read() -> None:
    assert parse("middle of a line\n+one\n\n# date\n+two\n+lines") == ["one", "two\nlines"]
    assert parse("") == []


@pytest.mark.timeout(20)
def test_a_history_that_is_no_file_is_left_alone() -> None:
    folders.make_private(folders.history().parent)
    os.mkfifo(folders.history())
    history = History()
    assert history.trouble.startswith("no history is kept: ") and "is not a regular file" in history.trouble
    history.add("one")
    assert history.older("") == "one"


def test_of_a_long_history_the_end_is_read() -> None:
    History().add("one")
    with folders.history().open("r+b") as file:
        file.truncate(1 << 30)
    History().add("two")
    assert newest(folders.history()) == ["two"] and MOST < 1 << 30
