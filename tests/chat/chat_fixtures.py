"""A chat with the built-in model, away from the user's own files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ggtui.chat.conversation import Chat
from ggtui.chat.reloading import Reloading
from ggtui.chat.settings import SETTINGS, values_of
from ggtui.core.engine.session import Session, load


def text_of(steps: Iterable[Any]) -> str:
    return "".join(step.text for step in steps)


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("GGTUI_")]:
        monkeypatch.delenv(name)
    for kind in ("CONFIG", "DATA", "STATE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind.lower()))


@pytest.fixture(scope="session")
def sessions() -> dict[int | None, Session]:
    """One for each size of the context that a test asked for."""
    return {}


@pytest.fixture
def new_chat(sessions: dict[int | None, Session]) -> Any:
    """Makes an empty chat; answers are of 8 tokens and always the same."""

    def make(ctx: int | None = None, **settings: Any) -> Chat:
        if ctx not in sessions or sessions[ctx]._closed:  # by a test that went on with another one
            sessions[ctx] = load(threads=1, ctx=ctx, record="full")
        sessions[ctx].reset()
        sessions[ctx].recording = False
        defaults = {s.key: s.default for s in SETTINGS.values()}
        return Chat(sessions[ctx], SimpleNamespace(**{**defaults, "n_predict": 8, "seed": 1, **settings}))

    return make


def made_anew(chat: Chat) -> Reloading:
    """What makes a chat like this anew, with a session of its own."""
    defaults = {s.key: s.default for s in SETTINGS.values()}
    asked = SimpleNamespace(**{**defaults, "threads": 1, **chat.values})

    def load_it() -> Chat:
        options = values_of(asked, ("threads", "ctx", "kv-type"))
        return Chat(load(asked.model, record="full", **options), asked)

    return Reloading(asked, load_it)


@pytest.fixture
def chat(new_chat: Any) -> Chat:
    made: Chat = new_chat()
    return made
