"""The keys that work everywhere, and the look of the frame."""

from __future__ import annotations

from recorded import RecordedEngine, answer, drive, lines, loaded, settle
from textual.pilot import Pilot

from ggtui.viz.live import Live
from ggtui.viz.tui.app import SCREENS, GgtuiApp


def test_f_keys_open_the_screens() -> None:
    async def script(pilot: Pilot[int]) -> None:
        for n, cls in enumerate(SCREENS):
            await pilot.press(f"f{n + 2}")
            await settle(pilot)
            assert isinstance(pilot.app.screen, cls)
            assert f"[{n + 1} {cls.TAB}]" in lines(pilot.app)[0]  # type: ignore[arg-type]

    drive(GgtuiApp(Live(), RecordedEngine(loaded(), *answer())), script)
