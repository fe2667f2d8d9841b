"""Comparisons: what changed, what is beyond the gate, and what can't be compared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from made_up import GRAPH, trace

from ggtui.core.errors import UsageError
from ggtui.perf.compare import compare, differences


def test_a_trace_against_itself_shows_no_change() -> None:
    found = compare(trace(), trace(), 0.0)
    assert not found.worse and not found.missing and not found.new and found.measure == "median"
    assert [c.key for c in found.changes] == ["output", "blk.0.ffn_up", "token_embd"]
    assert all(c.delta == 0 and c.ratio == 1 for c in (*found.changes, *found.whole))


def test_the_node_that_became_slower_comes_first() -> None:
    found = compare(trace(), trace(node_scale={1: 1.5}), 0.05)
    assert found.changes[0].key == "blk.0.ffn_up" and found.changes[0].ratio == pytest.approx(1.5, rel=0.01)
    assert [c.key for c in found.worse] == ["the whole evaluation", "blk.0.ffn_up"]
    assert found.whole[0].delta == pytest.approx(0.5 * 1550 * 1.02, rel=0.02)


def test_the_gate() -> None:
    slower = trace(node_scale={2: 1.04})
    assert not compare(trace(), slower).worse
    assert not compare(trace(), slower, 0.05).worse
    assert [c.key for c in compare(trace(), slower, 0.03).worse] == ["output"]
    # 10% of a node that takes 3% of the time is more than 5% of it, and yet nothing
    assert not compare(trace(), trace(node_scale={0: 1.1}), 0.05).worse
    faster = compare(trace(), trace(node_scale={2: 0.5}), 0.05)
    assert not faster.worse and faster.changes[0].key == "output" and faster.changes[0].delta < 0


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("processor", "another", "machine: a processor in the base, another now"),
        ("system", "Linux aarch64", "system: Linux x86_64 in the base, Linux aarch64 now"),
        ("threads", 4, "threads: 2 in the base, 4 now"),
        ("isa", "scalar", "instruction set: avx2 in the base, scalar now"),
        ("types", {"q4_0": 500}, r"quantization: q8_0 \(1,000 bytes\) in the base, q4_0 \(500 bytes\) now"),
        ("kv_type", "f32", "type of the KV cache"),
        ("fused", False, "fusion: on in the base, off now"),
        ("profile", "light", "profile: full in the base, light now"),
    ],
)
def test_what_differs_is_named(field: str, value: Any, said: str) -> None:
    other = replace(trace(), run=replace(trace().run, **{field: value}))
    with pytest.raises(UsageError, match=said):
        compare(trace(), other)
    assert compare(trace(), other, force=True).changes
    assert len(differences(trace(), other)) == 1


def test_other_graphs_are_named() -> None:
    nodes = (*GRAPH.nodes[:2], replace(GRAPH.nodes[2], type="q8_0"))
    other = replace(trace(), graphs=(replace(GRAPH, nodes=nodes),))
    with pytest.raises(UsageError, match="graph: generation differs at output: mul_mat f16"):
        compare(trace(), other)
    longer = replace(trace(), tokens=tuple(replace(t, n_tokens=2) for t in trace().tokens))
    with pytest.raises(UsageError, match="tokens of an evaluation of generation"):
        compare(trace(), longer)
    none = replace(trace(), tokens=())
    with pytest.raises(UsageError, match="stage: generation was measured in the base only"):
        compare(trace(), none)


def test_nodes_of_only_one_trace_are_listed() -> None:
    renamed = (*GRAPH.nodes[:2], replace(GRAPH.nodes[2], key="logits"))
    other = replace(trace(), graphs=(replace(GRAPH, nodes=renamed),))
    found = compare(trace(), other, force=True)
    assert found.missing == ("generation output",) and found.new == ("generation logits",)


def test_the_model_may_lie_elsewhere() -> None:
    other = replace(trace(), run=replace(trace().run, model="other.gguf", created="later", ggtui="2"))
    assert differences(trace(), other) == []
