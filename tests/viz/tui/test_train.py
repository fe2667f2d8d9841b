"""The Train screen: its looks over one frozen log, every key over a training that is made up, and its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from made_up_training import MEMORY, RUN, MadeUpTraining, until
from recorded import SIZES, check_snapshot, lines
from textual.pilot import Pilot
from textual.screen import Screen

from ggtui.core.errors import UsageError
from ggtui.core.training.events import Ended, Event, Measured, Saved, Stepped
from ggtui.core.training.log import read_log
from ggtui.viz.interrupt import Terminated
from ggtui.viz.training_thread import News, SavedLog, Source, Told, TrainingThread
from ggtui.viz.tui import train_app
from ggtui.viz.tui.palette import ScreenKeys
from ggtui.viz.tui.screens import train
from ggtui.viz.tui.train_app import TrainApp

LOG = Path(__file__).parents[2] / "data" / "tales-training.jsonl"
QUESTION = "Save after the step under way, and end? q or Ctrl+C again: yes. Esc: no."
Script = Callable[[Pilot[int], TrainApp], Awaitable[None]]


def drive(source: Source, script: Script, size: tuple[int, int] = (80, 24), *, ascii_only: bool = False) -> TrainApp:
    app = TrainApp(source, ascii_only=ascii_only)
    app.animation_level = "none"

    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            await settled(pilot, app)
            await script(pilot, app)

    asyncio.run(run())
    return app


async def settled(pilot: Pilot[int], app: TrainApp) -> list[str]:
    """What the screen shows when nothing changes any more."""
    before: list[str] = []
    for _ in range(50):
        app.refresh_now()
        await pilot.pause()
        shown = lines(cast(Any, app))
        if shown == before and shown[0].strip() and shown[-1].strip():
            return shown
        before = shown
    return before


async def pressed(pilot: Pilot[int], app: TrainApp, *keys: str) -> list[str]:
    await pilot.press(*keys)
    return await settled(pilot, app)


async def showing(pilot: Pilot[int], app: TrainApp, met: Callable[[str], bool]) -> str:
    """The status line as soon as it is such a one."""
    for _ in range(2000):
        status = (await settled(pilot, app))[-2]
        if met(status):
            return status
        await asyncio.sleep(0.002)
    raise AssertionError(status)


def under_way() -> list[Event]:
    """The events of the log without its end, which is told for a while."""
    return [e for e in read_log(LOG) if not isinstance(e, Saved | Ended)]


def log(n: int | None = None) -> SavedLog:
    return SavedLog(read_log(LOG)[:n])


class WithNodes(SavedLog):
    """As if it were under way, and its last step had been a run of the frozen trace, with the trainer's memory."""

    runs = True
    newest = replace(RUN, memory=MEMORY)


# ---- looks ----


@pytest.mark.parametrize("size", SIZES)
def test_looks(size: tuple[int, int]) -> None:
    async def script(pilot: Pilot[int], app: TrainApp) -> None:
        check_snapshot(cast(Any, app), f"train-{size[0]}x{size[1]}")

    drive(WithNodes(under_way()), script, size)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_looks_of_a_log(size: tuple[int, int]) -> None:
    async def script(pilot: Pilot[int], app: TrainApp) -> None:
        check_snapshot(cast(Any, app), f"train-log-{size[0]}x{size[1]}")

    drive(log(), script, size)


def test_looks_of_help() -> None:
    async def script(pilot: Pilot[int], app: TrainApp) -> None:
        await pressed(pilot, app, "question_mark")
        check_snapshot(cast(Any, app), "train-help")
        assert "Keys of train" not in "\n".join(await pressed(pilot, app, "escape"))
        assert "Keys of train" in "\n".join(await pressed(pilot, app, "f1"))

    drive(WithNodes(under_way()), script)


@pytest.mark.parametrize("size", SIZES)
def test_ascii(size: tuple[int, int]) -> None:
    async def script(pilot: Pilot[int], app: TrainApp) -> None:
        assert "\n".join(await settled(pilot, app)).isascii()

    said = [replace(e, sample="as it was") if isinstance(e, Measured) else e for e in read_log(LOG)]
    drive(WithNodes(said), script, size, ascii_only=True)


@pytest.mark.parametrize("size", [(60, 16), (81, 20), (99, 30), (100, 16), (300, 90)])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 50])
def test_every_size_and_every_beginning(size: tuple[int, int], n: int) -> None:
    async def script(pilot: Pilot[int], app: TrainApp) -> None:
        shown = await settled(pilot, app)
        assert len(shown) == size[1] and all(len(line) <= size[0] for line in shown)
        assert "loss" in shown[1] and shown[-1].startswith("space pause")

    drive(WithNodes(read_log(LOG)[:n]), script, size)


def test_resize() -> None:
    async def script(pilot: Pilot[int], app: TrainApp) -> None:
        for size in ((200, 60), (80, 24)):
            await pilot.resize_terminal(*size)
            await pilot.pause(0.05)
            await settled(pilot, app)
            check_snapshot(cast(Any, app), f"train-{size[0]}x{size[1]}")

    drive(WithNodes(under_way()), script, (120, 40))


def test_text_of_a_model_cannot_act_on_the_terminal() -> None:
    events: list[Event] = [
        Measured(0, 1.0, 10, "a\x1b[31mb\x07"),
        Stepped(1, 1.0, 1e-3, 1.0, 10, 10, {"\x1b]0;x": 1.0}),
    ]

    async def script(pilot: Pilot[int], app: TrainApp) -> None:
        shown = "\n".join(await settled(pilot, app))
        assert "\x1b" not in shown and "\x07" not in shown and r"a\x1b[31mb\x07" in shown

    drive(SavedLog(events), script)


# ---- keys ----


def test_scrolling_samples() -> None:
    async def script(pilot: Pilot[int], app: TrainApp) -> None:
        def heading(shown: list[str]) -> str:
            return next(line.split("samples ")[1] for line in shown if "samples " in line)

        assert heading(await settled(pilot, app)).startswith("1-")
        assert heading(await pressed(pilot, app, "down", "down")).startswith("3-")
        assert heading(await pressed(pilot, app, "up")).startswith("2-")
        last = heading(await pressed(pilot, app, "end"))
        assert last.split("-")[1].split()[0] == last.split(" of ")[1].split()[0]
        assert heading(await pressed(pilot, app, "home")).startswith("1-")
        page = heading(await pressed(pilot, app, "pagedown"))
        assert int(page.split("-")[0]) > 3 and heading(await pressed(pilot, app, "pageup")).startswith("1-")

    drive(log(), script)


async def palette(pilot: Pilot[int], app: TrainApp, screen: Screen[Any]) -> dict[str, str]:
    """What it offers of a screen's own, and the keys of that."""
    provider = ScreenKeys(screen)
    hits = [hit async for hit in provider.discover()]
    return {str(hit.text): str(hit.help) for hit in hits}


def test_a_log_offers_only_what_it_can() -> None:
    async def script(pilot: Pilot[int], app: TrainApp) -> None:
        before = await settled(pilot, app)
        assert before[-1] == "q leave ? help"
        assert not {"Save model and checkpoint after the step under way", "Halve the rate"} & set(
            await palette(pilot, app, app.front)
        )
        assert await pressed(pilot, app, "space", "minus", "plus", "s", "t", "escape") == before
        assert "halve" not in "\n".join(await pressed(pilot, app, "question_mark"))
        await pressed(pilot, app, "escape")
        await pilot.press("q")
        await pilot.pause()
        assert not app.is_running

    assert drive(log(), script).return_code == 0


def test_keys_of_a_training() -> None:
    training = MadeUpTraining()
    source = TrainingThread(cast(Any, training))

    def step() -> None:
        training.may.release()

    async def script(pilot: Pilot[int], app: TrainApp) -> None:
        until(lambda: training.under_way == 1)
        assert "training" in (await settled(pilot, app))[0]
        assert (await pressed(pilot, app, "minus"))[-2] == "Halving the rate after the step under way ..."
        step()
        assert "0.5 of the schedule's" in await showing(pilot, app, lambda s: s.startswith("The rate"))
        assert (await pressed(pilot, app, "plus"))[-2] == "Doubling the rate after the step under way ..."
        step()
        assert "1 of the schedule's" in await showing(pilot, app, lambda s: s.startswith("The rate"))
        assert training.asked == ["slow_down 0.5", "slow_down 2"]
        assert (await pressed(pilot, app, "s"))[-2] == "Saving after the step under way ..."
        step()
        assert await showing(pilot, app, lambda s: s.startswith("Saved")) == "Saved behind step 3: tales.gguf"
        assert (await pressed(pilot, app, "space"))[-2] == "Pausing after the step under way ..."
        step()
        assert await showing(pilot, app, lambda s: s.startswith("Paused")) == "Paused behind step 4."
        assert "paused" in (await settled(pilot, app))[0]
        await pressed(pilot, app, "space")
        assert await showing(pilot, app, lambda s: s.startswith("Going")) == "Going on."
        assert "blk.0" in "\n".join(await settled(pilot, app))
        assert (await pressed(pilot, app, "q"))[-2] == QUESTION
        assert "end" not in training.asked and "training" in lines(cast(Any, app))[0]
        await pilot.press("q")
        until(lambda: not source.runs)
        app.refresh_now()
        await pilot.pause()
        assert not app.is_running

    assert drive(source, script).return_code == 0
    assert training.asked[-1] == "end"


def test_the_question_can_be_taken_back() -> None:
    training = MadeUpTraining()
    source = TrainingThread(cast(Any, training))

    async def script(pilot: Pilot[int], app: TrainApp) -> None:
        until(lambda: training.under_way == 1)
        app.front.say("Something was done.")
        after = {"escape": "Something else was done.", "minus": "Halving the rate after the step under way ..."}
        for back, told in after.items():
            assert (await pressed(pilot, app, "q"))[-2] == QUESTION
            app.front.say("Something else was done.")
            assert (await settled(pilot, app))[-2] == QUESTION  # which still stands
            assert (await pressed(pilot, app, back))[-2] == told
        assert (await pressed(pilot, app, "q"))[-2] == QUESTION and not training._wants_end

    drive(source, script)
    source.close()


def test_the_question_stands_as_long_as_a_key_answers_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_app, "ASKED", 0.3)
    training = MadeUpTraining()
    source = TrainingThread(cast(Any, training))

    async def script(pilot: Pilot[int], app: TrainApp) -> None:
        until(lambda: training.under_way == 1)
        for _ in range(2):
            await pilot.press("q")
            assert app.front.asks and not app._wants_end
            assert await showing(pilot, app, lambda s: s != QUESTION) == ""
            assert not app.front.asks

    drive(source, script)
    source.close()


def test_news_are_told_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "PASSING", 0.3)
    news: list[News] = [*under_way(), Saved(120, "tales.gguf")]

    async def script(pilot: Pilot[int], app: TrainApp) -> None:
        assert await showing(pilot, app, lambda s: s != "Saved behind step 120: tales.gguf") == ""
        app.source._events.append(Told("could not be written", problem=True))  # type: ignore[attr-defined]
        assert await showing(pilot, app, bool) == "could not be written"
        await asyncio.sleep(0.5)
        assert (await settled(pilot, app))[-2] == "could not be written"

    drive(WithNodes(cast(Any, news)), script)


def test_what_a_training_offers_goes_with_its_end() -> None:
    training = MadeUpTraining(steps=1)
    source = TrainingThread(cast(Any, training))

    async def script(pilot: Pilot[int], app: TrainApp) -> None:
        assert (await settled(pilot, app))[-1].startswith("space pause") and "q stop" in (await settled(pilot, app))[-1]
        offered = await palette(pilot, app, app.front)
        assert offered["Double the rate"] == "+ ="
        training.may.release()
        until(lambda: not source.runs)
        assert (await settled(pilot, app))[-1] == "q leave ? help"
        assert "Double the rate" not in await palette(pilot, app, app.front)

    drive(source, script)


def test_trace(tmp_path: Path) -> None:
    training = MadeUpTraining(str(tmp_path / "t.gguf"))
    source = TrainingThread(cast(Any, training))

    async def script(pilot: Pilot[int], app: TrainApp) -> None:
        until(lambda: training.under_way == 1)
        assert (await pressed(pilot, app, "t"))[-2] == "Saving the times of the last steps ..."
        training.may.release()
        told = await showing(pilot, app, lambda s: s.startswith("Saved"))
        assert told.startswith("Saved the last 1 step: ggtui perf --open")
        assert (tmp_path / "t.gguf.step-1.json").exists()

    drive(source, script)
    source.close()


def test_what_cannot_be_done_is_told() -> None:
    training = MadeUpTraining()
    source = TrainingThread(cast(Any, training))

    async def script(pilot: Pilot[int], app: TrainApp) -> None:
        until(lambda: training.under_way == 1)
        await pressed(pilot, app, "minus", "minus", "minus")
        training.may.release()
        told = await showing(pilot, app, lambda s: s.startswith("rate"))
        assert told == "rate times 0.125: too far from what was asked for"

    drive(source, script)
    source.close()


def test_done_stays_until_the_person_leaves() -> None:
    training = MadeUpTraining(steps=1)
    source = TrainingThread(cast(Any, training))

    async def script(pilot: Pilot[int], app: TrainApp) -> None:
        training.may.release()
        until(lambda: not source.runs)
        assert (await settled(pilot, app))[-2] == "Done at step 1; q leaves." and app.is_running
        await pilot.press("ctrl+c")
        await pilot.pause()
        assert not app.is_running

    drive(source, script)


def test_ctrl_c_asks_then_ends_then_leaves_at_once() -> None:
    training = MadeUpTraining()
    training.end = lambda: training.asked.append("end")  # type: ignore[method-assign]  # the step takes long
    source = TrainingThread(cast(Any, training))

    async def script(pilot: Pilot[int], app: TrainApp) -> None:
        until(lambda: training.under_way == 1)
        assert (await pressed(pilot, app, "ctrl+c"))[-2] == QUESTION
        ending = "Ending after the step under way; Ctrl+C leaves at once, without saving."
        assert (await pressed(pilot, app, "ctrl+c"))[-2] == ending
        assert "ending" in lines(cast(Any, app))[0] and training.asked == ["end"]
        assert (await pressed(pilot, app, "q"))[-2] == ending and training.asked == ["end"]
        await pilot.press("ctrl+c")
        await pilot.pause()
        assert not app.is_running

    assert drive(source, script).at_once == 2
    training._wants_end = True
    training.may.release()
    source.close()


# ---- how it ends ----


def test_an_error_is_raised_when_the_screen_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(app: TrainApp, **_: Any) -> None:
        until(lambda: not app.source.runs)
        asyncio.run(headless(app))

    async def headless(app: TrainApp) -> None:
        async with app.run_test() as pilot:
            app.refresh_now()
            await pilot.pause()

    monkeypatch.setattr(TrainApp, "run", run)
    training = MadeUpTraining(fails=1)
    training.may.release()
    with pytest.raises(UsageError, match="step 1: the loss is nan"):
        train_app.run(TrainingThread(cast(Any, training)))


def test_a_screen_that_goes_lets_the_training_save_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrainApp, "run", lambda app, **_: None)
    training = MadeUpTraining()
    source = TrainingThread(cast(Any, training))
    assert train_app.run(source) == 0
    assert training.asked == ["end"] and not source.runs


@pytest.mark.parametrize(("number", "error"), [(2, KeyboardInterrupt), (15, Terminated)])
def test_left_at_once(monkeypatch: pytest.MonkeyPatch, number: int, error: type[BaseException]) -> None:
    monkeypatch.setattr(TrainApp, "run", lambda app, **_: setattr(app, "at_once", number))
    training = MadeUpTraining()
    source = TrainingThread(cast(Any, training))
    with pytest.raises(error):
        train_app.run(source)
    assert training.trainer.stopped and not training.asked
    source.close()
