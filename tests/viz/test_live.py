"""The state that screens draw."""

from __future__ import annotations

import math

import pytest
from recorded import LIMITS, answer, evaluation, loaded, step, trace

from ggtui.chat.conversation import Turn
from ggtui.chat.tree import Tree
from ggtui.core.engine.steps import Step
from ggtui.core.runtime.record import MemoryUse, TokenRecord, Trace
from ggtui.viz.live import KEPT, POINTS, Live
from ggtui.viz.messages import (
    Alternative,
    Batch,
    Began,
    Configured,
    Ended,
    Failed,
    Gone,
    Likeliest,
    Loading,
    Measured,
    Turns,
)


@pytest.fixture
def live() -> Live:
    """With a model."""
    made = Live()
    assert made.state == "loading"
    made.take(loaded())
    return made


def tell(live: Live, *events: object) -> None:
    for event in events:
        version = live.version
        live.take(event)  # type: ignore[arg-type]
        assert live.version > version


def test_an_answer(live: Live) -> None:
    began, first, second, ended = answer(n=40)
    tell(live, began)
    assert live.state == "busy" and live.chat[0].turn.prompt == "Once upon a time"
    tell(live, first)
    assert len(live.chat[0].steps) == 20 and live.chat[0].turn.text == "".join(s.text for s in live.chat[0].steps)
    assert live.chat[0].turn.sampled == [s.token for s in live.chat[0].steps]
    tell(live, second, ended)
    assert live.state == "idle" and live.chat[0].turn.reason == "n_predict" and live.n_past == 43
    assert live.n_evaluations == 40 and len(live.evaluations) == 39 and live.unrecorded == 0
    assert live.next[0].p == 0.31 and live.rss == 60_043_000
    newest = live.token_times
    assert len(newest) == 32 and live.tokens_per_s == pytest.approx(32e9 / sum(newest))
    assert [t.n_past for t in live.trace(4).tokens] == [39, 40, 41, 42]
    assert len(live.trace().tokens) == 39 and live.trace().graphs == live.graphs


def test_it_stays_small(live: Live) -> None:
    tell(live, Began("x", "complete"))
    for i in range(10_000):
        live.take(Batch((step(0, i),), (evaluation(0),) if i > 9_700 else (), unrecorded=int(i <= 9_700)))
    assert len(live.evaluations) == KEPT and live.unrecorded == 9_701 and live.n_evaluations == 10_000
    assert POINTS / 4 < len(live.growth) < POINTS
    counts = [point.evaluations for point in live.growth]
    assert counts == sorted(counts) and counts[0] == 1 and counts[-1] > 9_900


def test_an_answer_of_which_nothing_came(live: Live) -> None:
    tell(live, *answer(n=3))
    before = live.chat[0]
    tell(live, Began(" And", "complete"), Ended("interrupted", None, n_past=6))
    assert live.chat == [before] and live.state == "idle"
    tell(live, Began("Once upon a time", "complete", replaces=True), Ended("interrupted", None))
    assert live.chat == [before] and len(before.steps) == 3
    tell(live, Turns(Tree((before.turn,)), 6), Failed("no"))
    assert live.chat[0].steps == before.steps and live.message == "no" and live.n_past == 6


def test_another_answer_stands_beside_the_last(live: Live) -> None:
    tell(live, *answer(n=3))
    first = live.chat[0]
    tell(live, Began("Long ago", "complete", replaces=True))
    assert live.chat[0].turn.prompt == "Long ago" and live.chat[0].place == (2, 2) and live.turns.path == [first.turn]
    tell(live, Batch((step(5, 2),)))
    assert [spoken.turn.prompt for spoken in live.chat] == ["Long ago"] and len(live.chat[0].steps) == 1
    assert live.tree.items[0] is first and live.tree.places == [(2, 2)]
    tell(live, Began(" And", "complete"), *answer(" And", n=3)[1:])
    assert [spoken.place for spoken in live.chat] == [(2, 2), (1, 1)]
    there = live.turns
    there.branch(1)
    tell(live, Turns(there, 3))
    assert live.chat[0].steps == first.steps, "what was seen coming is still known"
    assert [spoken.place for spoken in live.chat] == [(1, 2)]


def test_an_engine_that_ends_while_it_makes_another_answer_loses_neither(live: Live) -> None:
    tell(live, *answer(n=3))
    tell(live, Began("Long ago", "complete", replaces=True), Batch((step(5, 2),)), Gone("it ended"))
    assert [turn.prompt for turn in live.turns.items] == ["Once upon a time", "Long ago"]
    tell(live, Began("", "complete", replaces=True, kept=tuple(live.chat[-1].steps)), Gone("it ended again"))
    assert [turn.prompt for turn in live.turns.path] == ["Long ago"], "of the third not one token came"


def test_what_can_be_brought_back_is_until_something_is_said(live: Live) -> None:
    tell(live, *answer(n=3), Turns(Tree(), 0, replaced=True))
    assert live.replaced and live.chat == []
    tell(live, Began("Long ago", "complete"))
    assert live.replaced
    tell(live, Batch((step(5, 2),)))
    assert not live.replaced


def test_likeliest_tokens_are_those_of_the_newest_batch(live: Live) -> None:
    chosen, ahead = (Alternative(1, "a", 0.5),), (Alternative(2, "b", 0.5),)
    tell(live, Began("x", "complete"), Batch((step(0, 1),), next=chosen))
    assert (live.next, live.ahead) == (chosen, False)
    tell(live, Batch(next=ahead, ahead=True), Batch(rss=5))
    assert (live.next, live.ahead) == (ahead, True)
    tell(live, Batch((step(1, 2),)))
    assert live.next == (), "they were those before the newest token"


def test_what_stays_of_an_answer_keeps_its_figures(live: Live) -> None:
    tell(live, *answer(n=4))
    known = live.chat[0].steps
    kept = [Step(s.token, s.text, math.nan, TokenRecord(0, 1, 0)) for s in known[:3]]
    kept[1] = Step(7, " other", math.nan, TokenRecord(0, 1, 0))
    tell(live, Began("Once upon a time", "complete", replaces=True, kept=tuple(kept)), Batch((step(9, 7),)))
    (spoken,) = live.chat
    assert spoken.steps == [known[0], kept[1], known[2], step(9, 7)]
    assert spoken.turn.text == f"{known[0].text} other{known[2].text}{step(9, 7).text}"
    assert spoken.turn.sampled == [s.token for s in spoken.steps]


def test_turns_keep_the_steps_of_those_that_stay(live: Live) -> None:
    tell(live, *answer(n=3), *answer(" And", n=3, n_past=6))
    first = live.chat[0]
    tell(live, Turns(Tree((first.turn,)), 6))
    assert [spoken.steps for spoken in live.chat] == [first.steps] and live.next == ()
    tell(live, Turns(Tree((Turn("x", "y"),))))
    assert live.chat[0].steps == []


def test_an_engine_that_ends_and_begins_anew(live: Live) -> None:
    tell(live, *answer(n=3), Began("Once upon a time", "complete", replaces=True), Gone("it ended"))
    assert live.state == "gone" and live.message == "it ended"
    assert len(live.chat[0].steps) == 3, "of the other answer nothing had come"
    tell(live, Began(" And", "complete"), Batch((step(1, 9),)), Gone("again"))
    assert live.chat[1].turn.sampled == [101] and live.chat[1].turn.reason == "interrupted"
    live.restarting()
    assert (live.state, live.message, len(live.chat)) == ("loading", "", 2)
    tell(live, loaded())
    assert not live.evaluations and live.n_past == 0 and live.state == "idle"


def test_how_much_is_loaded(live: Live) -> None:
    for ends in (loaded(), Gone("killed", loading=True)):
        live.restarting()
        assert live.loading is None
        tell(live, Loading("king", 0.25), Loading("king", 0.5))
        assert live.loading == Loading("king", 0.5) and live.state == "loading"
        tell(live, ends)
        assert live.loading is None
    live.take(Loading("king", 0.5))
    live.restarting()
    assert live.loading is None, "of another one nothing is known yet"


def test_what_is_only_told(live: Live) -> None:
    likeliest = Likeliest(2, (Alternative(1, "a", 0.5),))
    tell(live, likeliest, Configured({"temp": 0.5}), Measured(LIMITS))
    assert live.likeliest == likeliest and live.settings == {"temp": 0.5} and live.limits == LIMITS
    tell(live, Began("x", "complete"), Batch((step(0, 1),)), Ended("context full", Turn("x"), note="what to do"))
    assert live.message == "what to do"


def test_the_same_message_again_is_another_one(live: Live) -> None:
    before = live.n_told
    tell(live, Failed("no"), Failed("no"))
    assert live.n_told == before + 2
    tell(live, *answer(n=3))
    assert live.message == "" and live.n_told == before + 3


def test_without_node_times(live: Live) -> None:
    assert not live.unprofiled, "nothing ran yet"
    tell(live, Batch((step(0, 1),), unrecorded=1))
    assert live.unprofiled
    tell(live, *answer(n=3))
    assert not live.unprofiled
    tell(live, Gone("it ended"), loaded())
    assert not live.unprofiled


def test_a_saved_run() -> None:
    saved = trace(10)
    live = Live.of(saved)
    assert live.state == "saved" and live.trace(3) is saved and live.n_past == 13
    assert len(live.growth) == len(saved.tokens) and live.tokens_per_s > 0
    assert Live.of(Trace((), (), MemoryUse())).tokens_per_s == 0
