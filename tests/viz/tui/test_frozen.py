"""The run that screens are tested over: it is the file's alone, and its script still makes such a file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import make_frozen
from recorded import RUN

from ggtui.core.engine.trace_file import load, save
from ggtui.viz.tui.screens import SCREENS

WITHOUT_ENGINE = """
import sys
for name in ("ggtui.core.engine.session", "ggtui.core.runtime.cpu.plan"):
    sys.modules[name] = None  # an import of it fails
from recorded import RecordedEngine, answer, drive, loaded, pressed
from ggtui.viz.live import Live
from ggtui.viz.tui.app import GgtuiApp
from ggtui.viz.tui.screens import SCREENS

async def script(pilot):
    for row in SCREENS:
        shown = "\\n".join(await pressed(pilot, row.key))
        print(row.title, "Nothing has run" not in shown and len(shown) > 200)

drive(GgtuiApp(Live(), RecordedEngine(loaded(), *answer())), script, (120, 40))
"""


def test_screens_are_drawn_without_an_engine() -> None:
    command = [sys.executable, "-c", WITHOUT_ENGINE]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent, check=False)
    assert (done.stdout.split("\n"), done.stderr) == ([*(f"{row.title} True" for row in SCREENS), ""], "")


def test_the_script_makes_such_a_file(tmp_path: Path) -> None:
    made = make_frozen.made()
    save(made, tmp_path / "trace.json")
    assert load(tmp_path / "trace.json") == made
    kept, anew = ([(t.graph, t.n_past, t.n_tokens) for t in trace.tokens] for trace in (RUN, made))
    assert kept == anew
    assert made.run == RUN.run and made.limits == RUN.limits
    assert all(len(token.records) > 90 for token in made.tokens)


def test_the_file_is_small() -> None:
    assert make_frozen.PATH.stat().st_size < 200_000
