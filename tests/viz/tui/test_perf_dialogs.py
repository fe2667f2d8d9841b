"""The dialogs of the Perf screen: a node, export, comparison."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import made_up
import pytest
from perf_runs import keys, perf, saved, threads_end, typed
from recorded import RecordedEngine, answer, batch, check_snapshot, lines, loaded, settle, trace
from textual.pilot import Pilot
from textual.widgets import Input

from ggtui.perf import load
from ggtui.perf.export import EXPORTERS
from ggtui.viz.tui.app import GgtuiApp
from ggtui.viz.tui.dialogs.compare import Compare
from ggtui.viz.tui.dialogs.export import Export
from ggtui.viz.tui.screens.perf import PerfScreen


def test_details_follow_the_run() -> None:
    async def script(pilot: Pilot[int], app: GgtuiApp) -> None:
        await keys(pilot, "down", "enter")
        shown = "\n".join(lines(app))
        for text in (
            "q8_0 256 x 1024  blk.0.ffn_up.weight",
            "q8_a 256         blk.0.ffn_norm",
            "gelu             blk.0.ffn_act",
            "533,504 flops, 287,104 bytes",
            "the newest 33 evaluations",
        ):
            assert text in shown, text
        engine = app.engine
        assert isinstance(engine, RecordedEngine)
        engine.say(batch(40, 20, 43))
        app.screen._drawn = 0.0  # type: ignore[attr-defined]
        await settle(pilot)
        await pilot.pause(0.1)
        assert "the newest 50 evaluations" in "\n".join(lines(app))
        await keys(pilot, "escape")
        assert isinstance(app.screen, PerfScreen)

    perf(script, size=(100, 40))


def test_details_tell_the_parts_of_a_node() -> None:
    async def script(pilot: Pilot[int], app: GgtuiApp) -> None:
        await keys(pilot, "down", "enter")
        shown = [" ".join(line.split()) for line in lines(app)]
        assert "blk.0.ffn_up mul_mat q8_0 in generation" in shown
        at = shown.index("parts quantize 51 ns")
        assert shown[at + 1] == "mul_mat 1.53 us"
        await keys(pilot, "escape", "down", "enter")
        assert not any(line.split()[:1] == ["parts"] for line in lines(app)), "of one part nothing is told"

    saved(script, made_up.trace(), (100, 40))


def test_e_writes_files(tmp_path: Path) -> None:
    async def script(pilot: Pilot[int], app: GgtuiApp) -> None:
        for at in (0, 4):  # a text and what is none
            await keys(pilot, "e")
            app.screen.action_choose(at)  # type: ignore[attr-defined]
            name = app.screen.query_one(Input).value
            assert name.startswith("tales-perf.")
            await typed(pilot, str(tmp_path / name))
            await keys(pilot, "enter")
            await threads_end(pilot)
            assert isinstance(app.screen, PerfScreen)
            told = [note.message for note in app._notifications]
            assert (tmp_path / name).stat().st_size > 1000 and f"Written: {tmp_path / name} (" in told[-1]
        assert sum(path.is_file() for path in tmp_path.iterdir()) == 2
        assert load(tmp_path / "tales-perf.json").tokens == app.live.trace().tokens

    perf(script, loaded(), *answer(n=4))


def test_e_never_overwrites_silently_and_tells_what_fails(tmp_path: Path) -> None:
    async def script(pilot: Pilot[int], app: GgtuiApp) -> None:
        there = tmp_path / "x"
        there.write_text("kept")
        await keys(pilot, "e", "down")
        await typed(pilot, str(there))
        await keys(pilot, "enter")
        assert "Enter again writes over it" in " ".join(" ".join(lines(app)).split()) and there.read_text() == "kept"
        os.mkfifo(tmp_path / "pipe")
        for name in ("pipe", ""):
            await typed(pilot, str(tmp_path / name))
            await keys(pilot, "enter")
            assert "is no regular file; choose another" in " ".join(" ".join(lines(app)).split())
        await typed(pilot, str(tmp_path / "no" / "x.csv"))
        await keys(pilot, "enter")
        await threads_end(pilot)
        assert isinstance(app.screen, Export) and "No such file or directory" in " ".join(" ".join(lines(app)).split())
        await typed(pilot, str(there))
        await keys(pilot, "enter", "enter")
        await threads_end(pilot)
        assert there.read_text().startswith("stage,key,op")

    perf(script, loaded(), *answer(n=4))


def test_the_names_of_formats_follow_the_choice() -> None:
    async def script(pilot: Pilot[int], app: GgtuiApp) -> None:
        await keys(pilot, "e", "up")
        assert app.screen.query_one(Input).value == "tales-perf.md"
        await typed(pilot, "mine")
        await keys(pilot, "down")
        assert app.screen.query_one(Input).value == "mine"

    perf(script)


def test_d_compares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = trace(20)
    up = next(n.id for n in run.graphs[0].nodes if n.key == "blk.3.ffn_up")
    faster = [
        replace(t, records=tuple(replace(r, end=r.end - 9000) if r.node == up else r for r in t.records))
        for t in run.tokens
    ]
    EXPORTERS[0].save(replace(run, tokens=tuple(faster)), "base.json")

    async def script(pilot: Pilot[int], app: GgtuiApp) -> None:
        await keys(pilot, "d")
        await typed(pilot, "base.json")
        await keys(pilot, "enter")
        await threads_end(pilot)
        assert any(line.split()[:2] == ["blk.3.ffn_up", "generation"] and "+40.5%" in line for line in lines(app))
        check_snapshot(app, "perf-compared")
        await keys(pilot, "escape", "d")
        assert app.screen.query_one(Input).value == "base.json"

    perf(script)


def test_d_refuses_by_name_and_f_forces(tmp_path: Path) -> None:
    other, none = tmp_path / "other.json", tmp_path / "none.json"
    run = trace(20)
    EXPORTERS[0].save(replace(run, run=replace(run.run, isa="scalar")), other)
    none.write_text("{}")

    async def script(pilot: Pilot[int], app: GgtuiApp) -> None:
        await keys(pilot, "d")
        for name, said in (
            (str(none), "not a trace that ggtui saved"),
            (str(tmp_path / "missing"), "No such file"),
            (str(other), "instruction set: scalar in the base, avx2 now; f compares all the same"),
        ):
            app.screen.query_one(Input).focus()
            await settle(pilot)
            await typed(pilot, name)
            await keys(pilot, "enter")
            await threads_end(pilot)
            assert said in " ".join(" ".join(lines(app)).split())
        assert isinstance(app.screen, Compare) and not app.screen.has_class("-found")
        await keys(pilot, "f")
        await threads_end(pilot)
        await keys(pilot, "end")
        assert "compared all the same: instruction set" in "\n".join(lines(app))

    perf(script)
