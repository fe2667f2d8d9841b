"""The lines of the table of nodes: columns, marks, order, filter."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_up import NODES, trace

from ggtui.core.runtime.record import Trace
from ggtui.perf.stage import stages
from ggtui.perf.table import BY, Row, rows
from ggtui.viz import tables
from ggtui.viz.tui.widgets.node_table import GAP, columns, heading, in_order, line, matching


def some(run: Trace | None = None, by: str = "node") -> list[Row]:
    return rows(stages(run or trace())[0], by)


def measured() -> list[Row]:
    """With what they would cost in fewer bits."""
    return [replace(row, kl={"q4_k": 1e-3 * i, "q2_k": 1.0}) for i, row in enumerate(some())]


def renamed(*keys: str) -> list[Row]:
    row = some()[0]
    return [replace(row, key=key) for key in keys]


@pytest.mark.parametrize("by", BY)
@pytest.mark.parametrize("width", [30, 60, 80, 100, 120, 200])
def test_lines_are_as_wide_as_the_heading(by: str, width: int) -> None:
    cols = columns(some(by=by), by, width)
    names = [c.name for c in cols]
    total = sum(c.width + GAP for c in cols)
    assert names[0] == by and {"time", "share"} <= set(names)
    assert total <= width or len(names) == 3
    for reverse in (False, True):
        for sort in names:
            marked = heading(cols, sort, reverse)
            assert len(marked) == total and marked.count("▼") + marked.count("▲") == 1
            plain = marked.replace("▼", " ").replace("▲", " ")
            assert (
                plain
                == heading(cols, "", False)
                == heading(cols, sort, reverse, ascii_only=True).replace("-", " ").replace("+", " ")
            )
    for row in some(by=by):
        assert len(line(cols, row)) == total


def test_columns_go_in_the_order_of_the_tables() -> None:
    widest = [c.name for c in columns(measured(), "node", 200)]
    assert widest == ["node", "op", "type", "shape", *tables.FIGURES]
    assert [c.name for c in columns(some(), "node", 200)] == widest[:-1] and widest[-1] == "KL q4_k"
    gone: list[str] = []
    for width in range(200, 20, -1):
        left = [c.name for c in columns(measured(), "node", width)]
        gone += [name for name in widest if name not in left and name not in gone]
    assert gone == [name for name in tables._SPARE if name in widest]


def test_figures_do_not_change_the_columns() -> None:
    slow = [replace(row, time=replace(row.time, mean=row.time.mean * 1e5)) for row in some()]
    assert columns(slow, "node", 100) == columns(some(), "node", 100)
    assert len(line(columns(slow, "node", 100), slow[0])) == len(line(columns(some(), "node", 100), some()[0]))


def test_order() -> None:
    made = renamed("blk.10.up", "blk.2.up", "output")
    assert [r.key for r in in_order(made, "node", "node", False)] == ["blk.2.up", "blk.10.up", "output"]
    assert [r.key for r in in_order(made, "node", "node", True)] == ["output", "blk.10.up", "blk.2.up"]
    by_type = [r.type for r in in_order(some(), "node", "type", False)]
    assert by_type == sorted(by_type)
    shapes = [replace(r, shape=shape) for r, shape in zip(made, ((1, 9), (4, 2), (4, 1)), strict=True)]
    assert [r.shape for r in in_order(shapes, "node", "shape", False)] == [(1, 9), (4, 1), (4, 2)]


@pytest.mark.parametrize("column", tables.FIGURES)
def test_what_is_not_known_is_last(column: str) -> None:
    first, *others = measured()
    light = replace(first, time=replace(first.time, p95=None), of_limit=None, kl={})
    for reverse in (False, True):
        order = in_order([light, *others], "node", column, reverse)
        if column in ("p95", "limit", "KL q4_k"):
            assert order[-1] is light
        cells = {row.key: tables.cells(row)[column] for row in order}
        assert len(cells) == len(NODES)


def test_figures_are_in_order() -> None:
    waits = [row.wait_ns for row in in_order(some(), "node", "wait", False)]
    assert waits == sorted(waits, reverse=True)
    rates = [row.flops_per_s for row in in_order(some(), "node", "GFLOP/s", True)]
    assert rates == sorted(rates)
    costs = [row.kl["q4_k"] for row in in_order(measured(), "node", "KL q4_k", False)]
    assert costs == [2e-3, 1e-3, 0]


def test_filter() -> None:
    assert [r.key for r in matching(some(), "FFN mul")] == ["blk.0.ffn_up"]
    assert [r.key for r in matching(some(), "f16")] == ["output"]
    assert len(matching(some(), " ")) == 3 and matching(some(), "no") == []


def test_names_are_shown_escaped_and_cut() -> None:
    made = renamed("a\x1b[0m\n")
    cols = columns(made, "node", 80)
    assert line(cols, made[0]).startswith("  a\\x1b[0m\\n  ")
    narrow = [replace(c, width=3) if c.name == "node" else c for c in cols]
    assert line(narrow, made[0])[:7] == "  a\\x  "
