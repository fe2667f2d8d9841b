"""The keys that work everywhere, and the look of the frame."""

from __future__ import annotations

import pytest
from recorded import RecordedEngine, answer, drive, lines, loaded, pressed, settle, trace
from textual.binding import Binding
from textual.pilot import Pilot
from textual.screen import ModalScreen

from ggtui.viz.live import Live
from ggtui.viz.messages import Batch, Began, Configure, Gone, Profile, Restore, Stop
from ggtui.viz.tui.app import DARK, LIGHT, GgtuiApp, light_terminal
from ggtui.viz.tui.base import bar
from ggtui.viz.tui.help import Help, key_name
from ggtui.viz.tui.screens import SCREENS, ScreenRow


def app_of(pilot: Pilot[int]) -> GgtuiApp:
    assert isinstance(pilot.app, GgtuiApp)
    return pilot.app


def test_f_keys_open_the_screens() -> None:
    async def script(pilot: Pilot[int]) -> None:
        for n, row in enumerate(SCREENS):
            await pilot.press(f"f{n + 2}")
            await settle(pilot)
            assert isinstance(pilot.app.screen, row.load())
            assert f"[{n + 1} {row.title}]" in lines(app_of(pilot))[0]

    drive(GgtuiApp(Live(), RecordedEngine(loaded(), *answer())), script)


def test_digits_open_the_screens_outside_the_prompt() -> None:
    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("escape", "2")
        await settle(pilot)
        assert app_of(pilot).screen.name == "perf"
        await pilot.press("5")
        await settle(pilot)
        assert app_of(pilot).screen.name == "mem"

    drive(GgtuiApp(Live(), RecordedEngine(loaded(), *answer())), script)


def test_a_saved_run_begins_at_perf() -> None:
    async def script(pilot: Pilot[int]) -> None:
        assert app_of(pilot).screen.name == "perf"
        assert "saved run" in lines(app_of(pilot))[0]

    drive(GgtuiApp(Live.of(trace())), script)


def test_ctrl_c_stops_and_twice_leaves() -> None:
    engine = RecordedEngine(loaded(), Began("Once", "complete"))

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("ctrl+c")
        assert engine.asked[-1] == Stop()
        engine.say(*answer()[-1:])
        await settle(pilot)
        n = len(engine.asked)
        await pilot.press("ctrl+c")
        assert len(engine.asked) == n and app_of(pilot).is_running
        await pilot.press("ctrl+c")
        assert app_of(pilot).return_code == 0

    drive(GgtuiApp(Live(), engine), script)


def test_help_tells_of_the_screen_in_front() -> None:
    async def script(pilot: Pilot[int]) -> None:
        for row in SCREENS:
            await pressed(pilot, row.key, "f1")
            assert isinstance(app_of(pilot).screen, Help)
            text = "\n".join(lines(app_of(pilot)))
            assert f"Keys of {row.title}" in text and "equals_sign" not in text
            assert ("a new line" in text) == (row.title == "chat")
            await pilot.press("escape")
            assert not isinstance(app_of(pilot).screen, Help)

    drive(GgtuiApp(Live(), RecordedEngine(loaded())), script)


@pytest.mark.parametrize("keys", [["f1"], ["ctrl+s"], ["ctrl+g"], ["escape", "a"], ["ctrl+p"]])
def test_keys_of_screens_work_over_help_and_dialogs(keys: list[str]) -> None:
    async def script(pilot: Pilot[int]) -> None:
        for row in (*SCREENS[1:], SCREENS[0]):
            await pilot.press("f2")
            await settle(pilot)
            await pilot.press(*keys)
            await settle(pilot)
            assert isinstance(pilot.app.screen, ModalScreen)
            await pilot.press(row.key)
            await settle(pilot)
            assert isinstance(pilot.app.screen, row.load())

    drive(GgtuiApp(Live(), RecordedEngine(loaded(), *answer())), script)


@pytest.mark.parametrize("key", ["escape", "f1", "q", "enter"])
def test_keys_that_close_help(key: str) -> None:
    async def script(pilot: Pilot[int]) -> None:
        for _ in range(2):
            await pressed(pilot, "f1")
            assert isinstance(app_of(pilot).screen, Help)
            await pressed(pilot, key)
            assert isinstance(app_of(pilot).screen, SCREENS[0].load())

    drive(GgtuiApp(Live(), RecordedEngine(loaded())), script)


def test_digits_open_the_screens_out_of_help() -> None:
    async def script(pilot: Pilot[int]) -> None:
        for row in (*SCREENS[1:], SCREENS[0]):
            await pilot.press("f1", row.digit)
            await settle(pilot)
            assert isinstance(pilot.app.screen, row.load())

    drive(GgtuiApp(Live(), RecordedEngine(loaded(), *answer())), script)


def test_an_engine_that_is_gone_comes_back_with_the_chat() -> None:
    engine = RecordedEngine(loaded(), *answer("Once", 12), Gone("the engine was killed"))
    app = GgtuiApp(Live(), engine)

    async def script(pilot: Pilot[int]) -> None:
        assert app.live.state == "gone" and "The engine stopped (was killed)" in "\n".join(lines(app))
        await pilot.press("escape")
        await app.run_action("app.restart_engine")
        assert engine.restarts == 1 and app.live.state == "loading"
        configured, restored = engine.asked[-2:]
        assert isinstance(configured, Configure) and configured.values["top_k"] == 40
        assert isinstance(restored, Restore) and [t.prompt for t in restored.tree.path] == ["Once"]

    drive(app, script)


def test_a_restart_that_fails_keeps_the_chat() -> None:
    engine = RecordedEngine(loaded(), *answer("Once", 12), Gone("the engine was killed"))
    app = GgtuiApp(Live(), engine)

    async def script(pilot: Pilot[int]) -> None:
        await app.run_action("app.restart_engine")
        engine.say(Gone("tales.gguf: No such file or directory", loading=True, exit_code=4))
        await settle(pilot)
        assert app.is_running and app.live.state == "gone" and len(app.live.chat) == 1
        assert "No such file" in "\n".join(lines(app))

    drive(app, script)
    assert app.failed is None


@pytest.mark.parametrize("title", [row.title for row in SCREENS[1:]])
def test_a_screen_may_be_asked_to_draw_before_it_is_made(title: str) -> None:
    async def script(pilot: Pilot[int]) -> None:
        app = app_of(pilot)
        app.action_tab(title)
        app.front.draw()
        await settle(pilot)
        assert app.front.row.title == title

    drive(GgtuiApp(Live(), RecordedEngine(loaded(), *answer())), script)


def test_a_model_that_does_not_load_ends_the_app() -> None:
    app = GgtuiApp(Live(), RecordedEngine(Gone("model.gguf: cut off", loading=True, exit_code=4)))

    async def script(pilot: Pilot[int]) -> None:
        pass

    drive(app, script)
    assert app.return_code == 4


def test_colors_change() -> None:
    async def script(pilot: Pilot[int]) -> None:
        app = app_of(pilot)
        assert app.theme == DARK.name
        await app.run_action("change_colors")
        assert app.theme == LIGHT.name

    drive(GgtuiApp(Live(), RecordedEngine(loaded())), script)


@pytest.mark.parametrize(("colors", "light"), [("", False), ("15;0", False), ("0;15", True), ("0;default;15", True)])
def test_a_light_terminal(colors: str, light: bool) -> None:
    assert light_terminal(colors) == light


def test_the_palette_has_what_keys_do_not() -> None:
    engine = RecordedEngine(loaded())

    async def script(pilot: Pilot[int]) -> None:
        app = app_of(pilot)
        found = {command.title: command for command in app.get_system_commands(app.screen)}
        assert {"Suspend", "Quit", "Light or dark", "Go to perf"} <= set(found)
        found["Profile off"].callback()
        assert engine.asked[-1] == Profile(False)
        found["Go to mem"].callback()
        await settle(pilot)
        assert app.screen.name == "mem"

    drive(GgtuiApp(Live(), engine), script)


@pytest.mark.parametrize("row", SCREENS, ids=lambda row: row.title)
def test_the_palette_has_the_keys_of_the_footer(row: ScreenRow) -> None:
    """By their tooltips."""
    shown = [b for b in row.load().BINDINGS if isinstance(b, Binding) and b.show and b.key_display != "arrows"]
    assert shown and all(b.tooltip or b.action.startswith("app.") for b in shown)


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_bar_fits_and_escapes(width: int) -> None:
    live = Live()
    live.take(loaded())
    live.take(Began("x", "complete"))
    live.take(Batch(answer()[1].steps))  # type: ignore[union-attr]
    text = bar(live, "graph", width)
    assert text.cell_len <= width and "[3 graph]" in text.plain and "tok/s" in text.plain
    from dataclasses import replace

    live.run = replace(live.run, model="\x1b[31mred.gguf", device="\x1b[1m", types={"\x1b[2m": 1})
    assert "\x1b" not in bar(live, "chat", width).plain


@pytest.mark.parametrize(
    ("key", "name"),
    [("ctrl+r", "^R"), ("f1", "F1"), ("slash", "/"), ("shift+left", "shift+left"), ("s", "s"), ("S", "S")],
)
def test_names_of_keys(key: str, name: str) -> None:
    assert key_name(key) == name
