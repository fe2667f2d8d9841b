"""The pictures of the screen in the README: the app itself, with the built-in model, tells a tale and is drawn.

    python docs/screenshots.py [--seed 6] [--threads N] [--to docs]

No terminal is needed. The text is the same for the same seed; the times are this machine's.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
from collections.abc import Callable
from html import escape, unescape
from pathlib import Path
from types import SimpleNamespace

from textual.pilot import Pilot

from ggtui.chat.settings import SETTINGS
from ggtui.viz.engine import EngineProcess
from ggtui.viz.live import Live
from ggtui.viz.messages import MeasureLimits, Say
from ggtui.viz.tui.app import GgtuiApp

SIZE = (120, 36)
PROMPT = "Once upon a time"
FONTS = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace"
PATIENCE = 60.0  # seconds


def settings(seed: int, threads: int | None = None) -> SimpleNamespace:
    values = {s.key: s.default for s in SETTINGS.values()}
    own = {"model": None, "type_from": (), "mode": "complete", "seed": seed, "threads": threads, "n_predict": 160}
    return SimpleNamespace(**{**values, **own})


async def until(pilot: Pilot[int], live: Live, met: Callable[[], bool]) -> None:
    """Raises TimeoutError with what the engine said last."""
    for _ in range(int(PATIENCE / 0.05)):
        if met():
            return
        await pilot.pause(0.05)
    raise TimeoutError(f"{live.state}: {live.message}")


async def pictures(seed: int, threads: int | None) -> dict[str, str]:
    """SVG of the Chat and the Perf screen after an answer."""
    live, engine = Live(), EngineProcess(settings(seed, threads))
    app = GgtuiApp(live, engine)
    found = {}
    try:
        async with app.run_test(size=SIZE) as pilot:
            await until(pilot, live, lambda: live.state == "idle")
            app.ask(MeasureLimits())
            await until(pilot, live, lambda: live.limits is not None)
            app.ask(Say(PROMPT))
            await until(pilot, live, lambda: bool(live.chat) and live.state == "idle")
            for name, key in (("chat", "f2"), ("perf", "f3")):
                await pilot.press(key)
                await pilot.pause(0.5)
                app.refresh_now()
                await pilot.pause(0.5)
                found[name] = of_itself(app.export_screenshot())
    finally:
        engine.close()
    return found


def of_itself(svg: str) -> str:
    """Without fonts from elsewhere: the reader's own. Each word stands where it belongs, whatever the width of their
    letters, since not every program that draws SVG knows textLength, or spaces at the start of a text."""
    svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code, monospace", FONTS)
    svg = _TEXT.sub(_words, svg)
    assert "http" not in re.sub(r"xmlns=\S+|<!--.*?-->", "", svg), "something from elsewhere"
    return svg


_TEXT = re.compile(r'<text class="([^"]*)" x="([^"]*)" y="([^"]*)" textLength="([^"]*)" ([^>]*)>([^<]*)</text>')


def _words(text: re.Match[str]) -> str:
    style, x, y, length, more, content = text.groups()
    line = unescape(content).replace("\xa0", " ")
    cell = float(length) / len(line)
    return "".join(
        f'<text class="{style}" x="{float(x) + word.start() * cell:g}" y="{y}" '
        f'textLength="{len(word[0]) * cell:g}" {more}>{escape(word[0], quote=False)}</text>'
        for word in re.finditer(r"\S+(?: \S+)*", line)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--to", type=Path, default=Path(__file__).parent)
    args = parser.parse_args()
    for name in ("COLORFGBG", "NO_COLOR"):  # the pictures are dark and have colours, whatever terminal this is
        os.environ.pop(name, None)
    os.environ["GGTUI_NOHISTORY"] = "1"
    for name, svg in asyncio.run(pictures(args.seed, args.threads)).items():
        path = args.to / f"{name}.svg"
        path.write_text(svg, encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
