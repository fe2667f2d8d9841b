"""A trace in plain words."""

from __future__ import annotations

from dataclasses import replace

import pytest
import two_devices
from made_up import LIMITS, trace

from ggtui.perf.stage import Interruption
from ggtui.perf.words import in_words, interruptions, overhead, used_by_others


def test_summary_says_what_binds() -> None:
    t = replace(trace(n=2), limits=replace(LIMITS, f32=1e12, int8=1e12))
    text = "\n".join(in_words(t))
    assert (
        "generation: " in text
        and "generation is memory-bound: " in text
        and "GB/s" in text
        and "blk.0.ffn_up is 66% of the bytes" in text
    )
    assert "the threads' time is" in text and "waiting for each other" in text
    slow = replace(t, limits=replace(LIMITS, f32=1e7))
    assert "generation is compute-bound" in "\n".join(in_words(slow))
    fast = replace(t, limits=replace(LIMITS, read=((1000, 1e12),), f32=1e12, int8=1e12))
    assert "far from what the machine allows" in "\n".join(in_words(fast))
    assert in_words(replace(t, tokens=())) == []


def test_a_limit_is_told_with_what_its_probes_and_earlier_measurements_said() -> None:
    def bound(**known: object) -> str:
        limits = replace(LIMITS, read=((1000, 1e12),), f32=1e12, int8=1e12, **known)  # type: ignore[arg-type]
        return next(line for line in in_words(replace(trace(n=2), limits=limits)) if "memory-bound" in line)

    assert "of 1000.0 GB/s)" in bound()
    least, earlier = (1e12, 1e12, 9e11), ((1e12, 1e12), (1e12, 1e12), (5e11, 2e12))
    assert "of 1000.0 GB/s (probes: 900.0 to 1000.0))" in bound(least=least)
    told = bound(least=least, earlier=earlier, n_earlier=3)
    assert "of 1000.0 GB/s (probes: 900.0 to 1000.0; earlier: 500.0 to 2000.0))" in told


def test_what_launches_take() -> None:
    """Of the one node that runs where limits were measured."""
    made = two_devices.trace()
    assert not any("launch" in line for line in in_words(made))
    found = replace(LIMITS, device="vulkan", barrier_ns=1500.0, submit_ns=4000.0)
    assert "generation: 1 launch and a submit by themselves take 0.01 ms, 55% of it" in in_words(
        replace(made, limits=found)
    )


def test_overhead() -> None:
    cost = overhead(trace(n=1))
    # a step each for four loops, three meetings, and waking up
    assert cost["stamps"] == 8 and cost["stamp_ns"] == 20.0
    assert cost["share"] == pytest.approx(8 * 20 / trace(n=1).tokens[0].eval_ns)
    assert cost["end_to_end"] == pytest.approx(0.01)
    bare = trace(n=1)
    assert overhead(replace(bare, run=replace(bare.run, token_ns=0.0)))["end_to_end"] is None


def test_interruptions_are_told_apart() -> None:
    assert interruptions([], 10) == ""
    assert interruptions([Interruption(184, 6.7e6)], 32) == "1 interruption of 6.7 ms at n_past 184"
    several = interruptions([Interruption(3, 1e6), Interruption(9, 4e6)], 32)
    assert several == "2 interruptions of 5.0 ms in all, the longest 4.0 ms at n_past 9"
    most = interruptions([Interruption(i, 1e6) for i in range(9)], 10)
    assert most == "9 of 10 evaluations were interrupted, 9.0 ms in all, the longest 1.0 ms at n_past 0"


def test_a_busy_machine_is_told_first() -> None:
    t = trace(n=3)
    busy = replace(t, run=replace(t.run, others=0.4))
    assert in_words(busy)[0].startswith("busy machine: other programs used 40% of these cores")
    assert in_words(busy)[1].startswith("tokens a second") and in_words(busy)[2:] == in_words(t)
    stolen = replace(t, run=replace(t.run, others=0.01, stolen=0.2))
    assert in_words(stolen)[0].startswith("busy machine: other virtual machines used 20% of these cores")


def test_of_several_measurements_beside_others_the_busiest_is_told() -> None:
    assert used_by_others((0.3, 0.0), (0.01, 0.02)) == "busy machine: other programs used 30% of these cores"
    assert used_by_others((0.3, 0.0), (0.4, 0.1)) == (
        "busy machine: other programs used up to 40% of these cores and other virtual machines used 10% of these cores"
    )
    assert used_by_others((0.04, 0.04), (0.0, 0.0)) == ""
