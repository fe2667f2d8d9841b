"""The Graph screen: its keys, its look."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from recorded import (
    SIZES,
    RecordedEngine,
    answer,
    check_snapshot,
    drive,
    evaluation,
    lines,
    loaded,
    settle,
    trace,
)
from textual.pilot import Pilot
from textual.widgets import Input

from ggtui.core.errors import MissingPartError
from ggtui.viz.live import Live
from ggtui.viz.messages import Batch, Event
from ggtui.viz.tui.app import GgtuiApp
from ggtui.viz.tui.dialogs.save_graph import SaveGraph
from ggtui.viz.tui.screens.graph import Find, GraphScreen
from ggtui.viz.tui.widgets.neighbours import Neighbours
from ggtui.viz.tui.widgets.outline_view import Outline

Script = Callable[[Pilot[int]], Awaitable[None]]


def app_of(pilot: Pilot[int]) -> GgtuiApp:
    assert isinstance(pilot.app, GgtuiApp)
    return pilot.app


def current(pilot: Pilot[int]) -> str:
    item = pilot.app.screen.query_one(Outline).current
    return item.key if item else ""


def shown(pilot: Pilot[int], text: str) -> bool:
    return any(text in line for line in lines(app_of(pilot)))


def listed(pilot: Pilot[int], name: str) -> bool:
    """Whether a node has a line in the outline."""
    return any(item.text == name for item in pilot.app.screen.query_one(Outline).lines)


async def press(pilot: Pilot[int], *keys: str) -> None:
    await pilot.press(*keys)
    await settle(pilot)


def on_graph(script: Script, *events: Event, size: tuple[int, int] = (100, 30), ascii_only: bool = False) -> None:
    """Run `script` with the Graph screen in front."""

    async def whole(pilot: Pilot[int]) -> None:
        await press(pilot, "f4")
        assert isinstance(pilot.app.screen, GraphScreen)
        await script(pilot)

    told = events or (loaded(), *answer())
    drive(GgtuiApp(Live(), RecordedEngine(*told), ascii_only=ascii_only), whole, size)


@pytest.mark.parametrize("size", SIZES)
def test_look(size: tuple[int, int]) -> None:
    async def script(pilot: Pilot[int]) -> None:
        await press(pilot, "down", "down", "down", "right", "down", "down", "down", "tab")
        assert current(pilot) == "node blk.0.attn_qkv"
        check_snapshot(app_of(pilot), f"graph-{size[0]}x{size[1]}")

    on_graph(script, size=size)


def test_look_of_a_layer_by_bytes() -> None:
    async def script(pilot: Pilot[int]) -> None:
        await press(pilot, "down", "down", "down", "h", "h")
        check_snapshot(app_of(pilot), "graph-layer")

    on_graph(script, size=(120, 40))


def test_look_with_original_ops() -> None:
    async def script(pilot: Pilot[int]) -> None:
        await press(pilot, "f", "asterisk")
        check_snapshot(app_of(pilot), "graph-ops")

    on_graph(script, size=(120, 40))


def test_look_in_ascii() -> None:
    async def script(pilot: Pilot[int]) -> None:
        await press(pilot, "down", "down", "down", "right", "down", "down", "down", "tab")
        check_snapshot(app_of(pilot), "graph-ascii")
        assert all(line.isascii() for line in lines(app_of(pilot)))
        await press(pilot, "asterisk", "f", "h", "h", "h", "o")
        assert all(line.isascii() for line in lines(app_of(pilot)))

    on_graph(script, size=(120, 40), ascii_only=True)


def test_before_anything_ran() -> None:
    async def script(pilot: Pilot[int]) -> None:
        assert shown(pilot, "Nothing has run yet: 1 opens the chat.")
        await press(pilot, "p", "h", "f", "n", "asterisk", "backspace", "o", "slash", "escape", "down", "enter")
        assert shown(pilot, "Nothing has run yet: 1 opens the chat.")

    on_graph(script, loaded())  # the graph is known
    drive(GgtuiApp(Live(), RecordedEngine()), lambda pilot: _empty(pilot, script))


async def _empty(pilot: Pilot[int], script: Script) -> None:
    await press(pilot, "f4")
    await script(pilot)


def test_without_node_times() -> None:
    async def script(pilot: Pilot[int]) -> None:
        assert shown(pilot, "node times are not recorded: Ctrl+P, Profile on")

    plain = [
        replace(e, evaluations=tuple(replace(t, records=()) for t in e.evaluations)) if isinstance(e, Batch) else e
        for e in answer()
    ]
    on_graph(script, loaded(), *plain)


def test_saved_run() -> None:
    async def script(pilot: Pilot[int]) -> None:
        await press(pilot, "f4")
        assert shown(pilot, "39 evaluations") and shown(pilot, "token_embd")

    drive(GgtuiApp(Live.of(trace())), script)


def test_arrows_fold_and_unfold() -> None:
    async def script(pilot: Pilot[int]) -> None:
        assert current(pilot) == "node token_embd"
        assert not listed(pilot, "blk.0.ffn_up")
        await press(pilot, "end", "home", "down", "down", "down", "down")
        assert current(pilot) == "blk.0"
        await press(pilot, "right")
        assert listed(pilot, "blk.0.ffn_up")
        await press(pilot, "right", "right", "left", "left")
        assert current(pilot) == "blk.0 attn"
        assert not listed(pilot, "blk.0.v_store")
        await press(pilot, "left", "space")
        assert current(pilot) == "blk.0" and not listed(pilot, "blk.0.ffn_up")
        await press(pilot, "enter")
        assert listed(pilot, "blk.0.ffn_up")
        await press(pilot, "pagedown")
        assert current(pilot) == "node output"
        await press(pilot, "pageup")
        assert current(pilot) == "before the layers"

    on_graph(script, size=(120, 40))


def test_star_unfolds_and_folds_all() -> None:
    async def script(pilot: Pilot[int]) -> None:
        await press(pilot, "asterisk")
        assert listed(pilot, "blk.5.ffn_up")
        await press(pilot, "up", "end", "up", "up", "up")
        assert current(pilot) == "node blk.5.ffn_down"
        await press(pilot, "asterisk")
        assert current(pilot) == "blk.5" and not listed(pilot, "blk.0.ffn_up")

    on_graph(script)


def test_walk_and_back() -> None:
    async def script(pilot: Pilot[int]) -> None:
        await press(pilot, "tab")
        assert isinstance(pilot.app.focused, Neighbours)
        await press(pilot, "enter")
        assert current(pilot) == "node embd"
        await press(pilot, "enter")  # its first reader
        assert current(pilot) == "node blk.0.attn_norm"
        assert shown(pilot, "blk.0.attn_norm.weight") and shown(pilot, "q8_a 256, 384 B")
        await press(pilot, "enter")
        assert current(pilot) == "node blk.0.attn_qkv"
        assert shown(pilot, "blk.0.attn_qkv.weight") and shown(pilot, "q8_0 256 x 768 204.0 KiB")
        await press(pilot, "down", "down", "enter")
        assert current(pilot) == "node blk.0.attn"
        assert shown(pilot, "(KV cache)")
        await press(pilot, "up", "enter")  # its last source that is a node
        assert current(pilot) == "node blk.0.v_store"
        await press(pilot, "backspace", "backspace")
        assert current(pilot) == "node blk.0.attn_qkv"
        await press(pilot, *["backspace"] * 4)
        assert current(pilot) == "node token_embd"
        await press(pilot, "tab")
        assert isinstance(pilot.app.focused, Outline)
        await press(pilot, "enter")  # on a node: to its neighbours
        assert isinstance(pilot.app.focused, Neighbours)

    on_graph(script)


def test_details_scroll_into_sight() -> None:
    async def script(pilot: Pilot[int]) -> None:
        await press(pilot, "end", "up", "tab")
        assert not shown(pilot, "output_norm.scaled")
        await press(pilot, "pagedown", "pagedown")
        assert shown(pilot, "output_norm.scaled")
        await press(pilot, "pageup", "pageup", "up", *["down"] * 14)
        assert shown(pilot, "output_norm.scaled")

    on_graph(script, size=(80, 24))


def test_heat_goes_round() -> None:
    async def script(pilot: Pilot[int]) -> None:
        for told in ("waiting for other threads", "bytes read and written", "part of what", "time at work"):
            await press(pilot, "h")
            assert shown(pilot, f"heat: {told}")

    on_graph(script)


def test_original_ops() -> None:
    async def script(pilot: Pilot[int]) -> None:
        await press(pilot, "home", "f")
        assert shown(pilot, "quantize  output_norm ")
        await press(pilot, "end", "up")
        assert current(pilot) == "node output_norm 3"
        assert shown(pilot, "reads 1 node and 2 tensors")  # the node that computes it
        await press(pilot, "f")
        assert current(pilot) == "node output_norm"
        await press(pilot, "down")
        assert current(pilot) == "node output"
        assert not shown(pilot, "output_norm.norm")

    on_graph(script, size=(120, 40))


def test_prompt_and_generation() -> None:
    async def script(pilot: Pilot[int]) -> None:
        await press(pilot, "down", "p")
        assert shown(pilot, "prompt of up to 512 tokens") and shown(pilot, "1 evaluation of")
        assert current(pilot) == "node position_embd"  # the same place
        await press(pilot, "p")
        assert shown(pilot, "generation") and shown(pilot, "39 evaluations of")

    on_graph(script, loaded(), *answer(), Batch(evaluations=(evaluation(0, graph=1, n_tokens=5),)))


def test_find() -> None:
    async def script(pilot: Pilot[int]) -> None:
        await press(pilot, "slash", *"V_s")
        assert current(pilot) == "node blk.0.v_store" and shown(pilot, "V_s: 1 of 6")
        await press(pilot, "enter")
        assert not pilot.app.screen.query_one(Find).display and isinstance(pilot.app.focused, Outline)
        await press(pilot, "n")
        assert current(pilot) == "node blk.1.v_store" and shown(pilot, "V_s: 2 of 6")
        await press(pilot, *["n"] * 5)
        assert current(pilot) == "node blk.0.v_store"
        await press(pilot, "slash", *"n_r", "escape")  # an op that a node stands for
        assert current(pilot) == "node blk.0.attn_output" and isinstance(pilot.app.focused, Outline)
        await press(pilot, "slash", *"xy")
        assert current(pilot) == "node blk.0.attn_output" and shown(pilot, "no node has xy in its name")

    on_graph(script)


def test_mouse() -> None:
    async def script(pilot: Pilot[int]) -> None:
        outline = pilot.app.screen.query_one(Outline)
        await pilot.click(outline, offset=(1, 4))
        await settle(pilot)
        assert current(pilot) == "blk.0" and listed(pilot, "blk.0.ffn_up")
        await pilot.click(outline, offset=(12, 3))
        await settle(pilot)
        assert current(pilot) == "node embd"
        await pilot.click(Neighbours, offset=(9, 0))
        await settle(pilot)
        assert current(pilot) == "node token_embd"

    on_graph(script)


def test_it_follows_the_run() -> None:
    async def script(pilot: Pilot[int]) -> None:
        app = app_of(pilot)
        assert isinstance(app.engine, RecordedEngine)
        app.engine.say(*answer(n=100, n_past=43))
        await settle(pilot)
        assert shown(pilot, "64 evaluations of") and shown(pilot, "55 runs")

    on_graph(script)


# ---- the picture ----


async def _save(pilot: Pilot[int], name: Path) -> None:
    await press(pilot, "o")
    assert isinstance(pilot.app.screen, SaveGraph)
    pilot.app.screen.query_one(Input).value = str(name)
    await settle(pilot)
    await press(pilot, "enter")


async def _done(pilot: Pilot[int]) -> str:
    await pilot.app.workers.wait_for_complete()
    await settle(pilot)
    return [n.message for n in pilot.app._notifications][-1]


def test_save(tmp_path: Path) -> None:
    path = tmp_path / "graph.dot"

    async def script(pilot: Pilot[int]) -> None:
        await press(pilot, "o")
        assert pilot.app.screen.query_one(Input).value == "tales-generation.svg"
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, GraphScreen)
        await _save(pilot, path)
        assert await _done(pilot) == f"The graph is in {path}"
        text = path.read_text()
        assert "blk.5.ffn_down" in text and "tales.gguf, one token" in text
        path.write_text("mine")
        await _save(pilot, path)
        assert shown(pilot, "is there already") and path.read_text() == "mine"
        await press(pilot, "escape")
        assert path.read_text() == "mine"
        await _save(pilot, path)
        await press(pilot, "enter")
        await _done(pilot)
        assert path.read_text() == text

    on_graph(script)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "the name of a file"),
        ("graph.txt", "must end in one of"),
        ("no/graph.svg", "is no folder"),
        ("~no-such-person/graph.svg", "home directory"),
        (f"{'x' * 300}/graph.svg", "name too long"),
        ("../pipe.svg", "is no regular file"),
    ],
)
def test_a_name_that_will_not_do(tmp_path: Path, name: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    os.mkfifo(tmp_path / "pipe.svg")
    monkeypatch.chdir(folder)

    async def script(pilot: Pilot[int]) -> None:
        await _save(pilot, Path(name) if name else Path(" "))
        assert isinstance(pilot.app.screen, SaveGraph) and shown(pilot, told)
        await press(pilot, "x")
        assert not shown(pilot, told)
        assert not list(folder.iterdir())

    on_graph(script)


def test_without_graphviz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ggtui.viz.picture
    import ggtui.viz.tui.dialogs.save_graph

    for module in (ggtui.viz.picture, ggtui.viz.tui.dialogs.save_graph):
        monkeypatch.setattr(module, "renderer", lambda ending: None)

    async def script(pilot: Pilot[int]) -> None:
        await _save(pilot, tmp_path / "graph.svg")
        told = await _done(pilot)
        assert "install Graphviz" in told and "\n" not in told
        assert [p.name for p in tmp_path.glob("graph*")] == ["graph.dot"]
        await _save(pilot, tmp_path / "graph.svg")  # the text it would leave is there
        assert shown(pilot, "is there already")

    on_graph(script)
    assert MissingPartError.exit_code == 5
