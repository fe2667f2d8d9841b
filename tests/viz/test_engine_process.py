"""What an engine's process tells of an answer while it comes, and at a pace."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from chat_fixtures import text_of
from engines import Listener

from ggtui.chat.conversation import Chat
from ggtui.core.engine.steps import Step
from ggtui.core.errors import GgtuiError
from ggtui.core.runtime.record import TokenRecord
from ggtui.viz.engine_process import _Teller
from ggtui.viz.messages import Batch, Configure, Configured, Ended, Say, Stop


def likeliest(batch: Batch) -> list[tuple[int, str, float]]:
    return [(row.token, row.text, row.p) for row in batch.next]


def test_what_is_told_as_likeliest_is_true(engine: Listener, here: Chat) -> None:
    """While an answer comes, what its last token was chosen from; when it is complete, what follows it."""
    text_of(here.say("Once upon a time"))
    engine.ask(Say("Once upon a time"), Ended)
    told = [event for event in engine.before if isinstance(event, Batch) and event.next]
    for batch in told:
        assert batch.ahead or batch.next[0].token == batch.steps[-1].token, "without chance it is the likeliest"
    assert told[-1].ahead and likeliest(told[-1]) == here.alternatives(3)
    engine.ask(Configure({"n_predict": 1}), Configured)
    assert engine.ask(Say(""), Ended).turn.sampled[0] == told[-1].next[0].token


def test_what_follows_is_not_told_where_it_is_not_known(engine: Listener) -> None:
    """The last token of a full context cannot be read."""
    engine.engine.send(Configure({"n_predict": -1}))
    engine.engine.send(Say("word " * 500))
    assert engine.until(Ended).reason == "context full"
    told = [event for event in engine.before if isinstance(event, Batch) and event.next]
    assert told and not told[-1].ahead and told[-1].next[0].token == told[-1].steps[-1].token


def test_at_a_pace_what_follows_is_told_before_it_comes(engine: Listener, here: Chat) -> None:
    wanted = list(here.say("Once upon a time"))
    engine.engine.send(Configure({"speed": 12.5, "n_predict": 6}))
    ended = engine.ask(Say("Once upon a time"), Ended)
    assert ended.turn is not None and ended.turn.sampled == [step.token for step in wanted[:6]]
    known: list[Any] = []
    for batch in (event for event in engine.before if isinstance(event, Batch)):
        for step in batch.steps[:1]:
            if known:
                assert step.token == known[0].token, "it was the likeliest of those told as what follows"
        known = list(batch.next) if batch.ahead else []
    assert known


def test_what_a_stop_leaves_unknown_is_not_told() -> None:
    """Of a token whose evaluation was stopped: to look it up is to evaluate again, and that is stopped too."""
    sent: list[Any] = []

    def likeliest(n: int) -> list[tuple[int, str, float]]:
        raise GgtuiError("the run was stopped")

    chat: Any = SimpleNamespace(session=SimpleNamespace(recording=False), likeliest=likeliest)
    outbox: Any = SimpleNamespace(add=lambda *told, ahead: sent.append(told))
    teller = _Teller(chat, outbox)
    teller.take(Step(5, " king", -1.0, TokenRecord(3, 1, 100)))
    teller.tell(last=True)
    ((step,), _, following), *_ = sent
    assert step.text == " king" and following == ()


def test_a_stop_is_heard_at_once_while_it_waits(engine: Listener) -> None:
    engine.engine.send(Configure({"speed": 0.001}))  # more than a quarter of an hour between two tokens
    engine.engine.send(Say("Once upon a time"))
    engine.until(Batch, lambda batch: batch.ahead)
    ended = engine.ask(Stop(), Ended)
    assert ended.reason == "interrupted" and ended.turn is not None and len(ended.turn.sampled) == 1
    engine.engine.send(Configure({"speed": 0.0}))
    assert engine.ask(Say(" And"), Ended).reason == "n_predict"
