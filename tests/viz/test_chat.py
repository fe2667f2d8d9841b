"""Turns, and the tokens that the model is given of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ggtui.core.errors import ContextFullError, GgtuiError, UsageError
from ggtui.core.session import Step
from ggtui.viz.chat import Chat, Turn


def text_of(steps: Iterator[Step]) -> str:
    return "".join(step.text for step in steps)


def fresh(chat: Chat, prompt: str, seed: int, n: int = 8, **params: Any) -> str:
    """What the session says to a text when nothing was said before."""
    tokens = list(chat.session.tokens)
    chat.session.reset()
    text = text_of(chat.session.generate(prompt, n, seed=seed, **params))
    chat.session.reset()
    if tokens:
        chat.session.eval(tokens)
    return text


def test_turns_continue_one_another(chat: Chat) -> None:
    first = text_of(chat.say("Once upon a time"))
    assert first == fresh(chat, "Once upon a time", 1)
    second = text_of(chat.say(" And then"))
    assert [(t.prompt, t.text, t.reason) for t in chat.turns] == [
        ("Once upon a time", first, "n_predict"),
        (" And then", second, "n_predict"),
    ]
    whole = chat.session.tokenizer.decode(chat.tokens)
    assert whole == f"Once upon a time{first} And then{second}"
    assert chat.session.tokens == chat.tokens


def test_what_was_read_is_not_read_again(chat: Chat) -> None:
    text_of(chat.say("Once upon a time"))
    before = chat.session.stats.n_prompt
    text_of(chat.say(" And"))
    assert chat.session.stats.n_prompt - before == 2, "the last token of the answer, and the new one"


def test_an_empty_prompt_goes_on(chat: Chat) -> None:
    text_of(chat.say("Once upon a time"))
    n = len(chat.tokens)
    assert text_of(chat.say(""))
    assert len(chat.tokens) == n + 8 and chat.session.tokens == chat.tokens


def test_an_empty_beginning(chat: Chat) -> None:
    """It begins as after the end of another text, and stays so when it goes on."""
    assert text_of(chat.say("")) == fresh(chat, "", 1)
    assert chat.tokens[0] == chat.session.tokenizer.eos
    text_of(chat.say(" And"))
    assert chat.session.tokens == chat.tokens


def test_seeds(new_chat: Any) -> None:
    a, b = (text_of(new_chat(seed=5).say("The king")) for _ in range(2))
    assert a == b
    chat = new_chat(seed=5)
    text_of(chat.say("The king"))
    again = text_of(chat.regen())
    assert again == fresh(chat, "The king", 6)
    assert text_of(new_chat(seed=(1 << 64) - 1).say("The king"))
    chat = new_chat(seed=(1 << 64) - 1)
    text_of(chat.say("The king"))
    assert text_of(chat.regen()) == fresh(chat, "The king", 0)


def test_undo_and_edit(chat: Chat) -> None:
    first = text_of(chat.say("Once upon a time"))
    text_of(chat.say(" And"))
    assert chat.undo().prompt == " And"
    tokens = chat.tokens
    assert chat.session.tokenizer.decode(tokens) == "Once upon a time" + first
    text_of(chat.say(" But"))
    text_of(chat.edit(" So"))
    assert [t.prompt for t in chat.turns] == ["Once upon a time", " So"]
    assert chat.session.tokens == chat.tokens and chat.tokens[: len(tokens)] == tokens


def test_nothing_to_take_back(chat: Chat) -> None:
    for action in (chat.undo, lambda: text_of(chat.regen()), lambda: text_of(chat.edit("x"))):
        with pytest.raises(UsageError, match="nothing to take back"):
            action()


def test_clear(chat: Chat) -> None:
    text_of(chat.say("Once upon a time"))
    chat.clear()
    assert chat.turns == [] and chat.session.tokens == []


def test_a_failing_turn_leaves_the_chat_as_it_was(new_chat: Any) -> None:
    chat = new_chat(ctx=32)
    text_of(chat.say("Once upon a time"))
    tokens = chat.tokens
    for say in (chat.say, chat.edit):
        with pytest.raises(ContextFullError):
            text_of(say("word " * 40))
        assert chat.tokens == tokens and [t.prompt for t in chat.turns] == ["Once upon a time"]
    assert text_of(chat.say(" And"))
    assert chat.session.tokens == chat.tokens


def test_an_interrupted_turn_counts_as_far_as_it_came(chat: Chat) -> None:
    steps = chat.say("Once upon a time")
    shown = next(steps).text + next(steps).text
    steps.close()
    (turn,) = chat.turns
    assert (turn.text, turn.reason) == (shown, "interrupted")
    assert chat.session.tokenizer.decode(chat.tokens) == "Once upon a time" + shown
    text_of(chat.say(" And"))
    assert chat.session.tokens == chat.tokens


def test_a_stop_text_is_not_part_of_the_turn(chat: Chat, new_chat: Any) -> None:
    whole = text_of(chat.say("Once upon a time"))
    stop = whole[len(whole) // 2 :][:3]
    chat = new_chat(stop=(stop,))
    text = text_of(chat.say("Once upon a time"))
    assert text == whole[: whole.index(stop)]
    assert chat.turns[0].reason == "stop text"
    assert chat.session.tokenizer.decode(chat.tokens) == "Once upon a time" + text
    text_of(chat.say(" And"))
    assert chat.session.tokens[: len(chat.tokens)] == chat.tokens[: len(chat.session.tokens)]


def test_chat_mode(new_chat: Any) -> None:
    chat = new_chat(mode="chat")
    first = text_of(chat.say("Who are you?"))
    assert first == fresh(chat, "User: Who are you?\nAssistant:", 1, stop=("\nUser:", "\nAssistant:"))
    second = text_of(chat.say("Where?"))
    dialogue = f"User: Who are you?\nAssistant:{first}\nUser: Where?\nAssistant:{second}"
    assert chat.session.tokenizer.decode(chat.tokens) == dialogue


def test_regen_keeps_the_mode_of_its_turn(new_chat: Any) -> None:
    chat = new_chat(mode="chat")
    text_of(chat.say("Who are you?"))
    chat.mode = "complete"
    text_of(chat.regen())
    assert chat.turns[0].mode == "chat" and chat.mode == "complete"


def test_a_text_that_ended_is_followed_by_another(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = chat.session.tokenizer
    first = next(iter(chat.say("Once upon a time"))).token
    chat.clear()
    eos = tokenizer.eos
    monkeypatch.setattr(tokenizer, "eos", first)  # so the first answer ends with its first token
    chat._n_answers = 0
    assert text_of(chat.say("Once upon a time")) == ""
    assert chat.turns[0].reason == "end of text" and chat.tokens[-1] == first
    monkeypatch.setattr(tokenizer, "eos", eos)
    text_of(chat.say("Long ago"))
    assert chat.session.tokens == chat.tokens, "the model sees that the text before had ended"


@pytest.mark.parametrize("prompt", [" And then the king said", ""])
def test_with_ctx_shift_it_goes_on_for_ever(new_chat: Any, prompt: str) -> None:
    chat = new_chat(ctx=32, ctx_shift=True, n_predict=20)
    for _ in range(6):
        text_of(chat.say(prompt))
        n = len(chat.session.tokens)
        assert n <= 33 and chat.session.tokens == chat.tokens[-n:]
    assert all(len(turn.ids) >= 20 for turn in chat.turns)
    before = chat.session.stats.n_prompt
    chat.settings.n_predict = 1
    text_of(chat.say(" So"))
    assert chat.session.stats.n_prompt - before <= 17, "what is in the context is not read again"
    while len(chat.turns) > 1:
        chat.undo()
    text_of(chat.say(" So"))
    assert chat.session.tokens == chat.tokens[-len(chat.session.tokens) :]


def test_a_prompt_longer_than_the_context_with_ctx_shift(new_chat: Any) -> None:
    chat = new_chat(ctx=32, ctx_shift=True)
    assert text_of(chat.say("word " * 50))
    assert chat.session.tokens == chat.tokens[-len(chat.session.tokens) :]


def test_no_limit(new_chat: Any) -> None:
    chat = new_chat(ctx=32, n_predict=-1)
    text_of(chat.say("Once upon a time"))
    assert chat.turns[0].reason == "context full"
    assert len(chat.tokens) == 33, "the last one is chosen but not read"


def test_alternatives(chat: Chat) -> None:
    chat.settings.temp = 0.0
    text = text_of(chat.say("Once upon a time"))
    found = chat.alternatives(5)
    assert [p for _, p in found] == sorted((p for _, p in found), reverse=True)
    assert 0 < sum(p for _, p in found) < 1
    assert chat.alternatives(5) == found
    chat.settings.n_predict = 1
    assert text_of(chat.say("")) == found[0][0]
    assert chat.session.tokenizer.decode(chat.tokens) == f"Once upon a time{text}{found[0][0]}"


def test_alternatives_of_a_beginning(chat: Chat) -> None:
    found = chat.alternatives(3)
    chat.settings.temp, chat.settings.n_predict = 0.0, 1
    assert text_of(chat.say("")) == found[0][0]


def test_an_added_turn_is_as_if_it_had_been_had(chat: Chat, new_chat: Any) -> None:
    text = text_of(chat.say("Once upon a time"))
    turn, n_answers = chat.turns[0], 1
    other = new_chat()
    other.add(Turn("Once upon a time", text))
    other._n_answers = n_answers
    assert chat.session.tokenizer.decode(other.tokens) == chat.session.tokenizer.decode(turn.ids)
    other.add(Turn(" And", "", reason="end of text"))
    assert other.tokens[-1] == chat.session.tokenizer.eos
    with pytest.raises(GgtuiError, match="mode 'sing'"):
        other.add(Turn("x", mode="sing"))
