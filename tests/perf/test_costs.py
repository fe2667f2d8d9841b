"""Costs of nodes at the sizes of runs."""

from __future__ import annotations

import numpy as np
import pytest
from made_up import FLOPS, GRAPH, TRAFFIC

from ggtui.core.graph.cost import Cost
from ggtui.core.graph.dim import Dim
from ggtui.core.runtime.record import TokenRecord
from ggtui.perf.costs import Costs


def test_all_nodes_at_once_are_each_by_itself() -> None:
    for n_past in (0, 7, 500):
        token = TokenRecord(n_past, 3, 1)
        flops, traffic = Costs(GRAPH).at(token.sizes)
        assert flops.tolist() == [cost.at(token.sizes) for cost in FLOPS]
        assert traffic.tolist() == [cost.at(token.sizes) for cost in TRAFFIC]


def test_the_mean_over_evaluations() -> None:
    tokens = [TokenRecord(n_past, 1, 1) for n_past in (0, 2, 10)]
    flops, traffic = Costs(GRAPH).mean(tokens)
    assert flops.tolist() == [0, 3000, 999 + (1 + 3 + 11) / 3]
    assert traffic.tolist() == [100, 8000, 4000]
    assert not np.any(Costs(GRAPH).mean([]))


def test_polynomials() -> None:
    n, m = Dim("n", 9), Dim("m", 5)
    square = Cost.of(n).times(n)
    assert square.at({"n": 4}) == 16 and square.terms == ((1, ("n", "n")),)
    made = Cost.product(3, n, m).plus(square).minus(7)
    assert [made.at({"n": a, "m": b}) for a, b in ((0, 5), (2, 0), (2, 3))] == [-7, -3, 15]
    assert Cost.of(n).minus(n) == Cost() == Cost.of(0)
    assert Cost.product(n, m) == Cost.product(m, n)
    assert Cost.of(6).times(n).over(3) == Cost.of(n).times(2)
    with pytest.raises(ValueError, match="no multiple of 4"):
        Cost.of(6).over(4)
    with pytest.raises(KeyError):
        made.at({"n": 1})
