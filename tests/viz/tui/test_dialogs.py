"""The dialogs of the Chat screen: settings, saved chats, what could come next."""

from __future__ import annotations

from pathlib import Path

from recorded import STORY, RecordedEngine, answer, check_snapshot, drive, lines, loaded, settle
from textual.pilot import Pilot
from textual.widgets import Input, Static

from ggtui.chat import saved as saved_chats
from ggtui.chat.conversation import Turn
from ggtui.chat.settings import ANEW, LIVE
from ggtui.chat.tree import Tree
from ggtui.viz.live import Live
from ggtui.viz.messages import (
    Alternative,
    Alternatives,
    Choose,
    Configure,
    Configured,
    Failed,
    Likeliest,
    Restore,
    Turns,
)
from ggtui.viz.tui.app import GgtuiApp
from ggtui.viz.tui.dialogs.base import HZ
from ggtui.viz.tui.screens.chat import ChatScreen


def text(pilot: Pilot[int]) -> str:
    return "\n".join(lines(pilot.app))  # type: ignore[arg-type]


async def told(pilot: Pilot[int]) -> None:
    """Let a dialog follow what the engine said."""
    await settle(pilot)
    await pilot.pause(2.5 / HZ)


# ---- settings ----


def test_settings_are_taken_and_checked() -> None:
    engine = RecordedEngine(loaded(), *answer())

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("ctrl+s", "down", "down", "down")
        field = pilot.app.screen.query_one("#temp", Input)
        assert field.has_focus and "temperature; 0 always takes" in text(pilot)
        field.value = "hot"
        await pilot.press("enter")
        await told(pilot)
        check_snapshot(pilot.app, "chat-settings-80x24")  # type: ignore[arg-type]
        assert "! temp hot: must be a number, 0 or more" in text(pilot) and field.value == "hot"
        assert not engine.asked
        engine.say(Configured({"top_k": 3}))
        await told(pilot)
        assert pilot.app.screen.query_one("#top-k", Input).value == "3"
        field.value = "0.5"
        await pilot.press("down")
        await settle(pilot)
        assert "must be a number" not in text(pilot)
        assert engine.asked == [Configure({"temp": 0.5})]
        await pilot.press("up", "up", "down")  # left as they are
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, ChatScreen)

    drive(GgtuiApp(Live(), engine), script)


def test_a_value_that_is_only_looked_at_stays_as_it_is() -> None:
    engine = RecordedEngine(loaded(), Configured({"temp": 0.123456789}))

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("ctrl+s", *["down"] * len((*LIVE, *ANEW)), "escape")

    drive(GgtuiApp(Live(), engine), script)
    assert not engine.asked


def test_settings_fit_a_small_terminal() -> None:
    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("ctrl+s", "up")
        await told(pilot)
        assert f"> {ANEW[-1]}" in text(pilot) and "Esc: close" in text(pilot)

    drive(GgtuiApp(Live(), RecordedEngine(loaded())), script, (60, 16))


# ---- saved chats ----


def test_chats_are_saved_and_loaded(tmp_path: Path) -> None:
    engine = RecordedEngine(loaded(), *answer())
    saved_chats.save("other", Tree([Turn("one", " two")]), "tales")

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("ctrl+g", *"mine", "ctrl+s")
        await settle(pilot)
        assert "Saved 1 turn:" in text(pilot) and saved_chats.names() == ["mine", "other"]
        await pilot.press("ctrl+s")
        await settle(pilot)
        assert "Saved 1 turn:" in text(pilot), "under its own name it is not asked"
        await pilot.press("down", "down", "down", "ctrl+s")
        await settle(pilot)
        assert "other is there already; ^S again writes over it." in text(pilot)
        assert [turn.prompt for turn in saved_chats.load("other").path] == ["one"]
        await pilot.press("down")
        await settle(pilot)
        assert "> other" in text(pilot)
        await pilot.press("up", "down", "enter")
        await settle(pilot)
        assert isinstance(pilot.app.screen, ChatScreen) and "Loaded 1 turn." in text(pilot)

    drive(GgtuiApp(Live(), engine), script)
    assert [turn.prompt for turn in saved_chats.load("mine").path] == ["Once upon a time"]
    [restore] = engine.asked
    assert isinstance(restore, Restore) and restore.tree.path[0].prompt == "one"


def test_an_unsaved_chat_is_not_lost_by_loading() -> None:
    engine = RecordedEngine(loaded(), *answer())
    saved_chats.save("other", Tree([Turn("one", " two")]), "tales")

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("ctrl+g", "down", "enter")
        await settle(pilot)
        assert "This chat is not saved" in text(pilot) and not engine.asked
        await pilot.press("enter")
        await settle(pilot)
        assert len(engine.asked) == 1

    drive(GgtuiApp(Live(), engine), script)


def test_bad_names_are_told() -> None:
    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("ctrl+g", "slash", "ctrl+s")
        await settle(pilot)
        assert "name '/': must be" in text(pilot)
        await pilot.press("backspace", "x", "enter")
        await settle(pilot)
        assert "no saved chat 'x'; saved: none" in text(pilot)

    drive(GgtuiApp(Live(), RecordedEngine(loaded())), script)


# ---- what could come next ----


def likeliest(keep: int, first: int = 7) -> Likeliest:
    rows = (Alternative(first + n, f" {word}", 0.4 / (n + 1)) for n, word in enumerate(STORY[:10]))
    return Likeliest(keep, tuple(rows))


def test_another_way_is_chosen_at_the_end() -> None:
    engine = RecordedEngine(loaded(), *answer(n=60))

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("escape", "a")
        await settle(pilot)
        assert engine.asked == [Alternatives(10, None)]
        pilot.app.live.take(likeliest(60))  # type: ignore[attr-defined]
        await told(pilot)
        await pilot.press("down", "down")
        await settle(pilot)
        check_snapshot(pilot.app, "chat-next-80x24")  # type: ignore[arg-type]
        await pilot.press(*["down"] * 12, "up", "enter")
        assert isinstance(pilot.app.screen, ChatScreen)

    drive(GgtuiApp(Live(), engine), script)
    assert engine.asked[1:] == [Choose(60, 15)]


def test_one_steps_through_the_tokens_of_the_answer() -> None:
    engine = RecordedEngine(loaded(), *answer(n=40))

    async def script(pilot: Pilot[int]) -> None:
        live = pilot.app.live  # type: ignore[attr-defined]
        await pilot.press("escape", "a", "left", "left", "left")
        assert engine.asked == [Alternatives(10, None)]  # one question at a time
        live.take(likeliest(40))
        await told(pilot)
        assert engine.asked[1:] == [Alternatives(10, 37)]
        live.take(likeliest(37, first=130))
        await told(pilot)
        [said] = [line for line in lines(pilot.app) if line.rstrip().endswith("'  said")]  # type: ignore[arg-type]
        assert " 5.0% " in said
        await pilot.press("right", "right", "right")
        await settle(pilot)
        assert "[(the end)]" in text(pilot) and "40.0%" in text(pilot)  # known already
        assert engine.asked[2:] == [Alternatives(10, 38)]  # on the way
        await pilot.press("home")
        live.take(likeliest(38))
        await told(pilot)
        assert "Once upon a time [there]" in text(pilot) and engine.asked[3:] == [Alternatives(10, 0)]
        live.take(Failed("the context is full"))
        await told(pilot)
        assert "the context is full" in text(pilot)
        await pilot.press("enter", "end", "left", "left", "left", "down", "enter")

    drive(GgtuiApp(Live(), engine), script)
    assert engine.asked[-1] == Choose(37, 131)


def test_an_error_that_was_told_before_is_told_again() -> None:
    engine = RecordedEngine(loaded(), *answer(), Failed("the context is full"))

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("escape", "a")
        await settle(pilot)
        pilot.app.live.take(Failed("the context is full"))  # type: ignore[attr-defined]
        await told(pilot)
        assert "the context is full" in str(pilot.app.screen.query_one(".note", Static).content)
        await pilot.press("left")

    drive(GgtuiApp(Live(), engine), script)
    assert engine.asked == [Alternatives(10, None), Alternatives(10, 39)]


def test_what_a_dialog_before_asked_for_is_not_shown() -> None:
    engine = RecordedEngine(loaded(), *answer(n=40))

    async def script(pilot: Pilot[int]) -> None:
        live = pilot.app.live  # type: ignore[attr-defined]
        await pilot.press("escape", "a", "escape", "a")
        live.take(likeliest(40))
        await told(pilot)
        await pilot.press("left")
        live.take(likeliest(40))
        await told(pilot)
        assert "..." in str(pilot.app.screen.query_one(".rows", Static).content)
        live.take(likeliest(39, first=130))
        await told(pilot)
        await pilot.press("enter")

    drive(GgtuiApp(Live(), engine), script)
    assert engine.asked[-1] == Choose(39, 130)


def test_a_loaded_answer_has_no_tokens_to_step_through() -> None:
    engine = RecordedEngine(loaded(), Turns(Tree((Turn("one", " two"),))))

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("escape", "a", "left")
        await settle(pilot)
        assert "The tokens of this answer are not known" in text(pilot)
        pilot.app.live.take(likeliest(3))  # type: ignore[attr-defined]
        await told(pilot)
        await pilot.press("enter")

    drive(GgtuiApp(Live(), engine), script)
    assert engine.asked == [Alternatives(10, None), Choose(3, 7)]
