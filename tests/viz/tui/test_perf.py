"""The Perf screen: every key of it, live, saved and before there is anything, and its look."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from perf_runs import PROMPTS, cursor, first_words, heading, keys, light, perf, saved, table, typed
from recorded import LIMITS, SIZES, RecordedEngine, answer, batch, check_snapshot, lines, loaded, settle, trace
from textual.pilot import Pilot

from ggtui.viz.messages import Failed, Measured, MeasuredKl, MeasureKl, MeasureLimits, Measuring, Regen, Stop
from ggtui.viz.tui.app import GgtuiApp
from ggtui.viz.tui.screens.perf import PerfScreen
from ggtui.viz.tui.widgets.node_table import NodeTable

# ---- looks ----


@pytest.mark.parametrize("size", SIZES)
def test_look(size: tuple[int, int]) -> None:
    async def script(pilot: Pilot[int], app: GgtuiApp) -> None:
        check_snapshot(app, f"perf-{size[0]}x{size[1]}")

    perf(script, size=size)


def test_looks_after_keys() -> None:
    async def script(pilot: Pilot[int], app: GgtuiApp) -> None:
        for name, before, after in (
            ("paused", ("space",), ("space",)),
            ("details", ("down", "enter"), ("escape", "home")),
            ("export", ("e",), ("escape",)),
            ("compare", ("d",), ("escape",)),
            ("group", ("g",), ()),
            ("group-details", ("enter",), ()),
        ):
            await keys(pilot, *before)
            check_snapshot(app, f"perf-{name}")
            await keys(pilot, *after)

    perf(script)


def test_look_without_block_characters() -> None:
    async def script(pilot: Pilot[int], app: GgtuiApp) -> None:
        check_snapshot(app, "perf-ascii")
        for pressed in ("S", "g", "p", "p", "enter", "escape", "e", "escape", "d", "escape", "slash"):
            await keys(pilot, pressed)
            assert "\n".join(lines(app)).isascii(), pressed

    perf(script, loaded(), *answer(), PROMPTS, ascii_only=True)


@pytest.mark.parametrize("size", [(60, 16), (81, 24), (119, 30)])
def test_every_size_has_whole_lines(size: tuple[int, int]) -> None:
    async def script(pilot: Pilot[int], app: GgtuiApp) -> None:
        assert all(len(line) <= size[0] for line in lines(app))
        assert all(word in heading(app) for word in ("node", "time", "share"))
        assert "output" in table(app)[0] and "125 us" in table(app)[0] and "15.0%" in table(app)[0]
        await pilot.resize_terminal(120, 40)
        await settle(pilot)
        assert "GFLOP/s" in heading(app) and "p95" in heading(app)

    perf(script, size=size)


# ---- the table ----


def test_figures_stay_in_their_columns_while_the_run_goes_on() -> None:
    async def script(pilot: Pilot[int], app: GgtuiApp) -> None:
        before, n = heading(app), lines(app)[1]
        engine = app.engine
        assert isinstance(engine, RecordedEngine) and " 39 evaluations" in n
        engine.say(batch(40, 20, 43))
        await settle(pilot)
        assert " 59 evaluations" in lines(app)[1] and heading(app) == before
        engine.say(batch(60, 20, 63))
        await settle(pilot)
        assert " 64 evaluations" in lines(app)[1]  # the newest ones
        ends = {len(line.rstrip("▁▂▃▄▅▆▇█").rstrip()) for line in table(app)}  # without the scroll bar's end
        assert len(ends) == 1

    perf(script)


def test_only_lines_that_changed_are_drawn() -> None:
    async def script(pilot: Pilot[int], app: GgtuiApp) -> None:
        drawn: Counter[int] = Counter()
        widget, render = app.screen.query_one(NodeTable), NodeTable.render_line

        def counted(self: NodeTable, y: int) -> object:
            drawn[y] += 1
            return render(self, y)

        widget.render_line = counted.__get__(widget)  # type: ignore[method-assign, assignment]
        screen = app.screen
        assert isinstance(screen, PerfScreen)
        screen.show()
        await pilot.pause()
        assert not drawn
        await keys(pilot, "down")
        assert set(drawn) == {1, 2}

    perf(script)


def test_s_sorts_by_the_next_column_and_S_turns_it_round() -> None:
    async def script(pilot: Pilot[int], app: GgtuiApp) -> None:
        assert "▼time" in heading(app) and first_words(app)[:2] == ["output", "blk.0.ffn_up"]
        await keys(pilot, "S")
        assert "▲time" in heading(app) and first_words(app)[0] != "output"
        marked = []
        for _ in heading(app).split():
            await keys(pilot, "s")
            marked.append(next(w[1:] for w in heading(app).split() if w[0] in "▲▼"))
        assert marked == ["share", "GB/s", "limit", "node", "op", "time"]
        await keys(pilot, *"ssss")
        assert "▲node" in heading(app) and first_words(app)[:3] == ["blk.0.attn", "blk.0.attn:round", "blk.0.attn_norm"]
        await keys(pilot, "S")
        assert "▼node" in heading(app) and first_words(app)[:2] == ["token_embd", "position_embd"]

    perf(script)


def test_g_groups() -> None:
    async def script(pilot: Pilot[int], app: GgtuiApp) -> None:
        for by, key in (("op", "mul_mat"), ("layer", "blk.0"), ("type", "q8_0"), ("node", "output")):
            await keys(pilot, "g")
            assert f"by {by}" in lines(app)[1] and heading(app).split()[0].lstrip("▼▲") == by
            assert key in first_words(app)

    perf(script)


def test_slash_filters_by_key_op_and_type() -> None:
    async def script(pilot: Pilot[int], app: GgtuiApp) -> None:
        await keys(pilot, "slash", *"FFN")
        assert all("ffn" in word for word in first_words(app)[:-1]) and "24 of 71 by node" in lines(app)[1]
        await keys(pilot, "enter", "s")  # the keys of the screen again, the filter stays
        assert "▼share" in heading(app) and "24 of 71" in lines(app)[1]
        check_snapshot(app, "perf-filter")
        await keys(pilot, "slash")
        for words, n in (("flash", 6), ("f16", 6), ("blk.2 q8_0", 4), ("nothing like it", 0)):
            await typed(pilot, words)
            assert f"{n} of 71 by node" in lines(app)[1], words
        await keys(pilot, "escape")
        assert "of 71" not in lines(app)[1] and first_words(app)[0] == "output"
        await keys(pilot, "down")
        assert cursor(app) == "blk.0.ffn_up"

    perf(script)


def test_p_and_tab_show_the_prompt() -> None:
    async def script(pilot: Pilot[int], app: GgtuiApp) -> None:
        await keys(pilot, "p")
        assert "prompt:   2 evaluations," in lines(app)[1] and "a prompt," in lines(app)[1]
        await keys(pilot, "tab")
        assert "generation:  39 evaluations,  798 us a token,  1087.4 tok/s" in lines(app)[1]
        await keys(pilot, "down")
        assert cursor(app) == "blk.0.ffn_up"

    perf(script, loaded(), *answer(), PROMPTS)


def test_a_stage_without_records_says_so() -> None:
    async def script(pilot: Pilot[int], app: GgtuiApp) -> None:
        await keys(pilot, "p")
        shown = " ".join("\n".join(lines(app)).split())
        assert "no node times of a prompt in the newest evaluations. p shows generation." in shown
        await keys(pilot, "enter", "p", "down")
        assert cursor(app) == "blk.0.ffn_up"

    perf(script)


def test_space_pauses() -> None:
    async def script(pilot: Pilot[int], app: GgtuiApp) -> None:
        await keys(pilot, "space")
        engine = app.engine
        assert isinstance(engine, RecordedEngine) and "PAUSED" in lines(app)[1]
        engine.say(batch(40, 20, 43))
        await settle(pilot)
        await keys(pilot, "g")
        assert " 39 evaluations" in lines(app)[1]
        await keys(pilot, "space")
        assert "PAUSED" not in lines(app)[1] and " 59 evaluations" in lines(app)[1]

    perf(script)


def test_nothing_is_not_paused() -> None:
    async def script(pilot: Pilot[int], app: GgtuiApp) -> None:
        await keys(pilot, "space")
        assert isinstance(app.engine, RecordedEngine)
        app.engine.say(*answer())
        await settle(pilot)
        assert "generation: " in lines(app)[1] and "PAUSED" not in lines(app)[1]

    perf(script, loaded())


def test_the_cursor_moves_and_stays_on_its_node() -> None:
    async def script(pilot: Pilot[int], app: GgtuiApp) -> None:
        assert cursor(app) == "output"
        await keys(pilot, "down", "down", "up", "down")
        assert cursor(app) == "blk.1.ffn_up"
        await keys(pilot, "S")
        assert cursor(app) == "blk.1.ffn_up"
        await keys(pilot, "end")
        assert cursor(app) == "output" == first_words(app)[-1]
        await keys(pilot, "S")
        assert cursor(app) == "output" == first_words(app)[0]
        page = len(table(app))
        await keys(pilot, "pagedown", "home", "pagedown", "pagedown", "pageup")
        assert app.screen.query_one(NodeTable)._at == page
        await keys(pilot, "home")
        assert cursor(app) == "output"

    perf(script)


def test_the_mouse_chooses_a_line() -> None:
    async def script(pilot: Pilot[int], app: GgtuiApp) -> None:
        await pilot.click(NodeTable, offset=(5, 4))
        await settle(pilot)
        assert cursor(app) == "blk.2.ffn_up"
        await pilot.click(NodeTable, offset=(5, 4))
        await settle(pilot)
        assert any("blk.2.ffn_up" in line and "in generation" in line for line in lines(app))

    perf(script)


# ---- limits ----


def test_L_measures_the_limits() -> None:
    async def script(pilot: Pilot[int], app: GgtuiApp) -> None:
        engine = app.engine
        assert isinstance(engine, RecordedEngine)
        assert any("limits not measured; L measures them (2 s)" in line for line in lines(app))
        await keys(pilot, "L")
        assert engine.asked == [MeasureLimits()] and any("measuring what" in line for line in lines(app))
        engine.say(Failed("limits: no room"))
        await settle(pilot)
        assert [note.message for note in app._notifications] == ["limits: no room"]
        await keys(pilot, "L")
        engine.say(Failed("limits: no room"))  # the same once more
        await settle(pilot)
        assert not any("measuring what" in line for line in lines(app))
        await keys(pilot, "L")
        engine.say(Measured(LIMITS))
        await settle(pilot)
        assert any(line.startswith(" limit     memory   22% of  36.8 GB/s") for line in lines(app))
        await keys(pilot, "L")
        assert len(engine.asked) == 3

    perf(script, replace(loaded(), limits=None), *answer())


def test_limits_are_measured_only_while_the_model_is_silent() -> None:
    async def script(pilot: Pilot[int], app: GgtuiApp) -> None:
        await keys(pilot, "L")
        assert [note.message for note in app._notifications] == ["Limits are measured while the model does not write."]

    engine = perf(script, replace(loaded(), limits=None), *answer()[:2])
    assert engine.asked == []


# ---- fewer bits ----

KL = {
    f"blk.{i}.ffn_{way}.weight": {"q8_0": 1e-5, "q4_k": 1.2e-3 * (i + 1), "q2_k": 0.1}
    for i in range(2)
    for way in ("up", "down")
}


def test_K_measures_what_fewer_bits_would_cost() -> None:
    async def script(pilot: Pilot[int], app: GgtuiApp) -> None:
        engine = app.engine
        assert isinstance(engine, RecordedEngine) and "KL" not in heading(app)
        await keys(pilot, "K")
        assert engine.asked == [MeasureKl()] and "KL 0%, K ends" in lines(app)[1]
        engine.say(Measuring(0.42))
        await settle(pilot)
        assert "KL 42%, K ends" in lines(app)[1]
        await keys(pilot, "K")
        engine.say(Failed("not measured to its end"))
        await settle(pilot)
        assert engine.asked[1:] == [Stop()] and "K ends" not in lines(app)[1] and "KL" not in heading(app)
        await keys(pilot, "K")
        engine.say(Measuring(0.9), MeasuredKl(KL))
        await settle(pilot)
        assert heading(app).endswith("KL q4_k") and "K ends" not in lines(app)[1]
        assert next(line for line in table(app) if "blk.1.ffn_up " in line).rstrip("▁▂▃▄▅▆▇█ ").endswith(" 2.4e-03")
        check_snapshot(app, "perf-kl")
        await keys(pilot, "home", "down", "enter")
        check_snapshot(app, "perf-kl-details")

    perf(script)


def test_whatever_is_asked_next_ends_the_measuring() -> None:
    async def script(pilot: Pilot[int], app: GgtuiApp) -> None:
        await keys(pilot, "K")
        app.ask(Regen())

    assert perf(script).asked == [MeasureKl(), Stop(), Regen()]


# ---- other runs ----


def test_before_anything_ran() -> None:
    async def script(pilot: Pilot[int], app: GgtuiApp) -> None:
        assert "Nothing has run yet: 1 opens the chat." in "\n".join(lines(app))
        await keys(pilot, "s", "g", "g", "g", "g", "space", "space", "enter", "e", "d", "down", "end")
        assert isinstance(app.screen, PerfScreen)
        engine = app.engine
        assert isinstance(engine, RecordedEngine)
        engine.say(*answer())
        await settle(pilot)
        await keys(pilot, "down")
        assert cursor(app) == "blk.0.ffn_up"

    perf(script, loaded())


def test_a_saved_run() -> None:
    async def script(pilot: Pilot[int], app: GgtuiApp) -> None:
        assert "generation: 279 evaluations" in lines(app)[1]  # all of them
        await keys(pilot, "space")
        assert "PAUSED" not in lines(app)[1]
        await keys(pilot, "down", "enter")
        assert "blk.0.ffn_up  mul_mat q8_0" in "\n".join(lines(app))

    run = trace(40)
    saved(script, replace(run, tokens=(run.tokens * 8)[:279]))


def test_a_light_profile_has_no_p95() -> None:
    async def script(pilot: Pilot[int], app: GgtuiApp) -> None:
        at = heading(app).index("p95") + 2
        assert lines(app)[lines(app).index(heading(app)) + 1][at] == "-"
        for _ in range(6):
            await keys(pilot, "s")
        assert first_words(app)[0] == "blk.0.attn"  # by limit
        await keys(pilot, "enter")
        assert "0.3% of an evaluation, sd 933 ns" in "\n".join(lines(app))
        assert "least 1.44 us, most 4.23 us " in "\n".join(lines(app))
        await keys(pilot, "end")
        assert "not kept by a light profile" in "\n".join(lines(app))

    saved(script, light(), (120, 40))


def test_names_are_data() -> None:
    run = trace(4)
    nodes = tuple(replace(n, key=n.key + "\x1b[31m[red]") for n in run.graphs[0].nodes)
    run = replace(run, graphs=(replace(run.graphs[0], nodes=nodes), *run.graphs[1:]))

    async def script(pilot: Pilot[int], app: GgtuiApp) -> None:
        assert "output\\x1b[31m[red]" in "\n".join(lines(app)) and "\x1b" not in "\n".join(lines(app))
        await keys(pilot, "enter")
        assert "output\\x1b[31m[red]" in "\n".join(lines(app))

    saved(script, run)


def test_a_run_that_is_neither_shows_what_it_is() -> None:
    run = trace()
    trained = replace(run, tokens=tuple(replace(token, training=True) for token in run.tokens))

    async def script(pilot: Pilot[int], app: GgtuiApp) -> None:
        shown = lines(app)
        assert shown[1].startswith(" training: ") and " a step, " in shown[1]

    saved(script, trained)
