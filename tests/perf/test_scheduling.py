"""What the system did not schedule, taken out of records made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_up import rested, trace, with_a_third_that_rests

from ggtui.core.runtime.record import Records, TokenRecord, Trace, Unscheduled
from ggtui.perf.stage import Stage, stages
from ggtui.perf.table import rows
from ggtui.perf.words import stage_in_words
from ggtui.viz.tables import lane_table

LOST = 4_000_000


def timed(t: Trace) -> Trace:
    """Its evaluations one after the other."""
    starts = np.cumsum([0, *(token.eval_ns for token in t.tokens)]).tolist()
    return replace(t, tokens=tuple(replace(k, start_ns=s) for k, s in zip(t.tokens, starts, strict=False)))


def put_aside(t: Trace, at: int, thread: int, node: int, ns: int, *, said: bool = True) -> Trace:
    """A thread loses its core in a node of one evaluation; the other threads meet it later."""
    token = t.tokens[at]
    table = Records.of(token.records).table.copy()
    mine = (table[:, 0] == node) & (table[:, 2] == thread)
    last = mine & (table[:, 1] == table[mine, 1].max())
    until = int(table[last, 3][0])
    table[:, 5] += np.where((table[:, 5] > until) & ((table[:, 2] != thread) | last | (table[:, 3] > until)), ns, 0)
    table[:, 4] += np.where(last | (table[:, 3] > until), ns, 0)
    table[:, 3] += np.where(table[:, 3] > until, ns, 0)
    entry = (Unscheduled(thread, token.eval_ns + ns, ns),) if said else ()
    slow = replace(token, records=Records(table), eval_ns=token.eval_ns + ns, unscheduled=entry)
    return timed(replace(t, tokens=(*t.tokens[:at], slow, *t.tokens[at + 1 :])))


def of(t: Trace) -> Stage:
    return stages(t)[0]


def test_lost_time_is_no_time_of_the_node() -> None:
    quiet = timed(trace(n=20))
    noisy = put_aside(quiet, 10, thread=1, node=2, ns=LOST)
    stage = of(noisy)
    assert stage.times.lost[10].tolist() == [0, pytest.approx(LOST, rel=0.01)]
    assert stage.times.lost.sum() == pytest.approx(LOST, rel=0.01)
    for a, b in zip(rows(of(quiet)), rows(stage), strict=True):
        assert a.key == b.key and b.time.mean == pytest.approx(a.time.mean, rel=0.02)


def test_who_waits_for_a_thread_without_a_core_is_held_up() -> None:
    stage = of(put_aside(timed(trace(n=20)), 10, thread=1, node=2, ns=LOST))
    assert stage.times.held[10].tolist() == [pytest.approx(LOST, rel=0.01), 0]
    assert stage.part("wait") < 0.01 and stage.part("held") > 0.4 < stage.part("lost")


def test_without_the_systems_word_it_stays_where_it_was_seen() -> None:
    stage = of(put_aside(timed(trace(n=20)), 10, thread=1, node=2, ns=LOST, said=False))
    assert not stage.times.lost.any() and not stage.times.held.any()
    assert stage.times.work[10, 2].max() > LOST and not stage.typical[10]


def test_no_more_is_taken_than_the_system_says() -> None:
    noisy = put_aside(timed(trace(n=20)), 10, thread=1, node=2, ns=LOST)
    said = replace(noisy.tokens[10], unscheduled=(Unscheduled(1, 10_000_000, LOST // 2),))
    stage = of(replace(noisy, tokens=(*noisy.tokens[:10], said, *noisy.tokens[11:])))
    assert stage.times.lost.sum() == pytest.approx(LOST / 2)


def test_the_word_reaches_back_over_earlier_evaluations() -> None:
    noisy = put_aside(timed(trace(n=20)), 10, thread=0, node=1, ns=LOST, said=False)
    tokens = list(noisy.tokens)
    tokens[15] = replace(tokens[15], unscheduled=(Unscheduled(0, LOST + 40_000, LOST),))
    assert of(replace(noisy, tokens=tuple(tokens))).times.lost[10, 0] == pytest.approx(LOST, rel=0.01)
    tokens[15] = replace(tokens[15], unscheduled=(Unscheduled(0, 20_000, 10_000),))
    assert not of(replace(noisy, tokens=tuple(tokens))).times.lost[10, 0]


def test_jitter_is_not_spoken_of() -> None:
    t = timed(trace(n=20))
    tokens = tuple(replace(k, unscheduled=(Unscheduled(0, 1_000_000, 5_000),)) for k in t.tokens)
    assert not of(replace(t, tokens=tokens)).times.lost.any()


def test_work_that_another_thread_does_is_not_lost() -> None:
    """Chunks are taken by whoever is free: of a node the sum over threads tells."""
    t = timed(trace(n=20))

    def swapped(token: TokenRecord) -> TokenRecord:
        table = Records.of(token.records).table.copy()
        mine = (table[:, 0] == 2) & (table[:, 2] == 0)
        table[mine, 4] += 1900
        table[mine, 5] = np.maximum(table[mine, 5], table[mine, 4])
        other = (table[:, 0] == 2) & (table[:, 2] == 1)
        table[other, 4] = table[other, 3]
        table[other, 5] = table[mine, 5].max()
        return replace(token, records=Records(table), unscheduled=(Unscheduled(1, 50_000, 40_000),))

    tokens = (*t.tokens[:10], swapped(t.tokens[10]), *t.tokens[11:])
    assert of(replace(t, tokens=tokens)).times.lost[10, 0] == 0


@pytest.mark.parametrize("thread", [0, 1])
def test_all_parts_still_fill_the_evaluation(thread: int) -> None:
    stage = of(put_aside(timed(trace(n=20)), 3, thread=thread, node=1, ns=LOST))
    t = stage.times
    filled = t.work.sum(axis=(1, 2)) + t.wait.sum(axis=(1, 2)) + t.wake + t.lost + t.held
    walls = [max(r.done for r in token.records) for token in stage.tokens]
    assert filled == pytest.approx(np.array([walls, walls]).T)
    assert min(t.work.min(), t.wait.min(), t.wake.min(), t.lost.min(), t.held.min()) >= -1e-6


def test_a_thread_that_rests_loses_nothing() -> None:
    """Thread 0 does all: so long it takes, however many threads there are."""
    t = rested(timed(trace(n=4)))
    stage = of(t)
    took = [token.eval_ns for token in t.tokens]
    assert stage.times.rest.T.tolist() == [[0] * 4, took] and not stage.times.wake[:, 1].any()
    assert stage.alone.tolist() == took and stage.typical.all()
    assert stage.part("rest") == pytest.approx(0.5, rel=0.01) and not stage.part("lost") and not stage.part("held")
    assert "50.0% resting, since fewer are faster" in "\n".join(stage_in_words(stage))
    _, columns, lines = lane_table(stage)
    assert columns[-2:] == [("rest", "right"), ("waiting", "right")] and lines[0][-2] == "0 ns" != lines[1][-2]


def test_what_one_loses_alone_is_all_of_the_loss() -> None:
    """A thread that rests neither loses time nor is held up."""
    quiet = rested(timed(trace(n=20)))
    noisy = put_aside(quiet, 10, thread=0, node=2, ns=LOST)
    table = Records.of(noisy.tokens[10].records).table
    table[table[:, 2] == 1, 4:] = noisy.tokens[10].eval_ns
    stage = of(noisy)
    assert stage.times.lost[10].tolist() == [pytest.approx(LOST, rel=0.01), 0]
    assert stage.typical.all() and stage.alone[10] == pytest.approx(quiet.tokens[10].eval_ns, rel=0.05)


def late(t: Trace, at: int, ns: int) -> Trace:
    """Thread 1 leaves the barrier after the second node too late."""
    token = t.tokens[at]
    table = Records.of(token.records).table.copy()
    mine = table[:, 2] == 1
    barrier = mine & (table[:, 0] == 1) & (table[:, 1] == 1)
    after = mine & (table[:, 3] >= table[barrier, 5][0])
    table[barrier, 5] += ns
    table[after, 3:] += ns
    table[table[:, 0] == 2, 5] = table[:, 5].max()
    eval_ns = token.eval_ns + ns
    slow = replace(token, records=Records(table), eval_ns=eval_ns, unscheduled=(Unscheduled(1, eval_ns, ns),))
    return timed(replace(t, tokens=(*t.tokens[:at], slow, *t.tokens[at + 1 :])))


@pytest.mark.parametrize("how", ["at work", "late"])
def test_a_third_thread_that_rests_changes_nothing_for_the_others(how: str) -> None:
    quiet = timed(trace(n=20))
    two = put_aside(quiet, 10, thread=1, node=2, ns=LOST) if how == "at work" else late(quiet, 10, LOST)
    a, b = of(two), of(with_a_third_that_rests(two))
    assert a.times.lost[10].tolist() == [0, pytest.approx(LOST, rel=0.01)]
    for name in ("wake", "lost", "held"):
        assert getattr(b.times, name)[:, :2].tolist() == getattr(a.times, name).tolist(), name
    assert b.times.wait[..., :2].tolist() == a.times.wait.tolist() and not b.times.held[:, 2].any()
    assert b.alone == pytest.approx(a.alone) and b.typical.tolist() == a.typical.tolist()
    assert b.part("rest") == pytest.approx(1 / 3, rel=0.01)
