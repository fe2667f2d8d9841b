"""The Memory screen: every key, its looks, a run under way, a saved one and none."""

from __future__ import annotations

import pytest
from recorded import (
    SIZES,
    RecordedEngine,
    answer,
    batch,
    check_snapshot,
    drive,
    loaded,
    pressed,
    settle,
    starting,
    trace,
)
from textual.pilot import Pilot

from ggtui.viz.live import Live
from ggtui.viz.tui.app import GgtuiApp
from ggtui.viz.tui.screens.memory import Heights, heights


def app_of(engine: RecordedEngine | None = None, **options: bool) -> GgtuiApp:
    return GgtuiApp(Live(), engine or RecordedEngine(loaded(), *answer(n=20), batch(20, 20, 23)), **options)


@pytest.mark.parametrize("size", SIZES)
def test_looks(size: tuple[int, int]) -> None:
    async def script(pilot: Pilot[int]) -> None:
        await pressed(pilot, "f6")
        check_snapshot(pilot.app, f"memory-{size[0]}x{size[1]}")  # type: ignore[arg-type]

    drive(app_of(), script, size)


def test_looks_of_a_saved_run() -> None:
    async def script(pilot: Pilot[int]) -> None:
        screen = await pressed(pilot, "f6")
        assert starting(screen, "process (RSS)").split() == ["process", "(RSS)", "not", "recorded"]
        assert "Of a saved run only the types are known." in screen
        await pressed(pilot, "t")
        assert any("Layers and tensors are told by the model file" in n.message for n in pilot.app._notifications)
        pilot.app.clear_notifications()
        await settle(pilot)
        check_snapshot(pilot.app, "memory-saved-80x24")  # type: ignore[arg-type]

    drive(GgtuiApp(Live.of(trace())), script)


def test_ascii() -> None:
    async def script(pilot: Pilot[int]) -> None:
        for keys in (("f6",), ("t", "b")):
            assert all(line.isascii() for line in await pressed(pilot, *keys))

    drive(app_of(ascii_only=True), script, (120, 40))


def test_before_anything_ran() -> None:
    async def script(pilot: Pilot[int]) -> None:
        screen = await pressed(pilot, "f6", "b", "down", "pagedown")
        assert "  Nothing has run yet: 1 opens the chat." in screen

    drive(app_of(RecordedEngine()), script)


def test_a_loaded_model_is_shown_before_it_spoke() -> None:
    async def script(pilot: Pilot[int]) -> None:
        screen = await pressed(pilot, "f6")
        assert starting(screen, "weights")
        assert "Curves begin with the second evaluation." in screen
        assert starting(screen, "token_embd")

    drive(app_of(RecordedEngine(loaded())), script)


def test_grouping() -> None:
    async def script(pilot: Pilot[int]) -> None:
        assert starting(await pressed(pilot, "f6"), "layer ")
        screen = await pressed(pilot, "t")
        assert starting(screen, "type ") and "25 tensors, 8.50 bits each" in starting(screen, "q8_0")
        screen = await pressed(pilot, "t")
        assert starting(screen, "tensor ") and "q8_0 256 x 4096" in starting(screen, "token_embd.weight")
        assert starting(await pressed(pilot, "t"), "layer ")

    drive(app_of(), script)


def test_units() -> None:
    async def script(pilot: Pilot[int]) -> None:
        assert "5.53 MiB" in starting(await pressed(pilot, "f6"), "weights")
        screen = await pressed(pilot, "b")
        assert "5,800,000 B" in starting(screen, "weights")
        assert not any("MiB" in line for line in screen[:-1])
        assert "5.53 MiB" in starting(await pressed(pilot, "b"), "weights")

    drive(app_of(), script)


def test_scrolling() -> None:
    async def script(pilot: Pilot[int]) -> None:
        heading = starting(await pressed(pilot, "f6", "t", "t"), "tensor ")
        assert " 1-5 of 76," in heading
        assert " 2-6 of 76," in starting(await pressed(pilot, "down"), "tensor ")
        assert " 7-11 of 76," in starting(await pressed(pilot, "pagedown"), "tensor ")
        assert " 2-6 of 76," in starting(await pressed(pilot, "pageup"), "tensor ")
        assert " 1-5 of 76," in starting(await pressed(pilot, "up", "up"), "tensor ")
        assert " 72-76 of 76," in starting(await pressed(pilot, "end"), "tensor ")
        assert " 72-76 of 76," in starting(await pressed(pilot, "down"), "tensor ")
        assert " 1-5 of 76," in starting(await pressed(pilot, "home"), "tensor ")

    drive(app_of(), script)


def test_grows_with_the_run() -> None:
    engine = RecordedEngine(loaded(), *answer(n=20))

    async def script(pilot: Pilot[int]) -> None:
        assert ", 23 of 512 tokens" in starting(await pressed(pilot, "f6"), "KV cache  ")
        engine.say(batch(20, 20, 23))
        assert ", 43 of 512 tokens" in starting(await pressed(pilot), "KV cache  ")

    drive(app_of(engine), script)


def test_resize() -> None:
    async def script(pilot: Pilot[int]) -> None:
        await pressed(pilot, "f6")
        for size, stacked in (((60, 16), True), ((200, 60), False), ((80, 24), True)):
            await pilot.resize_terminal(*size)
            await pilot.pause(0.05)
            screen = await pressed(pilot)
            assert ("layer " in starting(screen, "owner")) != stacked
            assert max(map(len, screen)) <= size[0]
            assert any(line.startswith("token_embd") for line in screen) == stacked

    drive(app_of(), script)


@pytest.mark.parametrize(
    ("room", "kv", "stacked", "shared"),
    [
        (14, 2, True, Heights(0, 3, 0)),
        (22, 1, True, Heights(6, 6, 0)),
        (38, 2, False, Heights(18, 38, 1)),
        (38, 1, True, Heights(12, 13, 1)),
        (5, 2, True, Heights(0, 2, 0)),
    ],
)
def test_heights(room: int, kv: int, stacked: bool, shared: Heights) -> None:
    assert heights(room, kv, stacked=stacked) == shared
