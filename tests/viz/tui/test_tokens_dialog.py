"""The tokens that the model reads: how they are laid out, and what is told of each."""

from __future__ import annotations

from recorded import RecordedEngine, drive, lines, loaded, settle
from textual.pilot import Pilot

from ggtui.chat.conversation import Written
from ggtui.viz.live import Live
from ggtui.viz.messages import AsRead, Tokens
from ggtui.viz.tui.app import GgtuiApp
from ggtui.viz.tui.dialogs.base import HZ
from ggtui.viz.tui.dialogs.tokens import laid_out

TOKENS = (
    Written(1, b"<|im_start|>", "template"),
    Written(2, b"user", "template"),
    Written(3, b"\n", "template"),
    Written(40, b"Hi", "you"),
    Written(41, b" \xe7\x8e", "you"),
    Written(5, b"\x1b[0m\n", "model"),
    Written(6, b"yes", "model"),
)


def test_lines_end_after_line_feeds_and_where_they_are_full() -> None:
    shown = [[text for _, text in line] for line in laid_out(TOKENS, 20)]
    assert shown == [["<|im_start|>", "user", "\\n"], ["Hi", " \ufffd", "\\x1b[0m\\n"], ["yes"]]
    wide = laid_out((Written(1, ("中" * 60).encode(), "you"), Written(2, "中".encode(), "you")), 20)
    assert [[text for _, text in line] for line in wide] == [["中" * 8 + " ..."], ["中"]]
    shown = [[text for _, text in line] for line in laid_out(TOKENS, 9)]
    assert shown[0] == ["<|im_s..."] and [n for line in laid_out(TOKENS, 9) for n, _ in line] == list(range(7))


def test_what_is_told() -> None:
    engine = RecordedEngine(loaded())

    async def script(pilot: Pilot[int]) -> None:
        def text() -> str:
            return "\n".join(lines(pilot.app))  # type: ignore[arg-type]

        await pilot.press("escape", "k")
        await settle(pilot)
        assert engine.asked[-1] == Tokens() and "asking the model" in text()
        engine.say(AsRead(TOKENS, 93))
        await settle(pilot)
        await pilot.pause(2.5 / HZ)
        assert "<|im_start|>user\\n" in text() and "\x1b" not in text()
        assert "100 of 100: token 6 'yes', by the model" in text()
        assert "the template 3   you 2   the model 2" in text()
        await pilot.press("up")
        assert "97 of 100: token 40 'Hi', by you" in text()
        await pilot.press("right")
        assert r"token 41 b' \xe7\x8e', by you" in text()
        await pilot.press("home", "left")
        assert "94 of 100: token 1 '<|im_start|>', by the template" in text()
        await pilot.press("end", "down", "right")
        assert "100 of 100" in text()
        engine.say(AsRead((), 0))
        await settle(pilot)
        await pilot.pause(2.5 / HZ)
        assert "Nothing was said yet." in text()

    drive(GgtuiApp(Live(), engine), script, (80, 24))
