"""Figures of nodes against those of perf."""

from __future__ import annotations

from dataclasses import replace

import pytest
from recorded import LIMITS, evaluation, loaded, trace

from ggtui.core.runtime.record import NodeTotal, Records, Trace
from ggtui.perf import aggregate
from ggtui.viz.tui.widgets.heat import Look, told, value
from ggtui.viz.tui.widgets.node_card import card
from ggtui.viz.tui.widgets.node_figures import NodeFigures


def test_they_are_those_of_perf() -> None:
    run = trace()
    figures = NodeFigures().of(run, 0, None)
    assert figures is not None and figures.n == 39 and figures.typical == "median"
    (stage,) = aggregate.stages(run)
    ids = {n.key: n.id for n in stage.graph.nodes}
    for row in aggregate.rows(stage):
        i = ids[row.key]
        assert figures.time[i] == row.time.median
        assert figures.wait[i] == pytest.approx(row.wait_ns)
        assert (figures.flops[i], figures.traffic[i]) == pytest.approx((row.flops, row.traffic))
        limit, part = figures.limit([i])
        assert limit == row.limit
        assert part == pytest.approx((row.of_limit or 0.0) * row.time.mean / figures.time[i])
    assert figures.evaluation == stage.evals.median
    assert figures.share(range(71)) == pytest.approx(sum(figures.time) / figures.evaluation)


def test_only_the_newest_count() -> None:
    run = trace()
    figures = NodeFigures()
    newest = figures.of(run, 0, 2)
    assert newest is not None and newest.n == 2 and newest.history is not None
    assert newest.history[:, 5].tolist() == [
        Records.of(t.records).table[Records.of(t.records).table[:, 0] == 5][1, [4, 3]] @ [1, -1]
        for t in run.tokens[-2:]
    ]
    more = replace(run, tokens=(*run.tokens, evaluation(6)))
    later = figures.of(more, 0, 2)
    assert later is not None and later.history is not None
    assert later.history[0].tolist() == newest.history[1].tolist()
    assert later.history[1, 5] == 2 * later.history[0, 5]  # the made-up run that is slow


def test_what_was_not_recorded() -> None:
    run = trace()
    assert NodeFigures().of(run, 1) is None
    assert NodeFigures().of(replace(run, tokens=()), 0) is None
    assert NodeFigures().of(replace(run, tokens=tuple(replace(t, dropped=1) for t in run.tokens)), 0) is None


def test_light_profile() -> None:
    run = trace()
    plain = tuple(replace(t, records=()) for t in run.tokens)
    totals = tuple(NodeTotal(0, i, 0, t, 10, 10_000 * (t + 1), 900, 1100, 500, 0.0) for i in range(71) for t in (0, 1))
    figures = NodeFigures().of(Trace(run.graphs, plain, run.memory, totals=totals, limits=LIMITS), 0)
    assert figures is not None and figures.history is None and figures.typical == "mean"
    assert figures.time[7] == 2000 and figures.wait[7] == 50
    text = card(run.graphs[0], [7], figures, "time", 80, Look()).plain
    assert "2.00 us" in text and "mean of 39" in text and "median" not in text


def test_values_of_a_heat() -> None:
    figures = NodeFigures().of(replace(trace(), limits=None), 0)
    assert figures is not None
    assert value(figures, [3, 4], "time") == figures.time[3] + figures.time[4]
    assert value(figures, [3], "waiting") == figures.wait[3]
    assert value(figures, [3], "bytes") == loaded().graphs[0].nodes[3].traffic.at({"n_tokens": 1, "n_kv": 1})
    assert (value(figures, [3], "limit"), told(0.0, "limit")) == (0.0, "-")
    assert (told(0.256, "limit"), told(2048.0, "bytes"), told(1500.0, "waiting")) == ("26%", "2.0 KiB", "1.50 us")


def test_bars_and_colours() -> None:
    look = Look()
    assert [look.bar(part, 4) for part in (0.0, 0.001, 0.5, 1.0, 2.0)] == ["    ", "╸   ", "━━  ", "━━━━", "━━━━"]
    assert [Look(ascii_only=True).bar(part, 4) for part in (0.0, 0.001, 0.6)] == ["    ", "=   ", "=== "]
    steps = [look.color(2.0**-i) for i in range(8)]
    assert len(set(steps)) == 6 and steps[5] == steps[6] == look.color(0.0)
    assert look.color(1.0) != Look(dark=False).color(1.0)
