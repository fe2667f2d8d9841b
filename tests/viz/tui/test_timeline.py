"""The Timeline screen: every key, its looks, a run under way, a saved one and none."""

from __future__ import annotations

import pytest
from recorded import (
    SIZES,
    RecordedEngine,
    answer,
    batch,
    check_snapshot,
    drive,
    evaluation,
    lines,
    loaded,
    pressed,
    settle,
    starting,
    trace,
)
from textual.pilot import Pilot

from ggtui.viz.live import Live
from ggtui.viz.messages import Batch
from ggtui.viz.tui.app import GgtuiApp
from ggtui.viz.tui.screens.timeline import Heights, TimelineScreen, heights

NOTHING = "  Nothing has run yet: 1 opens the chat."


def app_of(engine: RecordedEngine | None = None, **options: bool) -> GgtuiApp:
    return GgtuiApp(Live(), engine or RecordedEngine(loaded(), *answer(n=40)), **options)


def shown(pilot: Pilot[int]) -> list[str]:
    assert isinstance(pilot.app, GgtuiApp)
    return lines(pilot.app)


@pytest.mark.parametrize("size", SIZES)
def test_looks(size: tuple[int, int]) -> None:
    async def script(pilot: Pilot[int]) -> None:
        await pressed(pilot, "f5")
        check_snapshot(pilot.app, f"timeline-{size[0]}x{size[1]}")  # type: ignore[arg-type]

    drive(app_of(), script, size)


def test_looks_at_a_wait() -> None:
    async def script(pilot: Pilot[int]) -> None:
        await pressed(pilot, "f5", "w", *["plus"] * 5, "n")
        check_snapshot(pilot.app, "timeline-wait-120x40")  # type: ignore[arg-type]

    drive(app_of(), script, (120, 40))


def test_ascii() -> None:
    async def script(pilot: Pilot[int]) -> None:
        for keys in (("f5",), ("w", "plus", "plus")):
            assert all(line.isascii() for line in await pressed(pilot, *keys))

    drive(app_of(ascii_only=True), script, (120, 40))


def test_before_anything_ran() -> None:
    async def script(pilot: Pilot[int]) -> None:
        assert NOTHING in await pressed(pilot, "f5")
        assert NOTHING in await pressed(
            pilot, "plus", "left", "pageup", "left_square_bracket", "n", "w", "f", "0", "up"
        )

    drive(app_of(RecordedEngine(loaded())), script)


def test_zoom_about_the_cursor_and_the_whole() -> None:
    async def script(pilot: Pilot[int]) -> None:
        screen = await pressed(pilot, "f5", "left_square_bracket", "left_square_bracket", "left_square_bracket")
        mark = starting(screen, "         ").index("^")
        assert "evaluations 32-39 of 39 kept, 6.55 ms, a cell 90.9 us" in screen[1]
        screen = await pressed(pilot, "plus")
        assert ", 3.27 ms, a cell 45.5 us" in screen[1]
        assert next(line for line in screen if line.strip() == "^").index("^") == mark
        assert ", 6.55 ms, " in (await pressed(pilot, "minus"))[1]
        assert ", 3.27 ms, " in (await pressed(pilot, "equals_sign"))[1]
        assert "evaluations 1-39 of 39 kept, 36.6 ms" in (await pressed(pilot, "0"))[1]

    drive(app_of(), script)


def test_moving_the_cursor() -> None:
    async def script(pilot: Pilot[int]) -> None:
        assert (await pressed(pilot, "f5"))[1].startswith("FOLLOW")
        screen = await pressed(pilot, "home")
        assert screen[1].startswith("HELD    evaluations 1-")
        assert "t0 wakes up: 200 ns" in screen
        screen = await pressed(pilot, "right")
        assert any(line.startswith("t0 blk.0.") for line in screen)
        assert "t0 wakes up: 200 ns" in await pressed(pilot, "left", "left")
        first = (await pressed(pilot, "pagedown"))[1]
        assert "evaluations 1-" not in first
        assert (await pressed(pilot, "shift+right", "shift+left"))[1] == first
        assert "evaluations 1-" in (await pressed(pilot, "pageup"))[1]
        screen = await pressed(pilot, "end")
        assert "-39 of 39 kept" in screen[1]
        assert "t0 chooses the next token" in screen

    drive(app_of(), script)


def test_from_token_to_token_and_to_the_slowest() -> None:
    async def script(pilot: Pilot[int]) -> None:
        screen = await pressed(pilot, "f5", "home", "right_square_bracket", "right_square_bracket")
        assert starting(screen, "n_past 6: evaluation 1.59 ms")
        assert starting(await pressed(pilot, "left_square_bracket"), "n_past 5: evaluation")
        assert starting(await pressed(pilot, "right", "left_square_bracket"), "n_past 5: evaluation")
        screen = await pressed(pilot, "w")
        slowest = max(range(4, 43), key=lambda n: evaluation(n).eval_ns)
        assert starting(screen, f"n_past {slowest}: evaluation")

    drive(app_of(), script)


def test_from_wait_to_wait() -> None:
    async def script(pilot: Pilot[int]) -> None:
        told = [starting(await pressed(pilot, *keys), "t0 waits") for keys in (("f5", "home", "n"), ("n",), ("N",))]
        assert told[0] == "t0 waits 3.40 us after blk.0.ffn_up mul_mat, which took 29.7 us"
        assert "after blk.1.ffn_up" in told[1]
        assert told[2] == told[0]
        before = shown(pilot)
        await pressed(pilot, "N")
        assert starting(before, "n_past") == starting(shown(pilot), "n_past")

    drive(app_of(), script)


def test_threads() -> None:
    async def script(pilot: Pilot[int]) -> None:
        assert starting(await pressed(pilot, "f5", "home"), "> t0")
        screen = await pressed(pilot, "down", "down")
        assert starting(screen, "> t1")
        assert "t1 wakes up: 900 ns" in screen
        assert starting(await pressed(pilot, "up", "up"), "> t0")

    drive(app_of(), script)


def test_follows_until_someone_looks_back() -> None:
    engine = RecordedEngine(loaded(), *answer(n=40))

    async def script(pilot: Pilot[int]) -> None:
        await pressed(pilot, "f5")
        engine.say(batch(40, 5, 43))
        await settle(pilot)
        screen = shown(pilot)
        assert "evaluations 37-44 of 44 kept" in screen[1]
        assert starting(screen, "n_past 47: evaluation")
        held = (await pressed(pilot, "pageup"))[1:9]
        assert held[0].startswith("HELD ")
        engine.say(batch(45, 5, 48))
        await settle(pilot)
        assert [line.replace(" 44 kept", " 49 kept") for line in held] == shown(pilot)[1:9]
        screen = await pressed(pilot, "f")
        assert screen[1].startswith("FOLLOW  evaluations 42-49 of 49")

    drive(app_of(engine), script)


def test_what_is_held_stays_while_older_evaluations_are_dropped() -> None:
    engine = RecordedEngine(loaded(), *answer(n=40))

    async def script(pilot: Pilot[int]) -> None:
        app = pilot.app
        assert isinstance(app, GgtuiApp)
        app.live.evaluations = type(app.live.evaluations)(app.live.evaluations, maxlen=42)
        held = (await pressed(pilot, "f5", "w", "end"))[3:9]
        engine.say(batch(40, 5, 43))
        await settle(pilot)
        assert len(app.live.evaluations) == 42
        assert shown(pilot)[4:9] == held[1:]

    drive(app_of(engine), script)


def test_gaps_are_shown() -> None:
    engine = RecordedEngine(loaded(), *answer(n=20))

    async def script(pilot: Pilot[int]) -> None:
        await pressed(pilot, "f5")
        engine.say(Batch(evaluations=(evaluation(30), evaluation(31))))
        await settle(pilot)
        screen = shown(pilot)
        assert "7 ///" in starting(screen, "> t0")
        assert "/ not kept" in starting(screen, "M mul_mat")

    drive(app_of(engine), script)


def test_a_saved_run() -> None:
    async def script(pilot: Pilot[int]) -> None:
        screen = await pressed(pilot, "f5")
        assert screen[1].startswith("SAVED   evaluations 1-")
        screen = await pressed(pilot, "f")
        assert starting(screen, "n_past 42: evaluation")
        assert screen[1].startswith("SAVED ")

    drive(GgtuiApp(Live.of(trace())), script)


def test_resize() -> None:
    async def script(pilot: Pilot[int]) -> None:
        await pressed(pilot, "f5")
        for size in ((60, 16), (200, 60), (80, 24)):
            await pilot.resize_terminal(*size)
            await settle(pilot)
            await pilot.pause(0.05)
            screen = shown(pilot)
            assert screen[1].startswith("FOLLOW  evaluations 32-39")
            assert max(map(len, screen)) <= size[0]
            assert len(starting(screen, "> t0")) == size[0]

    drive(app_of(), script)


@pytest.mark.parametrize(
    ("room", "n_threads", "shared"),
    [
        (7, 2, Heights(3, 1, 2, False, 0)),
        (8, 2, Heights(2, 0, 2, True, 0)),
        (14, 2, Heights(2, 0, 2, True, 3)),
        (50, 2, Heights(6, 1, 2, True, 10)),
        (14, 8, Heights(1, 0, 8, False, 0)),
        (14, 64, Heights(1, 0, 14, False, 0)),
        (0, 2, Heights(1, 0, 1, False, 0)),
    ],
)
def test_heights(room: int, n_threads: int, shared: Heights) -> None:
    assert heights(room, n_threads) == shared


def test_every_key_has_a_word() -> None:
    assert all(binding.description for binding in TimelineScreen.BINDINGS)  # type: ignore[union-attr]
