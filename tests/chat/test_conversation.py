"""Turns, and the tokens that the model is given of them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from chat_fixtures import text_of

from ggtui.chat.conversation import Chat, Turn
from ggtui.chat.tree import Tree
from ggtui.core.errors import ContextFullError, GgtuiError, UsageError


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
    assert chat.turns == [] and chat.session.tokens == [] and chat.tree.items == []


def test_a_pace_slows_what_comes_and_not_the_engine(chat: Chat) -> None:
    """Told by what is waited for, not by a clock."""
    pauses: list[float] = []
    clock = [0.0]

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        clock[0] += seconds

    chat.pause = pause
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ggtui.chat.conversation.time.monotonic", lambda: clock[0])
        plain = text_of(chat.say("Once upon a time"))
        assert pauses == []
        chat.clear()
        chat._n_answers = 0
        chat.settings.speed = 4.0
        steps = []
        for step in chat.say("Once upon a time"):
            steps.append(step)
            clock[0] += 0.05  # that telling takes
    assert text_of(iter(steps)) == plain
    assert pauses == [pytest.approx(0.2)] * 7, "what came ahead of the first one is not waited for"


def test_a_very_slow_pace_is_waited_for_in_pieces(chat: Chat) -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise GgtuiError("stopped")

    chat.pause, chat.settings.speed = pause, 1e-300
    steps = chat.say("Once upon a time")
    first = next(steps)
    with pytest.raises(GgtuiError, match="stopped"):
        next(steps)
    assert max(pauses) <= 60.0
    (turn,) = chat.turns
    assert (turn.text, turn.reason, turn.sampled) == (first.text, "interrupted", [first.token])
    chat.settings.speed = 0.0
    text_of(chat.say(" And"))
    assert chat.session.tokens == chat.tokens, "what was chosen and not told is no part of it"


def test_going_on_past_the_end_of_the_text(new_chat: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    chat = new_chat()
    tokenizer = chat.session.tokenizer
    first = next(iter(chat.say("Once upon a time"))).token
    monkeypatch.setattr(tokenizer, "ends", frozenset([first]))
    for ignore, n in ((False, 1), (True, 8)):
        chat.clear()
        chat._n_answers = 0
        chat.settings.ignore_eos = ignore
        text = text_of(chat.say("Once upon a time"))
        (turn,) = chat.turns
        assert len(turn.sampled) == n and turn.text == text and turn.sampled[0] == first
        assert "".join(chat.pieces(turn)) == text


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
    ends = tokenizer.ends
    monkeypatch.setattr(tokenizer, "ends", frozenset([first]))  # so the first answer ends with its first token
    chat._n_answers = 0
    assert text_of(chat.say("Once upon a time")) == ""
    assert chat.turns[0].reason == "end of text" and chat.tokens[-1] == first
    monkeypatch.setattr(tokenizer, "ends", ends)
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
    chances = [p for _, _, p in found]
    assert chances == sorted(chances, reverse=True) and 0 < sum(chances) < 1
    assert all(chat.session.tokenizer.decode([id]) == text for id, text, _ in found)
    assert chat.alternatives(5) == found
    chat.settings.n_predict = 1
    assert text_of(chat.say("")) == found[0][1]
    assert chat.session.tokenizer.decode(chat.tokens) == f"Once upon a time{text}{found[0][1]}"


def test_alternatives_within_an_answer(chat: Chat) -> None:
    chat.settings.temp = 0.0
    for prompt in ("Once upon a time", " And"):
        text_of(chat.say(prompt))
    after_all = chat.alternatives(3)
    sampled = chat.turns[-1].sampled
    for keep, token in enumerate(sampled):
        assert chat.alternatives(1, keep)[0][0] == token, "what came is the likeliest"
    assert chat.alternatives(3, len(sampled)) == after_all
    for keep in (-1, len(sampled) + 1):
        with pytest.raises(UsageError, match=f"keep {keep}: the answer has 8 tokens"):
            chat.alternatives(3, keep)


def test_alternatives_of_a_beginning(chat: Chat) -> None:
    found = chat.alternatives(3)
    chat.settings.temp, chat.settings.n_predict = 0.0, 1
    assert text_of(chat.say("")) == found[0][1]


def test_choosing_another_token(chat: Chat) -> None:
    for prompt in ("Once upon a time", " And"):
        text_of(chat.say(prompt))
    before, old = chat.turns
    token = chat.alternatives(2, 3)[1][0]
    n_read = chat.session.stats.n_prompt
    steps = list(chat.choose(3, token))
    new = chat.turns[-1]
    assert chat.turns[:-1] == [before] and new.prompt == " And" and new.reason == "n_predict"
    assert [s.token for s in steps] == new.sampled[3:] and steps[0].token == token
    assert new.sampled[:3] == old.sampled[:3] and len(new.sampled) == 3 + 8
    tokenizer = chat.session.tokenizer
    assert new.text == tokenizer.decode(new.sampled) == tokenizer.decode(old.sampled[:3]) + text_of(iter(steps))
    assert chat.session.tokens == chat.tokens and new.ids[new.n_prompt :] == new.sampled
    assert chat.session.stats.n_prompt - n_read == 1, "what was read is not read again"
    seen = {id: p for id, _, p in chat.alternatives(500, 3)}
    assert steps[0].logprob == pytest.approx(math.log(seen[token]), abs=1e-4)
    text_of(chat.say(" So"))
    assert chat.session.tokens == chat.tokens


def test_choosing_what_came_changes_nothing(chat: Chat) -> None:
    chat.settings.temp = 0.0
    text_of(chat.say("Once upon a time"))
    old = chat.turns[0]
    chat.settings.n_predict = 8 - 5
    text_of(chat.choose(5, old.sampled[5]))
    assert chat.turns == [old]


def test_a_choice_that_cannot_be_leaves_the_answer(chat: Chat) -> None:
    text_of(chat.say("Once upon a time"))
    turns = list(chat.turns)
    for keep, token in ((9, 5), (0, 1 << 20)):
        with pytest.raises(UsageError):
            text_of(chat.choose(keep, token))
        assert chat.turns == turns
    chat.choose(2, 5).close()
    assert chat.turns == turns


def test_choosing_the_end(chat: Chat) -> None:
    text_of(chat.say("Once upon a time"))
    old = chat.turns[0]
    eos = chat.session.tokenizer.eos
    assert eos is not None
    assert text_of(chat.choose(2, eos)) == ""
    (turn,) = chat.turns
    assert turn.reason == "end of text" and turn.sampled == [*old.sampled[:2], eos]
    assert turn.text == chat.session.tokenizer.decode(old.sampled[:2])
    assert text_of(chat.choose(3, old.sampled[2])), "what comes after the end is another text"


def test_characters_and_stop_texts_over_the_cut(chat: Chat) -> None:
    """A character whose bytes are partly kept, and a stop text that begins in what is kept."""
    text_of(chat.say("Once upon a time"))
    tokenizer = chat.session.tokenizer
    first, second = (
        next(i for i in range(tokenizer.n_vocab) if tokenizer.token_bytes(i) == byte) for byte in (b"\xc3", b"\xa9")
    )
    text_of(chat.choose(1, first))
    chat.settings.n_predict = 1
    (step,) = chat.choose(2, second)
    assert step.text == "\u00e9" and chat.turns[0].text.endswith("\u00e9")
    (a,), (b,) = tokenizer.encode(" king"), tokenizer.encode(" and")
    chat.settings.stop = (" king and",)
    text_of(chat.choose(1, a))
    kept = tokenizer.decode(chat.turns[0].sampled[:1])
    assert chat.turns[0].text == kept + " king", "the end tells that it was none"
    assert text_of(chat.choose(2, b)) == ""
    (turn,) = chat.turns
    assert (turn.reason, turn.text) == ("stop text", kept) and turn.sampled[1:] == [a, b]
    assert tokenizer.decode(chat.tokens) == "Once upon a time" + kept
    chat.settings.stop = ()
    assert text_of(chat.choose(3, b)) == " and" and chat.turns[0].text == kept + " king and and"


def test_how_much_is_read(chat: Chat) -> None:
    text_of(chat.say("Once upon a time"))
    assert chat.n_past == chat.session.n_past == len(chat.tokens) - 1
    n = len(chat.tokens)
    text_of(chat.say(" And"))
    chat.undo()
    assert chat.n_past == n
    chat.clear()
    assert chat.n_past == 0


def test_an_added_turn_is_as_if_it_had_been_had(chat: Chat, new_chat: Any) -> None:
    text = text_of(chat.say("Once upon a time"))
    turn, n_answers = chat.turns[0], 1
    other = new_chat()
    other.restore(Tree([Turn("Once upon a time", text)]))
    other._n_answers = n_answers
    assert chat.session.tokenizer.decode(other.tokens) == chat.session.tokenizer.decode(turn.ids)
    other.restore(Tree([Turn("Once upon a time", text), Turn(" And", "", reason="end of text")]))
    assert other.tokens[-1] == chat.session.tokenizer.eos
    before = other.turns
    with pytest.raises(GgtuiError, match="mode 'sing'"):
        other.restore(Tree([Turn("a"), Turn("x", mode="sing")]))
    assert other.turns == before


@pytest.mark.parametrize("stop", [(), ("e",)])
def test_an_added_turn_keeps_its_tokens(new_chat: Any, stop: tuple[str, ...]) -> None:
    """All of them, or as far as they were seen coming, of an engine that ended."""
    chat = new_chat(stop=stop)
    text_of(chat.say("Once upon a time"))
    turn = chat.turns[0]
    other = new_chat()
    for added in (replace(turn), replace(turn, ids=[], n_prompt=0)):
        other.restore(Tree([added]))
        assert other.turns == [turn]


def test_configure_sets_all_or_nothing(chat: Chat) -> None:
    chat.configure({"mode": "chat", "temp": "0.5", "stop": ["a", "b"], "seed": None})
    assert (chat.mode, chat.values["mode"]) == ("chat", "chat")
    assert (chat.settings.temp, chat.settings.stop, chat.settings.seed) == (0.5, ("a", "b"), None)
    before = chat.values
    for bad in ({"temp": 0.1, "threads": 2}, {"temp": 0.1, "mode": "sing"}, {"temp": 0.1, "top_k": None}):
        with pytest.raises(UsageError):
            chat.configure(bad)
        assert chat.values == before
