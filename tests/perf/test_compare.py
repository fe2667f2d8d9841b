"""Comparisons: what changed, what is beyond the gate, and what can't be compared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from made_up import GRAPH, trace

from ggtui.core.errors import UsageError
from ggtui.core.runtime.record import NodeTotal, Records, Trace
from ggtui.perf.compare import compare, differences, undecided


def measured(node_scale: dict[int, float] | None = None, *, seed: int = 0, noise: float = 0.01, n: int = 10) -> Trace:
    """`n` repetitions, each of another speed."""
    rng = np.random.default_rng(seed)
    runs = [trace(1 + noise * float(rng.standard_normal()), node_scale, n=3) for _ in range(n)]
    return replace(runs[0], tokens=tuple(token for run in runs for token in run.tokens))


def test_a_trace_against_itself_shows_no_change() -> None:
    found = compare(trace(), trace(), 0.0)
    assert not found.worse and not found.missing and not found.new
    assert [c.key for c in found.changes] == ["output", "blk.0.ffn_up", "token_embd"]
    assert all(c.delta == 0 and c.ratio.value == 1 and not c.shown for c in (*found.changes, *found.whole))


def test_the_node_that_became_slower_comes_first() -> None:
    found = compare(measured(), measured({1: 1.5}, seed=1), 0.05)
    assert found.changes[0].key == "blk.0.ffn_up" and found.changes[0].ratio.value == pytest.approx(1.5, rel=0.03)
    assert found.changes[0].ratio.has(1.5) and found.changes[0].shown
    assert [c.key for c in found.worse] == ["whole evaluation", "blk.0.ffn_up"]
    assert found.whole[0].delta == pytest.approx(0.5 * 1550, rel=0.1)


def test_the_gate_judges_what_is_shown_and_what_is_large() -> None:
    slower = measured({2: 1.12}, seed=1)
    assert not compare(measured(), slower).worse
    assert not compare(measured(), slower, 0.2).worse
    assert "output" in [c.key for c in compare(measured(), slower, 0.05).worse]
    # A node that takes 3% of the time is not judged.
    assert not compare(measured(), measured({0: 1.5}, seed=1), 0.05).worse
    faster = compare(measured(), measured({2: 0.5}, seed=1), 0.05)
    assert not faster.worse and faster.changes[0].key == "output" and faster.changes[0].delta < 0


def test_noise_does_not_fail_and_is_called_so() -> None:
    for seed in range(20):
        found = compare(measured(noise=0.2, seed=seed), measured(noise=0.2, seed=100 + seed), 0.05)
        assert not found.worse and found.unclear
        assert all(not c.shown and c.ratio.high > 1.05 for c in found.unclear)


def test_a_slower_node_is_found_among_the_noise() -> None:
    found = [compare(measured(seed=s), measured({2: 1.1}, seed=100 + s), 0.05) for s in range(20)]
    assert sum("output" in [c.key for c in f.worse] for f in found) >= 18


def test_a_slower_node_is_found_whatever_the_pace_of_the_machine() -> None:
    """Its own time tells nothing there, that to the others' does."""
    slow = {0: 1.0, 1: 1.0, 2: 1.12}
    found = [
        compare(measured(noise=0.1, seed=s), measured(slow, noise=0.1, seed=100 + s), 0.05).worse for s in range(20)
    ]
    assert sum([c.key for c in worse] == ["output"] for worse in found) >= 18


def test_what_became_faster_makes_nothing_worse() -> None:
    """Though all else takes longer, to the others' time."""
    assert not compare(measured(), measured({2: 0.5}, seed=1), 0.05).worse


def test_longer_times_show_nothing_where_the_threads_meet_far_more_slowly() -> None:
    """Their cores may be farther apart now."""
    base, slower = measured(), measured({0: 1.5, 1: 1.5, 2: 1.5}, seed=1)
    assert [c.key for c in compare(base, slower, 0.05).worse] == ["whole evaluation"]
    limits = slower.limits
    assert limits is not None
    apart = replace(slower, limits=replace(limits, barrier_most_ns=3 * limits.barrier_ns))
    found = compare(base, apart, 0.05)
    assert not found.worse and found.unclear and found.handoff == (limits.barrier_ns, 3 * limits.barrier_ns)
    assert not any(c.shown for c in (*found.whole, *found.changes))


def test_probes_of_a_barrier_may_differ_and_may_say_nothing() -> None:
    base, slower = measured(), measured({0: 1.5, 1: 1.5, 2: 1.5}, seed=1)
    limits = base.limits
    assert limits is not None
    for ns in (0.0, 1.6 * limits.barrier_ns):
        now = replace(slower, limits=replace(limits, barrier_ns=min(ns, limits.barrier_ns), barrier_most_ns=ns))
        found = compare(base, now, 0.05)
        assert found.handoff is None and [c.key for c in found.worse] == ["whole evaluation"]


def test_a_gpu_has_no_threads_that_meet() -> None:
    """What its launches cost tells nothing of where threads ran."""
    base, slower = measured(), measured({0: 1.5, 1: 1.5, 2: 1.5}, seed=1)
    assert base.limits is not None
    gpu = replace(base.limits, device="vulkan", int8=0.0)
    apart = replace(gpu, barrier_most_ns=3 * gpu.barrier_ns)
    found = compare(replace(base, limits=gpu), replace(slower, limits=apart), 0.05)
    assert found.handoff is None and [c.key for c in found.worse] == ["whole evaluation"]


def handed_over_later(trace: Trace, *each: int) -> Trace:
    """The same, with so much more after each barrier until threads go on: in the first part of the run, in the next."""
    tokens = []
    for i, token in enumerate(trace.tokens):
        ns = each[i * len(each) // len(trace.tokens)]
        table = Records.of(token.records).table.copy()
        table[table[:, 5] > table[:, 4], 5] += ns
        tokens.append(replace(token, records=Records(table)))
    return replace(trace, tokens=tuple(tokens))


def test_records_tell_how_far_apart_the_threads_are() -> None:
    near, far = handed_over_later(measured(), 100), handed_over_later(measured({2: 1.5}, seed=1), 300)
    as_near = handed_over_later(measured({2: 1.5}, seed=1), 100)
    assert "output" in [c.key for c in compare(near, as_near, 0.05).worse]
    found = compare(near, far, 0.05)
    assert found.handoff == (100, 300) and not found.worse and not any(c.shown for c in found.changes)
    assert compare(far, near, 0.05).handoff == (300, 100)
    assert undecided(near, far) and undecided(far, near) and not undecided(near, as_near)


def test_of_threads_that_were_moved_meanwhile_only_equal_distances_are_compared() -> None:
    """Where they were far apart all took twice as long; that is no change, and does not hide one."""

    def part_moved(node_scale: dict[int, float] | None, first: int, then: int, seed: int) -> Trace:
        halves = [measured(node_scale, seed=seed), measured(node_scale, seed=seed + 1)]
        slow = {node: 2 * (node_scale or {}).get(node, 1.0) for node in range(3)}
        for half, ns in enumerate((first, then)):
            if ns > 100:
                halves[half] = measured(slow, seed=seed + half)
        both = replace(halves[0], tokens=halves[0].tokens + halves[1].tokens)
        return handed_over_later(both, first, then)

    base = part_moved(None, 100, 400, seed=0)
    for first, then in ((100, 400), (400, 100), (100, 100), (400, 400)):
        equal = compare(base, part_moved(None, first, then, seed=10), 0.05)
        assert equal.handoff is None and not any(c.shown for c in (*equal.whole, *equal.changes))
        assert "output" in [c.key for c in compare(base, part_moved({2: 1.2}, first, then, seed=10), 0.05).worse]


def test_a_node_slower_to_the_others_alone_is_measured_again() -> None:
    """Either the machine became faster and the node slower, or all others faster."""
    base, torn = measured(noise=0.001), measured({0: 0.9, 1: 0.9}, noise=0.001, seed=1)
    assert not compare(base, torn, 0.05).worse and undecided(base, torn, 0.05) and not undecided(base, torn, 0.2)
    assert not undecided(base, measured({2: 1.2}, seed=1), 0.05) and not undecided(base, torn)


def test_busy_programs_make_whole_evaluations_unclear() -> None:
    base, slower = measured(), measured({0: 1.5, 1: 1.5, 2: 1.5}, seed=1)
    busy = replace(slower, run=replace(slower.run, others=0.45))
    found = compare(base, busy, 0.05)
    assert not found.worse and "whole evaluation" in [c.key for c in found.unclear]


def test_light_profiles_are_compared_too() -> None:
    def light(t: Trace) -> Trace:
        totals = []
        for node, part, thread in {(r.node, r.part, r.lane) for r in t.tokens[0].records}:
            rows = [r for k in t.tokens for r in k.records if (r.node, r.part, r.lane) == (node, part, thread)]
            work = [r.end - r.start for r in rows]
            squared = float(sum(w * w for w in work))
            wait = sum(r.done - r.end for r in rows)
            totals.append(NodeTotal(0, node, part, thread, len(rows), sum(work), min(work), max(work), wait, squared))
        return replace(t, tokens=tuple(replace(k, records=()) for k in t.tokens), totals=tuple(totals))

    found = compare(light(measured(n=40)), light(measured({2: 1.5}, seed=1, n=40)), 0.05)
    assert "output" in [c.key for c in found.worse] and "blk.0.ffn_up" not in [c.key for c in found.worse]


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
    two, three = (replace(trace(), tokens=tuple(replace(t, n_tokens=n) for t in trace().tokens)) for n in (2, 3))
    with pytest.raises(UsageError, match="tokens of an evaluation of prompt"):
        compare(two, three)
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
