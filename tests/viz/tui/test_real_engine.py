"""The app over the real engine and the built-in model: a tale comes, and every screen has something to show of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace

from recorded import drive, lines, settle
from textual.pilot import Pilot

from ggtui.chat.settings import SETTINGS
from ggtui.viz.engine import EngineProcess
from ggtui.viz.live import Live
from ggtui.viz.tui.app import GgtuiApp

PATIENCE = 60.0  # seconds
WORDS = (  # that a screen shows once something ran, by the key that opens it
    ("f3", "blk.0.ffn_up"), ("f4", "blk.5"), ("f5", "n_past"), ("f6", "weights"),
)  # fmt: skip


async def until(pilot: Pilot[int], met: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not met():
        assert time.monotonic() < end
        await settle(pilot)


def test_a_tale_on_every_screen() -> None:
    values = {s.key: s.default for s in SETTINGS.values()}
    own = {"model": None, "type_from": (), "threads": 1, "seed": 1, "temp": 0.0, "n_predict": 24}
    engine, live = EngineProcess(SimpleNamespace(**{**values, **own})), Live()
    app = GgtuiApp(live, engine)

    async def script(pilot: Pilot[int]) -> None:
        await pilot.press(*"Once", "space", *"upon", "enter")
        await until(pilot, lambda: bool(live.chat) and live.state == "idle")
        assert len(live.chat[0].steps) == 24 and live.chat[0].turn.prompt == "Once upon"
        last_words = live.chat[0].turn.text.split()[-2]
        assert last_words in "\n".join(lines(app))
        for key, words in WORDS:
            await pilot.press(key)
            await settle(pilot)
            assert words in "\n".join(lines(app))

    try:
        drive(app, script, (120, 40))
    finally:
        engine.close()
    assert len([run for run in live.evaluations if run.n_tokens == 1]) == 23
