"""The prompt: lines, sending, pasting, what was typed before."""

from __future__ import annotations

from recorded import RecordedEngine, answer, drive, lines, loaded, settle
from textual import events
from textual.pilot import Pilot

from ggtui.viz.live import Live
from ggtui.viz.messages import Began, Say
from ggtui.viz.tui.app import GgtuiApp
from ggtui.viz.tui.widgets.prompt import Prompt


def said(engine: RecordedEngine) -> list[str]:
    return [command.prompt for command in engine.asked if isinstance(command, Say)]


def test_enter_sends_and_ctrl_j_begins_a_line() -> None:
    engine = RecordedEngine(loaded())

    async def script(pilot: Pilot[int]) -> None:
        prompt = pilot.app.screen.query_one(Prompt)
        assert prompt.has_focus and prompt.size.height == 1
        await pilot.press(*"one", "ctrl+j", *"two")
        await settle(pilot)
        assert prompt.size.height == 2
        for _ in range(6):
            await pilot.press("ctrl+j")
        await settle(pilot)
        assert prompt.size.height == 5
        await pilot.press("enter")
        await settle(pilot)
        assert prompt.text == "" and prompt.size.height == 1

    drive(GgtuiApp(Live(), engine), script)
    assert said(engine) == ["one\ntwo\n\n\n\n\n\n"]


def test_a_paste_is_kept_whole_and_escaped() -> None:
    engine = RecordedEngine(loaded())
    pasted = "\r\n".join(f"line {n}" for n in range(200))

    async def script(pilot: Pilot[int]) -> None:
        pilot.app.post_message(events.Paste(pasted + "\x1b[2J"))
        await settle(pilot)
        assert not engine.asked
        assert pilot.app.screen.query_one(Prompt).size.height == 5
        assert "line 199\\x1b[2J" in "\n".join(lines(pilot.app))
        await pilot.press("enter")

    drive(GgtuiApp(Live(), engine), script)
    assert said(engine) == [pasted.replace("\r\n", "\n") + "\\x1b[2J"]


def test_what_was_copied_here_is_pasted_escaped() -> None:
    async def script(pilot: Pilot[int]) -> None:
        pilot.app.copy_to_clipboard("one\r\ntwo\x1b[2J")
        await pilot.press("ctrl+v")
        assert pilot.app.screen.query_one(Prompt).text == "one\ntwo\\x1b[2J"

    drive(GgtuiApp(Live(), RecordedEngine(loaded())), script)


def test_arrows_walk_through_what_was_typed() -> None:
    engine = RecordedEngine(loaded(), replies=True)

    async def script(pilot: Pilot[int]) -> None:
        prompt = pilot.app.screen.query_one(Prompt)
        for text in ("one", "two\nlines"):
            prompt.put(text)
            await pilot.press("enter")
            await settle(pilot)
        await pilot.press(*"draft", "up")
        assert prompt.text == "two\nlines"
        await pilot.press("up")
        assert (prompt.text, prompt.cursor_location[0]) == ("two\nlines", 0)
        await pilot.press("up")
        assert prompt.text == "one"
        await pilot.press("up")
        assert prompt.text == "one"
        await pilot.press("down", "down")
        assert prompt.text == "draft"
        await pilot.press("down")
        assert prompt.text == "draft"
        prompt.put("a long line " * 12)  # as it is broken on the screen, the cursor is on the second line
        await pilot.pause()
        await pilot.press("up")
        assert prompt.text.startswith("a long line")

    drive(GgtuiApp(Live(), engine), script)


def test_esc_leaves_and_i_or_enter_returns() -> None:
    async def script(pilot: Pilot[int]) -> None:
        prompt = pilot.app.screen.query_one(Prompt)
        for key in ("i", "enter"):
            await pilot.press("escape")
            await settle(pilot)
            assert not prompt.has_focus
            assert "i or Enter: back to the prompt" in "\n".join(lines(pilot.app))
            await pilot.press(key)
            assert prompt.has_focus and prompt.text == ""
        await pilot.press("a", "p", "m", "1", "i")
        assert prompt.text == "apm1i"

    drive(GgtuiApp(Live(), RecordedEngine(loaded())), script)


def test_what_is_typed_while_the_model_speaks_is_kept() -> None:
    engine = RecordedEngine(loaded(), Began("Once", "complete"))

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press(*"next", "enter")
        await settle(pilot)
        assert not engine.asked
        assert "still writing" in "\n".join(lines(pilot.app))
        engine.say(*answer()[1:])
        await settle(pilot)
        await pilot.press("enter")

    drive(GgtuiApp(Live(), engine), script)
    assert said(engine) == ["next"]


def test_two_quick_enters_send_once() -> None:
    engine = RecordedEngine(loaded())

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("enter", "enter")

    drive(GgtuiApp(Live(), engine), script)
    assert said(engine) == [""]
