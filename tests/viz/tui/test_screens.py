"""A screen is a file and a row: one that is made up here shows in tabs, keys, footer, help and palette."""

from __future__ import annotations

import pytest
from recorded import RecordedEngine, answer, drive, lines, loaded, pressed, trace
from textual.binding import Binding
from textual.pilot import Pilot

from ggtui.viz.live import Live
from ggtui.viz.tui import screens
from ggtui.viz.tui.app import GgtuiApp
from ggtui.viz.tui.screens import EVALUATIONS, ScreenRow


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> ScreenRow:
    """Its row, in the table."""
    row = ScreenRow("made up", "f7", EVALUATIONS, "made_up_screen:MadeUp")
    monkeypatch.setattr(screens, "SCREENS", (*screens.SCREENS, row))
    return row


def test_a_new_row_is_everywhere(made_up: ScreenRow) -> None:
    async def script(pilot: Pilot[int]) -> None:
        app = pilot.app
        assert isinstance(app, GgtuiApp)
        assert "6 made up" in lines(app)[0]
        shown = await pressed(pilot, "f7")
        assert "[6 made up]" in shown[0] and "made up of a run" in shown[1]
        assert "z shout" in shown[-1]
        assert "MADE UP" in (await pressed(pilot, "z"))[1]
        told = "\n".join(await pressed(pilot, "f1"))
        for line in ("Keys of made up", "say it louder", "F2 - F7", "1 - 6", "chat, perf, graph, time, mem, made up"):
            assert line in told
        await pressed(pilot, "escape", "1")
        assert app.screen.name == "chat"
        await pressed(pilot, "escape", "6")
        assert app.screen.name == "made up"
        found = {command.title: command for command in app.get_system_commands(app.screen)}
        assert found["Go to made up"].help == "F7"
        await pilot.press("ctrl+p", *"louder")
        await pilot.pause(0.5)
        assert "Say it louder" in "\n".join(lines(app))

    drive(GgtuiApp(Live(), RecordedEngine(loaded(), *answer())), script, (100, 30))


def test_what_it_needs(made_up: ScreenRow) -> None:
    async def script(pilot: Pilot[int]) -> None:
        assert "Nothing has run yet: 1 opens the chat." in (await pressed(pilot, "f7"))[1]

    drive(GgtuiApp(Live(), RecordedEngine(loaded())), script, (100, 30))


def test_what_a_saved_run_lacks_is_said() -> None:
    async def script(pilot: Pilot[int]) -> None:
        assert pilot.app.screen.name == "perf"
        shown = "\n".join(await pressed(pilot, "f2"))
        assert "This is a saved run; there is no model to talk to. F3-F6 show it." in shown

    drive(GgtuiApp(Live.of(trace())), script)


def test_keys_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (screens.f_keys("-"), screens.f_keys("-", others=True), screens.digits(" - ")) == ("F2-F6", "F3-F6", "1 - 5")
    last = screens.SCREENS[-1]
    monkeypatch.setattr(screens, "SCREENS", (*screens.SCREENS[:2], last._replace(key="f8"), last._replace(key="f10")))
    assert screens.f_keys("-") == "F2-F3, F8, F10" and screens.digits("-") == "1-2, 7, 9"


def test_keys_and_titles_are_those_of_one_screen() -> None:
    for column in ("title", "key", "digit"):
        assert len({getattr(row, column) for row in screens.SCREENS}) == len(screens.SCREENS)
    taken = {binding.key for binding in GgtuiApp.BINDINGS if isinstance(binding, Binding)}
    assert not taken & {row.key for row in screens.SCREENS}
