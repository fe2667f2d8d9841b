"""Chats that go on with the model loaded anew, or with another one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from chat_fixtures import made_anew, text_of

from ggtui.chat.conversation import Chat
from ggtui.core.engine.model import BUILT_IN
from ggtui.core.errors import GgtuiError, UnknownModelError


@pytest.fixture
def said(new_chat: Any) -> Chat:
    """A chat of a session of its own, since that is closed."""
    chat: Chat = made_anew(new_chat()).load()
    text_of(chat.say("Once upon a time"))
    return chat


def test_the_same_model_with_other_settings_goes_on_with_the_same_tokens(said: Chat, new_chat: Any) -> None:
    same: Chat = new_chat()
    text_of(same.say("Once upon a time"))
    said.configure({"top_k": 7, "temp": 0.0})
    same.configure({"top_k": 7, "temp": 0.0})
    chat, error = made_anew(said)(said, {"threads": 2, "ctx": 100, "kv_type": "f32"})
    assert error is None and (chat.session.threads, chat.session.n_ctx, chat.session.kv_type) == (2, 100, "f32")
    assert chat.turns == same.turns and chat.values == same.values
    assert text_of(chat.say(" there")) and chat.turns[0].ids == same.turns[0].ids
    with pytest.raises(GgtuiError, match="closed"):
        said.session.eval([1])


def test_another_model_gets_the_text(said: Chat, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    shutil.copy(BUILT_IN, other)
    said.configure({"mode": "chat"})
    reloading = made_anew(said)
    chat, error = reloading(said, {"model": str(other)})
    assert error is None and chat.session.path == other and reloading.settings.model == str(other)
    assert [(t.prompt, t.text, t.mode) for t in chat.turns] == [(t.prompt, t.text, t.mode) for t in said.turns]
    assert chat.mode == "chat"  # which was asked for
    assert text_of(chat.say("?"))


def test_where_it_does_not_load_all_is_as_it_was(said: Chat, tmp_path: Path) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(BUILT_IN.read_bytes()[:5000])
    before, values = said.turns, said.values
    reloading = made_anew(said)
    with pytest.raises(UnknownModelError):
        reloading(said, {"model": "no-such-model"})
    assert said.session.eval([1]).size  # it was not let go of
    for changes in ({"model": str(bad)}, {"model": str(BUILT_IN), "threads": 100_000}):
        chat, error = reloading(said, changes)
        assert error is not None and chat.session.path == BUILT_IN and reloading.settings.model is None
        assert chat.turns == before and chat.values == values
        said = chat
    assert text_of(chat.say(""))


def test_ctrl_c_goes_back(said: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    reloading, before = made_anew(said), said.turns
    load, loads = reloading.load, list[int]()

    def interrupted() -> Chat:
        loads.append(1)
        if len(loads) == 1:
            raise KeyboardInterrupt
        return load()

    reloading.load = interrupted
    chat, error = reloading(said, {"threads": 2})
    assert str(error) == "interrupted" and chat.turns == before and chat.session.threads == 1


def test_where_the_model_before_is_gone_too(said: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    reloading = made_anew(said)

    def fails() -> Chat:
        raise GgtuiError(f"{reloading.settings.threads} threads: none")

    reloading.load = fails
    with pytest.raises(GgtuiError, match=r"2 threads: none; and the model before: 1 threads: none; choose .* /model"):
        reloading(said, {"threads": 2})


def test_a_template_does_not_go_along(said: Chat, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    shutil.copy(BUILT_IN, other)
    reloading = made_anew(said)
    reloading.settings.template = "chatml"
    chat, error = reloading(said, {"model": str(other)})
    assert error is None and chat.prompting.template is None and reloading.settings.template is None
