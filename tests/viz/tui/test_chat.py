"""The Chat screen: every key of it, its states, its looks at three sizes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from recorded import SIZES, RecordedEngine, answer, check_snapshot, drive, lines, loaded, settle, trace
from textual.pilot import Pilot

from ggtui.core.trace import Records
from ggtui.viz.chat import Turn
from ggtui.viz.live import Live
from ggtui.viz.messages import (
    Began,
    Clear,
    Command,
    Configure,
    Configured,
    Edit,
    Ended,
    Failed,
    Gone,
    Loaded,
    Profile,
    Regen,
    Restore,
    Say,
    Stop,
    Turns,
    Undo,
)
from ggtui.viz.shell import COMMANDS
from ggtui.viz.text import printable
from ggtui.viz.tui.app import GgtuiApp
from ggtui.viz.tui.dialogs.alternatives import Next
from ggtui.viz.tui.dialogs.sessions import Sessions
from ggtui.viz.tui.dialogs.settings import Settings
from ggtui.viz.tui.screens import chat_commands
from ggtui.viz.tui.screens.chat import ChatScreen
from ggtui.viz.tui.widgets.prompt import Prompt

Script = Callable[[Pilot[int]], Awaitable[None]]


def text(pilot: Pilot[int]) -> str:
    return "\n".join(lines(pilot.app))  # type: ignore[arg-type]


KEYS: list[tuple[list[str], Command]] = [
    (["ctrl+r"], Regen()),
    (["ctrl+z"], Undo()),
    (["ctrl+l"], Clear()),
    (["ctrl+e", *" it", "enter"], Edit("Once upon a time it")),
    ([*"hello", "enter"], Say("hello")),
    (["enter"], Say("")),
    (["escape", "m"], Configure({"mode": "chat"})),
    (["i", *"/mode chat", "enter"], Configure({"mode": "chat"})),
    ([*"/set top_k 5", "enter"], Configure({"top_k": 5})),
    ([*"/set seed default", "enter"], Configure({"seed": None})),
    ([*"/set stop 'a', 'b'", "enter"], Configure({"stop": ("a", "b")})),
    ([*"/regen", "enter"], Regen()),
    ([*"/undo", "enter"], Undo()),
    ([*"/clear", "enter"], Clear()),
    ([*"/perf off", "enter"], Profile(False)),
    ([*"/edit", "enter", *"!", "enter"], Edit("Once upon a time!")),
    ([*" /no command", "enter"], Say(" /no command")),
]
NAMES = {" ": "space", "/": "slash", "!": "exclamation_mark", "'": "apostrophe", ",": "comma", "_": "underscore"}


def test_keys_ask_for() -> None:
    engine = RecordedEngine(loaded(), *answer())

    async def script(pilot: Pilot[int]) -> None:
        for keys, command in KEYS:
            await pilot.press(*(NAMES.get(key, key) for key in keys))
            await settle(pilot)
            assert engine.asked == [command]
            engine.asked.clear()
            engine.say(Turns((Turn("Once upon a time", " there"),)))
            await settle(pilot)

    drive(GgtuiApp(Live(), engine), script)


def test_every_command_of_the_repl_is_there() -> None:
    assert set(chat_commands.DO) == {command.names[0] for command in COMMANDS}


def test_commands_that_ask_nothing_of_the_engine() -> None:
    async def script(pilot: Pilot[int]) -> None:
        prompt = pilot.app.screen.query_one(Prompt)
        for line, told in (
            ("/save one", "Saved 1 turn: "),
            ("/save a/b", "name 'a/b'"),
            ("/load two", "no saved chat 'two'; saved: one"),
            ("/mode", "Mode complete: the model goes on"),
            ("/mode loud", "must be complete or chat"),
            ("/set temp", "temp = 0.9"),
            ("/set temp hot", "/set temp hot: must be a number"),
            ("/set tepm 1", "did you mean temp?"),
            ("/set ctx 5", "only at the start"),
            ("/set stop 'a", "a quote is missing"),
            ("/show mem", "F6 shows it"),
            ("/show me", "must be info or params"),
            ("/stats", "tok/s"),
            ("/perf", "F3 shows node times"),
            ("/trace x.svg", "F4 shows the graph"),
            ("/sav", "did you mean /save?"),
            ("/\x1b[2J", "/\\x1b[2J: no such command"),
        ):
            prompt.put(line)
            await pilot.press("enter")
            await settle(pilot)
            assert told in " ".join(text(pilot).split()), line
            assert prompt.text in ("", printable(line))
        for line, dialog in (("/set", Settings), ("/sessions", Sessions), ("/topk", Next)):
            prompt.put(line)
            await pilot.press("enter")
            await settle(pilot)
            assert isinstance(pilot.app.screen, dialog)
            await pilot.press("escape")
        prompt.put("/bye")
        await pilot.press("enter")
        await pilot.pause()
        assert not pilot.app.is_running or pilot.app._exit

    engine = RecordedEngine(loaded(), *answer())
    drive(GgtuiApp(Live(), engine), script)
    assert not [command for command in engine.asked if isinstance(command, Say)]


def test_help_opens() -> None:
    async def script(pilot: Pilot[int]) -> None:
        pilot.app.screen.query_one(Prompt).put("/help")
        await pilot.press("enter")
        await settle(pilot)
        assert not isinstance(pilot.app.screen, ChatScreen)
        assert "another answer" in text(pilot)

    drive(GgtuiApp(Live(), RecordedEngine(loaded())), script)


def test_a_command_that_fails_stays_to_be_corrected() -> None:
    async def script(pilot: Pilot[int]) -> None:
        prompt = pilot.app.screen.query_one(Prompt)
        prompt.put("/usr/share\nis a folder")
        await pilot.press("enter")
        await settle(pilot)
        assert "needs a space before it" in text(pilot) and prompt.text == "/usr/share\nis a folder"

    drive(GgtuiApp(Live(), RecordedEngine(loaded())), script)


def test_the_palette_has_the_keys_of_the_screen() -> None:
    engine = RecordedEngine(loaded(), *answer())

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("ctrl+p", *"forget")
        await pilot.pause(0.5)
        assert "Forget everything said so far" in text(pilot)
        await pilot.press("enter")
        await pilot.pause(0.2)
        await pilot.press("enter")
        await pilot.pause(0.2)

    drive(GgtuiApp(Live(), engine), script)
    assert engine.asked[0] == Clear()


def test_copy_is_of_the_last_answer() -> None:
    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("ctrl+y")
        await settle(pilot)
        assert pilot.app.clipboard.startswith("there lived a king")
        assert "Copied the last answer, " in text(pilot)

    drive(GgtuiApp(Live(), RecordedEngine(loaded(), *answer())), script)


def test_what_is_copied_cannot_act_on_a_terminal() -> None:
    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("ctrl+y")
        assert pilot.app.clipboard == "a\\x1b[2Jb"

    drive(GgtuiApp(Live(), RecordedEngine(loaded(), Turns((Turn("", " a\x1b[2Jb"),)))), script)


def test_ctrl_c_copies_from_the_prompt_and_stops() -> None:
    engine = RecordedEngine(loaded())

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press(*"word", "shift+left", "shift+left", "ctrl+c")
        assert (pilot.app.clipboard, engine.asked) == ("rd", [])
        engine.say(Began("Once", "complete"))
        await settle(pilot)
        await pilot.press("ctrl+c")
        assert engine.asked == [Stop()]

    drive(GgtuiApp(Live(), engine), script)


def test_ctrl_z_takes_back_what_was_typed_first() -> None:
    engine = RecordedEngine(loaded(), *answer())

    async def script(pilot: Pilot[int]) -> None:
        prompt = pilot.app.screen.query_one(Prompt)
        await pilot.press(*"ab", "ctrl+z")
        assert prompt.text == "" and not engine.asked
        await pilot.press("ctrl+z")

    drive(GgtuiApp(Live(), engine), script)
    assert engine.asked == [Undo()]


def test_editing_can_be_left() -> None:
    engine = RecordedEngine(loaded(), *answer())

    async def script(pilot: Pilot[int]) -> None:
        prompt = pilot.app.screen.query_one(Prompt)
        await pilot.press(*"draft", "ctrl+e")
        await settle(pilot)
        assert prompt.text == "Once upon a time" and "e> Once" in text(pilot)
        await pilot.press("escape")
        await settle(pilot)
        assert prompt.text == "draft" and prompt.has_focus and " > draft" in text(pilot)

    drive(GgtuiApp(Live(), engine), script)
    assert not engine.asked


def test_clearing_ends_an_answer_first() -> None:
    engine = RecordedEngine(loaded(), Began("Once", "complete"))

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("ctrl+l")

    drive(GgtuiApp(Live(), engine), script)
    assert engine.asked == [Stop(), Clear()]


def test_keys_that_need_a_turn_say_so() -> None:
    engine = RecordedEngine(loaded())

    async def script(pilot: Pilot[int]) -> None:
        for key in ("ctrl+r", "ctrl+e", "ctrl+y", "a"):
            await pilot.press("escape", key)
            await settle(pilot)
            assert "Nothing was said yet." in text(pilot)
            pilot.app.screen.tell("")
        await pilot.press("ctrl+z")
        await settle(pilot)
        assert "There is nothing to take back yet." in text(pilot)
        engine.say(Began("Once", "complete"))
        await settle(pilot)
        for key in ("ctrl+r", "ctrl+e", "a"):
            await pilot.press(key)
            await settle(pilot)
            assert "The model is still writing" in text(pilot)
            pilot.app.screen.tell("")

    drive(GgtuiApp(Live(), engine), script)
    assert not engine.asked


def test_keys_open_the_dialogs() -> None:
    async def script(pilot: Pilot[int]) -> None:
        for keys, dialog in ((["ctrl+s"], Settings), (["ctrl+o"], Sessions), (["escape", "a"], Next)):
            await pilot.press(*keys)
            await settle(pilot)
            assert isinstance(pilot.app.screen, dialog)
            await pilot.press("escape")
            assert isinstance(pilot.app.screen, ChatScreen)
        assert not pilot.app.screen.query_one(Prompt).has_focus

    drive(GgtuiApp(Live(), RecordedEngine(loaded(), *answer())), script)


def test_the_empty_prompt_sends_nothing_in_chat_mode() -> None:
    engine = RecordedEngine(loaded(), Configured({"mode": "chat"}))

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("enter", "space", "enter")

    drive(GgtuiApp(Live(), engine), script)
    assert not engine.asked


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
        engine.say(loaded(), Turns((Turn("Once", " there"),)))
        await settle(pilot)
        assert prompt.has_focus and "The engine stopped" not in text(pilot)
        await pilot.press("enter")

    drive(GgtuiApp(Live(), engine), script)
    assert engine.asked[-1] == Say("kept")
    assert any(isinstance(command, Restore) for command in engine.asked)


def test_the_same_error_is_told_again() -> None:
    engine = RecordedEngine(loaded())

    async def script(pilot: Pilot[int]) -> None:
        for _ in range(2):
            engine.say(Began("Once", "complete"), Ended("failed", None), Turns(()), Failed("the context is full"))
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

    turns = Turns((Turn(evil, f" {evil}"),))
    drive(GgtuiApp(Live(), RecordedEngine(made, turns)), script)


@pytest.mark.parametrize("size", SIZES[:2])
def test_ascii_alone_where_that_is_asked_for(size: tuple[int, int]) -> None:
    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("escape", "p")
        for key in ("i", "ctrl+s", "ctrl+o", "a"):
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
