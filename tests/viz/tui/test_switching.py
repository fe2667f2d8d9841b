"""Another model, or other threads, for the chat under way: what the engine is asked, and what the screen says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from recorded import RecordedEngine, answer, drive, lines, loaded, settle
from textual.pilot import Pilot
from textual.widgets import Input

from ggtui.chat.conversation import Turn
from ggtui.chat.tree import Tree
from ggtui.core.engine.model import BUILT_IN
from ggtui.core.errors import GgtuiError
from ggtui.viz.live import Live
from ggtui.viz.messages import Configure, Event, Failed, Gone, Restore, Say, Turns
from ggtui.viz.tui import app as the_app
from ggtui.viz.tui.app import GgtuiApp
from ggtui.viz.tui.dialogs.models import Models


def other() -> Event:
    """Another model is there."""
    return replace(loaded(), path="other.gguf", started={"threads": 3})


def restored(engine: RecordedEngine) -> Turns:
    """The answer to Restore."""
    asked = engine.asked[-1]
    assert isinstance(asked, Restore)
    return Turns(asked.tree.map(lambda turn: turn), 0, False)


def app_with_a_chat() -> tuple[GgtuiApp, RecordedEngine]:
    engine = RecordedEngine(loaded(), *answer("Once", 12))
    return GgtuiApp(Live(), engine), engine


def test_another_model_gets_the_chat_without_its_tokens() -> None:
    app, engine = app_with_a_chat()

    async def script(pilot: Pilot[int]) -> None:
        engine.settings["template"] = "chatml"
        await pilot.press(*f"/model {BUILT_IN}", "enter")
        await settle(pilot)
        assert (
            engine.settings["model"] == str(BUILT_IN)
            and engine.settings["template"] is None
            and app.live.state == "loading"
        )
        configured = engine.asked[-2]
        assert isinstance(configured, Configure) and "mode" not in configured.values
        (turn,) = restored(engine).tree.path
        assert (turn.prompt, turn.ids, turn.sampled) == ("Once", [], []) and turn.text
        engine.say(other(), restored(engine))
        await settle(pilot)
        (spoken,) = app.live.chat
        assert spoken.turn.prompt == "Once" and not spoken.steps and app.live.state == "idle"
        assert not app.live.growth and app.live.tokens_per_s == 0

    drive(app, script)


def test_a_name_that_no_model_has_changes_nothing() -> None:
    app, engine = app_with_a_chat()

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press(*"/model nonsense", "enter")
        await settle(pilot)
        assert engine.restarts == 0 and "no model has that name" in "\n".join(lines(app))
        await pilot.press(*["backspace"] * 20, *"/model built-in", "enter")
        await settle(pilot)
        assert engine.restarts == 1 and engine.settings["model"] == "built-in"

    drive(app, script)


def test_a_model_that_was_killed_while_it_loaded_gets_the_chat_as_text() -> None:
    app, engine = app_with_a_chat()

    async def script(pilot: Pilot[int]) -> None:
        engine.say(Gone("the engine was killed"))
        await settle(pilot)
        app.load_anew({"model": "other"})
        engine.say(Gone("the engine was killed", loading=True))
        await settle(pilot)
        assert app.live.state == "gone" and app.is_running
        app.action_restart_engine()
        assert engine.restarts == 2 and engine.settings["model"] == "other"
        assert not restored(engine).tree.path[0].ids

    drive(app, script)


def test_what_is_chosen_while_the_first_model_loads_may_fail() -> None:
    engine = RecordedEngine()
    app = GgtuiApp(Live(), engine)

    async def script(pilot: Pilot[int]) -> None:
        app.load_anew({"model": "other"})
        engine.say(Gone("other.gguf: does not exist", loading=True, exit_code=4))
        await settle(pilot)
        assert isinstance(app.screen, Models) and "does not exist" in "\n".join(lines(app))

    drive(app, script)


def test_other_threads_keep_the_tokens() -> None:
    app, engine = app_with_a_chat()

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("ctrl+s")
        field = pilot.app.screen.query_one("#threads", Input)
        field.focus()
        field.value = "3"
        await pilot.press("enter", "down")
        await settle(pilot)
        assert engine.settings["threads"] == 3 and engine.restarts == 1
        assert restored(engine).tree.path[0].ids
        engine.say(replace(loaded(), started={"threads": 3}), restored(engine))
        await settle(pilot)
        assert len(app.live.chat[0].steps) == 12
        await pilot.press("enter", "escape")  # left as it is
        await settle(pilot)
        assert engine.restarts == 1

    drive(app, script)


@pytest.mark.parametrize("bad", [Gone("other.gguf: is cut off", loading=True), Failed("chat template: refuses that")])
def test_where_it_fails_all_is_as_it_was(bad: Event) -> None:
    app, engine = app_with_a_chat()

    async def script(pilot: Pilot[int]) -> None:
        before: dict[str, Any] = dict(engine.settings)
        app.load_anew({"model": "other", "ctx": 64})
        if isinstance(bad, Failed):
            engine.say(other())
        engine.say(bad)
        await settle(pilot)
        assert engine.restarts == 2 and engine.settings == before
        (turn,) = restored(engine).tree.path
        assert turn.prompt == "Once" and turn.ids
        configured = engine.asked[-2]
        assert isinstance(configured, Configure) and configured.values["mode"] == "complete"
        engine.say(loaded(), restored(engine))
        await settle(pilot)
        text = "\n".join(lines(app))
        assert "back to the model there was" in text and bad.message in text and app.live.state == "idle"
        engine.say(Gone("the engine was killed"))  # later, and for another reason
        await settle(pilot)
        assert engine.restarts == 2 and app.live.state == "gone"

    drive(app, script)


def test_changes_while_a_model_loads_add_up() -> None:
    app, engine = app_with_a_chat()

    async def script(pilot: Pilot[int]) -> None:
        before: dict[str, Any] = dict(engine.settings)
        app.load_anew({"model": "other"})
        app.ask(Say("And then?"))
        app.load_anew({"threads": 2})
        *_, configured, restored_, said = engine.asked
        assert engine.settings == before | {"model": "other", "threads": 2}
        assert isinstance(configured, Configure) and "mode" not in configured.values
        assert isinstance(restored_, Restore) and not restored_.tree.path[0].ids and said == Say("And then?")
        engine.say(Gone("other.gguf: is cut off", loading=True))
        await settle(pilot)
        *_, restored_, said = engine.asked
        assert engine.settings == before and isinstance(restored_, Restore) and restored_.tree.path[0].ids
        assert said == Say("And then?")  # nothing that was typed is lost
        engine.say(loaded(), Turns(restored_.tree.map(lambda turn: turn), 0, False))
        await settle(pilot)
        app.load_anew({"threads": 1})
        assert not isinstance(engine.asked[-1], Say)

    drive(app, script)


def test_an_unknown_name_at_the_start_opens_the_list() -> None:
    engine = RecordedEngine(Gone("smolm: no model has that name", loading=True, exit_code=4, unknown=True))
    app = GgtuiApp(Live(), engine)

    async def script(pilot: Pilot[int]) -> None:
        assert isinstance(app.screen, Models) and "no model has that name" in "\n".join(lines(app))
        app.screen._choose(None)
        assert engine.settings["model"] is None
        engine.say(Gone("tales.gguf: is cut off", loading=True, exit_code=4))
        await settle(pilot)
        assert app.is_running and "is cut off" in "\n".join(lines(app))  # to choose again
        app.screen._choose("other")
        assert app.failed is None  # who leaves while it loads has done nothing wrong
        app.screen.dismiss()
        engine.say(other(), Turns(Tree[Turn](), 0, False))
        await settle(pilot)
        assert app.live.state == "idle" and app.failed is None
        app.exit()

    drive(app, script)
    assert app.return_code == 0


def test_who_chooses_none_leaves_with_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = RecordedEngine(Gone("smolm: no model has that name", loading=True, exit_code=4, unknown=True))
    app = GgtuiApp(Live(), engine)

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press("escape")
        await settle(pilot)

    drive(app, script)
    assert app.return_code == 4
    monkeypatch.setattr(app, "run", lambda **_: None)
    monkeypatch.setattr(the_app, "GgtuiApp", lambda *_, **__: app)
    with pytest.raises(GgtuiError, match="no model has that name") as raised:
        the_app.run(engine, Live())
    assert raised.value.exit_code == 4
