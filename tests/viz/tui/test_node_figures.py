"""Figures of nodes against those of perf."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import two_devices
from recorded import LIMITS, figures_of, loaded, trace

from ggtui.core.runtime.record import NodeTotal, Trace
from ggtui.perf.stage import stages
from ggtui.perf.table import rows
from ggtui.viz.tui.dialogs.node_details import details
from ggtui.viz.tui.widgets.heat import Look, told, value
from ggtui.viz.tui.widgets.node_card import card
from ggtui.viz.tui.widgets.node_figures import Figures


def test_they_are_those_of_the_table() -> None:
    (stage,) = stages(trace())
    figures = Figures.of(stage)
    assert figures.n == int(stage.typical.sum()) == 33  # every seventh of the made-up runs is slow, and not typical
    ids = {n.key: n.id for n in stage.graph.nodes}
    for row in rows(stage):
        i = ids[row.key]
        assert figures.time[i] == pytest.approx(row.time.mean)
        assert figures.wait[i] == pytest.approx(row.wait_ns)
        assert (figures.flops[i], figures.traffic[i]) == pytest.approx((row.flops, row.traffic))
        limit, part = figures.limit([i])
        assert limit == row.limit and part == pytest.approx(row.of_limit)
        assert figures.share([i]) == pytest.approx(row.share)
    assert figures.evaluation == stage.evals.mean
    assert figures.history is not None
    assert np.mean(figures.history, axis=0) == pytest.approx(figures.time)


def test_light_profile() -> None:
    run = trace()
    plain = tuple(replace(t, records=()) for t in run.tokens)
    totals = tuple(NodeTotal(0, i, 0, t, 10, 10_000 * (t + 1), 900, 1100, 500, 0.0) for i in range(71) for t in (0, 1))
    figures = figures_of(Trace(run.graphs, plain, run.memory, totals=totals, limits=LIMITS))
    assert figures.history is None
    assert figures.time[7] == 2000 and figures.wait[7] == 50
    text = card(run.graphs[0], [7], figures, "time", 80, Look()).plain
    assert "2.00 us" in text and "mean of 33" in text and "median" not in text


def test_values_of_a_heat() -> None:
    figures = figures_of(replace(trace(), limits=None))
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


def test_nodes_of_two_devices() -> None:
    (stage,) = stages(two_devices.trace())
    figures = Figures.of(stage)
    assert figures.limit([1]) == ("", None) and figures.limit([1, 2]) == ("", None)
    assert figures.limit((2,))[1] == next(row.of_limit for row in rows(stage) if row.key == "output")
    theirs, ours = (card(stage.graph, [i], figures, "time", 90, Look()).plain for i in (1, 2))
    assert "phase 1, on vulkan" in theirs and "allows" not in theirs and "for other lanes" in theirs
    assert "on vulkan" not in ours and "allows" in ours


def test_details_of_a_node_tell_the_lanes_of_its_device() -> None:
    (stage,) = stages(two_devices.trace())
    told = {row.key: details(stage, row, "node").plain for row in rows(stage)}
    theirs = [line for line in told["blk.0.ffn_up"].splitlines() if " work " in line and "wait " in line]
    assert theirs == ["lanes     vulkan queue work  4.30 us, wait  5.20 us"]
    assert "in generation, on vulkan" in told["blk.0.ffn_up"] and "limit     not known" in told["blk.0.ffn_up"]
    assert "lanes     thread 0     work  4.00 us, wait  1.00 us" in told["output"]
    assert "queue" not in told["output"] and "waiting for other lanes after it, the mean over lanes" in told["output"]
