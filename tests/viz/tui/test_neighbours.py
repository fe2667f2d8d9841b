"""A node between its neighbours, and what its card says."""

from __future__ import annotations

import made_up
from recorded import figures_of, loaded, trace

from ggtui.core.runtime.record import GraphInfo, TensorInfo
from ggtui.viz.tui.widgets.heat import Look
from ggtui.viz.tui.widgets.neighbours import around, bytes_of, bytes_told, counted, picture
from ggtui.viz.tui.widgets.node_card import card


def graph() -> GraphInfo:
    return loaded().graphs[0]


def test_what_a_node_reads_and_who_reads_it() -> None:
    near = around(graph(), [7])
    assert [(n.name, n.node) for n in near.sources] == [
        ("blk.0.attn_qkv", 4), ("blk.0.k_store", 5), ("blk.0.v_store", 6), ("(KV cache)", None), ("(KV cache)", None),
    ]  # fmt: skip
    assert [(n.name, n.node, n.op) for n in near.readers] == [("blk.0.attn:round", 8, "quantize")]
    assert near.stops == [4, 5, 6, 8]


def test_neighbours_of_a_layer_are_outside_of_it() -> None:
    near = around(graph(), range(3, 14))
    assert [n.name for n in near.sources] == ["embd"]
    assert [n.name for n in near.readers] == ["blk.1.attn_norm", "blk.1.attn_output"]


def test_bytes() -> None:
    assert bytes_of(TensorInfo("w", "q8_0", (256, 768, 1, 1))) == 256 // 32 * 34 * 768
    assert bytes_told(TensorInfo("w", "a type", (256, 1, 1, 1))) == "-"
    assert bytes_told(TensorInfo("w", "q8_0", (5, 1, 1, 1))) == "-"  # no whole block
    assert [counted(n, "node") for n in (0, 1, 2)] == ["no node", "1 node", "2 nodes"]


def test_picture() -> None:
    near = around(graph(), [2])
    text, stops = picture("embd", "add", near, figures_of(trace()), [2], 51, Look(), chosen=2)
    assert text.plain.split("\n") == [
        "  ┌─── token_embd         f32 256   1.0 KiB",
        "  ├─── position_embd      f32 256   1.0 KiB",
        " ┌─▼─ reads 2 nodes ──────────────────────────────┐",
        " │ embd  add                      1.44 us    0.2% │",
        " └─┬─ read by 2 nodes ────────────────────────────┘",
        "  ├──▶ blk.0.attn_norm   quantize   1.48 us    0.2%",
        "  └─── blk.0.attn_outp…  mul_mat    9.14 us    1.1%",
    ]
    assert stops == [0, 1, 5, 6]


def test_picture_without_times_in_ascii() -> None:
    text, stops = picture("output", "mul_mat", around(graph(), [70]), None, [70], 44, Look(ascii_only=True))
    assert text.plain.isascii() and stops == [0]
    assert text.plain.split("\n")[-3:] == [
        " +-v- reads 1 node and 1 tensor -----------+",
        " | output  mul_mat                         |",
        " +--- read by no node ---------------------+",
    ]


def test_card_of_a_node() -> None:
    text = card(graph(), [4], figures_of(trace()), "time", 90, Look()).plain
    assert " time      24.8 us, 3.0% of an evaluation, the mean of 33\n" in text
    assert "least 24.8 us, median 24.8 us, most 24.8 us" in text
    assert "210.4 KiB read and written, 393,984 operations" in text
    assert "f32 768, 3.0 KiB, as blk.0.attn_qkv.biased" in text
    assert "add      blk.0.attn_qkv.biased  f32 768" in text


def test_card_of_a_node_with_parts() -> None:
    figures = figures_of(made_up.trace())
    lines = card(made_up.GRAPH, [1], figures, "time", 90, Look()).plain.split("\n")
    at = next(i for i, line in enumerate(lines) if line.startswith(" parts "))
    assert lines[at].split() == ["parts", "quantize", "51", "ns"]  # the median of 50, 50.5, 51, 51.5 and 52
    assert lines[at + 1].split() == ["mul_mat", "1.53", "us", "7.8", "KiB,", "3,000", "operations"]


def test_card_of_a_layer_tells_its_hottest_nodes() -> None:
    text = card(graph(), range(3, 14), figures_of(trace()), "limit", 90, Look()).plain
    told = [line[11:].split()[0] for line in text.split("\n")[-8:]]
    assert told[0] == "blk.0.attn" and set(told) < {n.name for n in graph().nodes[3:14]} and len(set(told)) == 8


def test_card_fits() -> None:
    for width in (30, 44, 90):
        for nodes in ([3], range(3, 14)):
            text = card(graph(), list(nodes), figures_of(trace()), "bytes", width, Look(ascii_only=True)).plain
            assert text.isascii() and max(map(len, text.split("\n"))) <= width


def test_card_without_times() -> None:
    assert "time" not in card(graph(), [3], None, "time", 90, Look()).plain
    assert card(graph(), range(3, 14), None, "time", 90, Look()).plain == ""
