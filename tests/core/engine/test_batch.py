from __future__ import annotations

import sys

import numpy as np
import pytest

import ggtui
from ggtui.core.runtime.cpu import plan


@pytest.mark.parametrize("all_logits", [False, True])
def test_a_large_batchs_memory_is_given_back_and_its_results_stay_the_same(
    monkeypatch: pytest.MonkeyPatch, all_logits: bool
) -> None:
    monkeypatch.setattr(plan, "HUGE_PAGE", 1)  # so that small arenas are given back too
    session = ggtui.load(threads=1, batch=64)
    ids = list(range(100, 148))
    first = session.eval(ids, all_logits)
    (batch,) = [r for r in session.engine._runners.values() if r.capacity > 1]
    assert batch.filled and batch.plan.arena.any()
    for _ in range(2):
        one = session.eval([7])
        assert not batch.filled
        assert not batch.plan.arena.any() or sys.platform != "linux"
    session.reset()
    np.testing.assert_array_equal(session.eval(ids, all_logits), first)
    session.eval([7])
    np.testing.assert_array_equal(session.eval([7]), one)
    session.reset()
    session.eval(ids[:8], all_logits)
    session.eval([7])
    assert batch.plan.arena.any() and not batch.filled, "of a small batch it is kept"
