"""The Chat screen: its states, and its looks at three sizes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from recorded import SIZES, RecordedEngine, answer, check_snapshot, drive, lines, loaded, settle, trace
from textual.pilot import Pilot

from ggtui.chat.conversation import Turn
from ggtui.chat.tree import Tree
from ggtui.core.engine.steps import Step
from ggtui.core.runtime.record import Records, TokenRecord
from ggtui.viz.live import Live
from ggtui.viz.messages import (
    Alternative,
    Batch,
    Began,
    Configured,
    Ended,
    Failed,
    Gone,
    Loaded,
    Loading,
    Restore,
    Say,
    Turns,
)
from ggtui.viz.tui.app import GgtuiApp
from ggtui.viz.tui.screens.chat import ChatScreen
from ggtui.viz.tui.widgets.prompt import Prompt


def text(pilot: Pilot[int]) -> str:
    return "\n".join(lines(pilot.app))  # type: ignore[arg-type]


def test_states_are_told() -> None:
    engine = RecordedEngine()

    async def script(pilot: Pilot[int]) -> None:
        prompt = pilot.app.screen.query_one(Prompt)
        assert "Loading" in text(pilot)
        await pilot.press("enter")
        await settle(pilot)
        assert not engine.asked, "there is no text to go on with yet"
        await pilot.press("a", "enter", "b", "enter")
        await settle(pilot)
        assert engine.asked == [Say("a")] and prompt.text == "b" and "still loading" in text(pilot)
        await pilot.press("backspace")
        engine.say(loaded())
        await settle(pilot)
        assert "Type the beginning of a tale" in text(pilot) and prompt.has_focus
        engine.say(Configured({"mode": "chat"}))
        await settle(pilot)
        assert "Type a question" in text(pilot)
        engine.say(Failed("top_k -1: must be\n0 or more"))
        await settle(pilot)
        assert "top_k -1: must be\\n0 or more" in text(pilot)
        turn = Turn("Once", " there", reason="context full")
        engine.say(*answer()[:2], Ended("context full", turn, "the context of 512 tokens is full"))
        await settle(pilot)
        assert "the context of 512 tokens is full" in text(pilot)
        await pilot.press(*"kept")
        engine.say(Gone("killed by signal 9"))
        await settle(pilot)
        assert "The engine stopped (killed by signal 9). Press r to start it again" in text(pilot)
        await pilot.press("r")
        await settle(pilot)
        assert engine.restarts == 1 and prompt.text == "kept"
        engine.say(loaded(), Turns(Tree((Turn("Once", " there"),))))
        await settle(pilot)
        assert prompt.has_focus and "The engine stopped" not in text(pilot)
        await pilot.press("enter")

    drive(GgtuiApp(Live(), engine), script)
    assert engine.asked[-1] == Say("kept")
    assert any(isinstance(command, Restore) for command in engine.asked)


@pytest.mark.parametrize("size", SIZES)
def test_how_much_of_a_model_is_loaded(size: tuple[int, int]) -> None:
    engine = RecordedEngine(Loading("king", 0.07))

    async def script(pilot: Pilot[int]) -> None:
        assert "Loading king ..." in text(pilot) and "loading king  7% ━─────────" in text(pilot)
        engine.say(Loading("king", 0.43))
        await settle(pilot)
        assert "loading king 43% ━━━━──────" in text(pilot) and lines(pilot.app)[0].endswith("loading 43%")  # type: ignore[arg-type]
        engine.say(loaded())
        await settle(pilot)
        assert "oading" not in text(pilot) and "KV   0/512" in text(pilot)

    drive(GgtuiApp(Live(), engine), script, size)


def test_the_same_error_is_told_again() -> None:
    engine = RecordedEngine(loaded())

    async def script(pilot: Pilot[int]) -> None:
        for _ in range(2):
            engine.say(Began("Once", "complete"), Ended("failed", None), Turns(Tree()), Failed("the context is full"))
            await settle(pilot)
            assert "the context is full" in text(pilot)
            pilot.app.screen.tell("")

    drive(GgtuiApp(Live(), engine), script)


def test_nothing_is_set_without_an_engine() -> None:
    engine = RecordedEngine(loaded(), Gone("killed"))

    async def script(pilot: Pilot[int]) -> None:
        prompt = pilot.app.screen.query_one(Prompt)
        for line in ("/set temp 1", "/set", "/perf off"):
            prompt.focus()
            prompt.put(line)
            await pilot.press("enter")
            await settle(pilot)
            assert isinstance(pilot.app.screen, ChatScreen) and "The engine stopped (killed)" in text(pilot)

    drive(GgtuiApp(Live(), engine), script)
    assert not engine.asked


def test_names_and_text_are_data() -> None:
    evil = "\x1b[2J[red]x"
    made: Loaded = replace(loaded(), run=replace(loaded().run, model=f"{evil}.gguf"))

    async def script(pilot: Pilot[int]) -> None:
        shown = text(pilot)
        assert "\x1b" not in shown and shown.count("\\x1b[2J[red]x") >= 2

    turns = Turns(Tree((Turn(evil, f" {evil}"),)))
    drive(GgtuiApp(Live(), RecordedEngine(made, turns)), script)


@pytest.mark.parametrize("size", SIZES[:2])
def test_ascii_alone_where_that_is_asked_for(size: tuple[int, int]) -> None:
    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("escape", "p")
        for key in ("i", "ctrl+s", "ctrl+g", "a"):
            await settle(pilot)
            assert text(pilot).isascii()
            await pilot.press("escape", key)
        await settle(pilot)
        assert text(pilot).isascii()

    drive(GgtuiApp(Live(), RecordedEngine(loaded(), *answer()), ascii_only=True), script, size)


def test_without_colour_it_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async def script(pilot: Pilot[int]) -> None:
        check_snapshot(pilot.app, "chat-80x24")

    drive(GgtuiApp(Live(), RecordedEngine(loaded(), *answer(n=60))), script)


@pytest.mark.parametrize("size", SIZES)
def test_looks(size: tuple[int, int]) -> None:
    name = f"{size[0]}x{size[1]}"

    async def script(pilot: Pilot[int]) -> None:
        check_snapshot(pilot.app, f"chat-{name}")
        await pilot.press("escape", "p")
        await settle(pilot)
        check_snapshot(pilot.app, f"chat-odds-{name}")

    drive(GgtuiApp(Live(), RecordedEngine(loaded(), *answer(n=60))), script, size)


def test_looks_when_the_engine_is_gone() -> None:
    engine = RecordedEngine(loaded(), *answer(n=60))

    async def script(pilot: Pilot[int]) -> None:
        engine.say(Gone("the engine was ended by SIGKILL"))
        await settle(pilot)
        await pilot.pause(0.1)
        check_snapshot(pilot.app, "chat-gone-80x24")

    drive(GgtuiApp(Live(), engine), script)


@pytest.mark.parametrize("size", SIZES[:2])
def test_what_follows_is_drawn_together_with_the_token_it_follows(size: tuple[int, int]) -> None:
    """Other figures are drawn less often than text comes."""
    engine = RecordedEngine(loaded(), Began("Once", "complete"))

    async def script(pilot: Pilot[int]) -> None:
        for word, following in ((" upon", " zebra"), (" zebra", " lion")):
            step = Step(5, word, -1.0, TokenRecord(2, 1, 10, 10))
            engine.say(Batch((step,), next=(Alternative(7, following, 0.5),), ahead=True))
            pilot.app._pump()  # type: ignore[attr-defined]
            await pilot.pause()
            (line,) = (line for line in lines(pilot.app) if following.strip() in line)  # type: ignore[arg-type]
            assert "50.0%" in line or "next: " in line
            assert word.strip() in text(pilot)

    drive(GgtuiApp(Live(), engine), script, size)


def test_a_saved_run_has_no_chat() -> None:
    engine = RecordedEngine()

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("f2")
        await settle(pilot)
        assert "This is a saved run" in text(pilot)
        await pilot.press(*"ab", "enter", "escape", "a", "m", "p", "ctrl+r", "ctrl+e")
        await settle(pilot)
        assert "This is a saved run" in text(pilot)

    saved = trace()
    tokens = tuple(replace(t, records=Records.of(t.records)) for t in saved.tokens)
    drive(GgtuiApp(Live.of(replace(saved, tokens=tokens))), script)
    assert not engine.asked
