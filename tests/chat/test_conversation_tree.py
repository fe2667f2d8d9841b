"""A chat in which things are said anew: the tree of its turns, and the tokens that the model is given of each way."""

from __future__ import annotations

from typing import Any

import pytest
from chat_fixtures import text_of

from ggtui.chat.conversation import Chat, Turn
from ggtui.core.errors import ContextFullError, UsageError


def test_undo_right_after_clear_brings_everything_back(chat: Chat) -> None:
    text_of(chat.say("Once upon a time"))
    text_of(chat.regen())
    tree = chat.tree
    for _ in range(2):
        chat.clear()
    assert chat.replaced and chat.undo() is None and chat.tree is tree and not chat.replaced
    text_of(chat.say(" And"))
    assert chat.session.tokens == chat.tokens
    chat.clear()
    chat.say("Long ago").close()
    assert chat.replaced, "not one token came"
    text_of(chat.say("Long ago"))
    assert not chat.replaced and chat.undo() is not None
    with pytest.raises(UsageError, match="nothing to take back"):
        chat.undo()
    assert [turn.prompt for turn in chat.tree.items] == ["Long ago"], "what was forgotten is no other answer"


def test_no_answer_is_lost(chat: Chat) -> None:
    """Whatever makes another one: the old one can be gone back to, with what followed, and gone on with."""
    text_of(chat.say("Once upon a time"))
    text_of(chat.say(" And"))
    said = [tuple(chat.turns)]
    for speak in (chat.regen, lambda: chat.edit(" But"), lambda: chat.choose(3, chat.alternatives(2, 3)[1][0])):
        text_of(speak())
        said.append(tuple(chat.turns))
    assert chat.tree.places == [(1, 1), (4, 4)]
    for turns in reversed(said[:-1]):
        chat.branch(-1)
        assert tuple(chat.turns) == turns
        text_of(chat.say(" So"))
        assert chat.session.tokens == chat.tokens
        chat.undo()


def test_another_answer_that_fails_or_does_not_begin_leaves_the_first(new_chat: Any) -> None:
    chat = new_chat(ctx=32)
    text_of(chat.say("Once upon a time"))
    before = chat.tree.map(lambda turn: turn)
    chat.regen().close()
    with pytest.raises(ContextFullError):
        text_of(chat.edit("word " * 40))
    assert chat.tree == before and chat.tree.places == [(1, 1)]


def test_a_branch_within_the_context_is_read_from_its_beginning(new_chat: Any) -> None:
    """Also after another one had to be shifted out of it."""
    chat = new_chat(ctx=32, ctx_shift=True, n_predict=4)
    text_of(chat.say("Once upon a time"))
    text_of(chat.say(" And then the king said"))
    chat.settings.n_predict = 60
    text_of(chat.regen())
    chat.settings.n_predict = 4
    chat.branch(-1)
    text_of(chat.say(" So"))
    assert chat.session.tokens == chat.tokens


def test_a_restored_tree_has_tokens_of_its_own_way(new_chat: Any) -> None:
    """What stands ahead of a prompt depends on what is before it, not on what was said last."""
    chat = new_chat(mode="chat")
    for prompt in ("Who?", "Where?"):
        text_of(chat.say(prompt))
    text_of(chat.edit("When?"))
    chat.branch(1)
    wanted = [(turn.prompt, chat.session.tokenizer.decode(turn.ids)) for turn in chat.tree.items]
    other = new_chat(mode="chat")
    other.restore(chat.tree.map(lambda turn: Turn(turn.prompt, turn.text, turn.mode, turn.reason)))
    assert [(t.prompt, other.session.tokenizer.decode(t.ids)) for t in other.tree.items] == wanted
    assert other.turns[-1].prompt == "Where?"
