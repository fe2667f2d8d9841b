"""The Chat screen: every key of it."""

from __future__ import annotations

from typing import Any

from recorded import RecordedEngine, answer, drive, lines, loaded, settle
from textual.pilot import Pilot

from ggtui.chat import saved
from ggtui.chat.conversation import Turn
from ggtui.chat.tree import Tree
from ggtui.viz.live import Live
from ggtui.viz.messages import (
    Began,
    Branch,
    Clear,
    Command,
    Configure,
    Configured,
    Edit,
    Profile,
    Redo,
    Regen,
    Say,
    Stop,
    Turns,
    Undo,
)
from ggtui.viz.text import printable
from ggtui.viz.tui.app import GgtuiApp
from ggtui.viz.tui.dialogs.alternatives import Next
from ggtui.viz.tui.dialogs.models import Models
from ggtui.viz.tui.dialogs.sessions import Sessions
from ggtui.viz.tui.dialogs.settings import Settings
from ggtui.viz.tui.dialogs.sure import Sure
from ggtui.viz.tui.screens.chat import ChatScreen
from ggtui.viz.tui.widgets.prompt import Prompt


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
    ([*"/speed 5", "enter"], Configure({"speed": 5.0})),
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
            engine.say(Turns(Tree((Turn("Once upon a time", " there"),))))
            await settle(pilot)

    drive(GgtuiApp(Live(), engine), script)


def test_a_history_that_cannot_be_kept_is_told_once(full_disk: Any) -> None:
    engine = RecordedEngine(loaded(), *answer())

    async def script(pilot: Pilot[int]) -> None:
        screen = pilot.app.screen
        assert isinstance(screen, ChatScreen)
        for keys, told in (("one", True), ("/two", False)):
            screen.tell("")
            await pilot.press(*(NAMES.get(key, key) for key in keys), "enter")
            await settle(pilot)
            assert ("no history is kept" in text(pilot)) == told
        assert engine.asked == [Say("one")] and "/two" in text(pilot), "both were done"

    with full_disk(0):
        drive(GgtuiApp(Live(), engine), script)


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
            ("/set batch 5", "only at the start"),
            ("/set ctx", "ctx = automatic"),
            ("/set stop 'a", "a quote is missing"),
            ("/show mem", "F6 shows it"),
            ("/show me", "must be info or params"),
            ("/stats", "tok/s"),
            ("/prev", "there is no other answer to go to"),
            ("/redo", "there is nothing to bring back"),
            ("/speed", "speed = 0"),
            ("/perf", "F3 shows node times"),
            ("/perf sideways", "must be on, off, top or save"),
            ("/topk many", "must be a whole number, 1 to 100"),
            ("/trace x.svg", "F4 shows the graph"),
            ("/sav", "did you mean /save?"),
            ("/\x1b[2J", "/\\x1b[2J: no such command"),
        ):
            prompt.put(line)
            await pilot.press("enter")
            await settle(pilot)
            assert told in " ".join(text(pilot).split()), line
            assert prompt.text in ("", printable(line))
        for line, dialog in (("/set", Settings), ("/sessions", Sessions), ("/topk", Next), ("/model", Models)):
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


def said(*prompts: str) -> Tree[Turn]:
    return Tree(Turn(prompt, f" {prompt.upper()}") for prompt in prompts)


def test_keys_and_commands_go_between_answers() -> None:
    """With two answers to the second prompt, and something taken back."""
    tree = said("one", "two", "three")
    tree.undo()
    tree.undo()
    tree.add(Turn("other", " OTHER"))
    tree.branch(1)
    tree.undo()
    engine = RecordedEngine(loaded(), Turns(tree))

    async def script(pilot: Pilot[int]) -> None:
        assert "1/2  alt+left, alt+right: the others" in text(pilot)
        for keys, command in (
            (["alt+right"], Branch(1)),
            (["alt+left"], Branch(-1)),
            (["alt+down"], Redo()),
            ([*"/next", "enter"], Branch(1)),
            ([*"/prev", "enter"], Branch(-1)),
            ([*"/redo", "enter"], Redo()),
        ):
            await pilot.press(*(NAMES.get(key, key) for key in keys))
            await settle(pilot)
            assert engine.asked == [command]
            engine.asked.clear()
        engine.say(Began("one", "complete", replaces=True))
        await settle(pilot)
        await pilot.press("alt+left")
        assert engine.asked == [Stop(), Branch(-1)], "an answer under way ends first"

    drive(GgtuiApp(Live(), engine), script)


def test_what_clear_forgot_comes_back_by_undo() -> None:
    engine = RecordedEngine(loaded(), *answer())

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("ctrl+l")
        engine.say(Turns(Tree(), 0, replaced=True))
        await settle(pilot)
        assert "Everything said so far is forgotten; ^Z brings it back." in text(pilot)
        await pilot.press("ctrl+z")
        assert engine.asked == [Clear(), Undo()]
        await settle(pilot)
        assert "Brought back what was said before." in text(pilot)

    drive(GgtuiApp(Live(), engine), script)


def test_saving_over_another_chat_is_asked_about() -> None:
    saved.save("other", said("one"), "tales")
    engine = RecordedEngine(loaded(), *answer())

    async def send(pilot: Pilot[int], line: str) -> None:
        pilot.app.screen.query_one(Prompt).put(line)
        await pilot.press("enter")
        await settle(pilot)

    async def script(pilot: Pilot[int]) -> None:
        for key in ("escape", "n"):
            await send(pilot, "/save other")
            assert isinstance(pilot.app.screen, Sure) and "called other is there already" in text(pilot)
            await pilot.press(key)
            assert isinstance(pilot.app.screen, ChatScreen) and saved.load("other").path[0].prompt == "one"
        for key in ("enter", "y"):
            await send(pilot, "/save other")
            await pilot.press(key)
            await settle(pilot)
            assert "Saved 1 turn" in text(pilot) and saved.load("other").path[0].prompt == "Once upon a time"
            await send(pilot, "/save other")
            assert isinstance(pilot.app.screen, ChatScreen), "its own name is not asked about"
            saved.save("other", said("one"), "tales")
            await send(pilot, "/clear")
        await send(pilot, "/load other")
        assert "Loaded 1 turn." in text(pilot)
        await send(pilot, "/save other")
        assert isinstance(pilot.app.screen, ChatScreen), "nor the name it was loaded from"
        engine.say(Turns(said("two"), replaced=True))
        await settle(pilot)
        await pilot.press("ctrl+z")
        await send(pilot, "/save other")
        assert isinstance(pilot.app.screen, Sure), "what was there before has no name"

    drive(GgtuiApp(Live(), engine), script)


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

    drive(GgtuiApp(Live(), RecordedEngine(loaded(), Turns(Tree((Turn("", " a\x1b[2Jb"),))))), script)


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
        for keys, dialog in ((["ctrl+s"], Settings), (["ctrl+g"], Sessions), (["escape", "a"], Next)):
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
