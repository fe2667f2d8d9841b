"""Ops value by value and row by row where numbers end. The table of cases has their types, shapes and strides."""

from __future__ import annotations

import numpy as np
import pytest
from every_way import computed

from ggtui import Context, ops
from ggtui.core.graph.ops import OPS
from ggtui.core.runtime.cases.elementwise import UNARY
from ggtui.core.runtime.cpu.native import usable_isas


@pytest.mark.parametrize("isa", usable_isas())
@pytest.mark.parametrize("op", UNARY)
def test_far_values(op: str, isa: str) -> None:
    x = np.array([0, 1e-30, 1e4, 3e38, np.inf], np.float32)
    if op not in ("log", "sqrt"):
        x = np.concatenate([-x[:-1], x])
    with np.errstate(all="ignore"):
        want = OPS[op].reference((), x.astype(np.float64)).astype(np.float32)
    if op == "gelu":
        want[x == -3e38] = 0  # whose cube is past float64's tanh, not past zero
    got = computed(ops.OPS[op].build(Context().tensor(x)), isa=isa)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-30)


def test_norms_of_equal_values() -> None:
    x = Context().tensor(np.stack([np.zeros(33), np.full(33, 5)]).astype(np.float32))
    assert computed(ops.norm(x)).tolist() == [[0.0] * 33] * 2
    np.testing.assert_allclose(computed(ops.rms_norm(x)), [[0.0] * 33, [1.0] * 33], rtol=1e-6)
    np.testing.assert_allclose(computed(ops.l2_norm(x)), [[0.0] * 33, [33**-0.5] * 33], rtol=1e-6)
