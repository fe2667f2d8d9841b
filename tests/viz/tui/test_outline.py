"""The lines of the outline."""

from __future__ import annotations

from dataclasses import replace

from recorded import figures_of, loaded, trace

from ggtui.core.runtime.record import GraphInfo
from ggtui.viz.tui.widgets.heat import Look
from ggtui.viz.tui.widgets.outline import Columns, fitted, head, hottest, items_of, line, matches, visible


def graph() -> GraphInfo:
    return loaded().graphs[0]


def test_layers_blocks_and_nodes() -> None:
    items = items_of(graph())
    layers = [item for item in items if item.kind == "layer"]
    assert [item.text for item in layers] == ["before the layers", *(f"blk.{i}" for i in range(6)), "after the layers"]
    assert [i for item in layers for i in item.nodes] == list(range(71))
    blocks = [(item.text, item.nodes) for item in items if item.parent == "blk.0"]
    assert blocks == [("attn", (3, 4, 5, 6, 7, 8, 9)), ("ffn", (10, 11, 12, 13))]
    assert [item.text.split()[:2] for item in items if item.parent == "node blk.0.attn_output"] == [
        ["mul_mat", "blk.0.attn_output"],
        ["add", "blk.0.attn_output.biased"],
        ["add", "blk.0.attn_residual"],
    ]
    assert len({item.key for item in items}) == len(items)


def test_a_graph_without_layers_or_keys() -> None:
    nodes = tuple(replace(n, layer=None, key="", originals=()) for n in graph().nodes)
    items = items_of(replace(graph(), nodes=nodes))
    assert items[0].text == "outside layers" and len(items) == 72
    assert len({item.key for item in items}) == 72


def test_names_are_data() -> None:
    nodes = (replace(graph().nodes[0], name="a\x1b[31m\n", layer=None),)
    assert items_of(replace(graph(), nodes=nodes))[1].text == "a\\x1b[31m\\n"


def test_folded_groups_hide_what_is_in_them() -> None:
    items = items_of(graph())
    folded = {f"blk.{i}" for i in range(6)}
    assert [item.text for item in visible(items, folded, False)][4:6] == ["blk.0", "blk.1"]
    assert len(visible(items, folded, True)) == len(visible(items, folded, False)) + 4
    assert len(visible(items, set(), False)) == 71 + 8 + 12


def test_every_line_is_as_wide() -> None:
    figures = figures_of(trace())
    items = items_of(graph())
    for width in (50, 60, 78, 120):
        for heat in ("time", "waiting", "bytes", "limit"):
            columns, most = Columns.of(width, heat), hottest(items, figures, heat)
            drawn = [line(item, columns, figures, heat, most, Look(), folded=False) for item in items]
            full = {text.cell_len for item, text in zip(items, drawn, strict=True)}
            assert len(full) == 1 and full.pop() <= width
            assert head(columns, heat).cell_len <= width


def test_layers_blocks_and_nodes_share_one_scale() -> None:
    figures = figures_of(trace())
    items = items_of(graph())
    most = hottest(items, figures, "time")
    assert most == max(sum(figures.time[i] for i in item.nodes) for item in items)
    assert most > max(figures.time) > 0
    assert hottest(items, figures, "limit") == 1.0
    assert hottest(items, None, "time") == 0.0


def test_a_name_is_cut_to_its_column() -> None:
    assert fitted("abcdef", 4, Look()) == "abc…"
    assert fitted("abcdef", 4, Look(ascii_only=True)) == "abc~"
    assert fitted("ab", 4, Look()) == "ab  "


def test_matches() -> None:
    assert matches(graph(), "ATTN_QKV")[:2] == ["node blk.0.attn_qkv", "node blk.1.attn_qkv"]
    assert matches(graph(), "ffn_residual")[0] == "node blk.0.ffn_down"  # an op it stands for
    assert matches(graph(), "") == matches(graph(), "xyz") == []
