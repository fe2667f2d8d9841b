"""The table of cases: every op over types, shapes, broadcasts and strides. `ggtui ops --check` and the tests run it."""

from __future__ import annotations

from ggtui.core.runtime.cases import attention, elementwise, mul_mat, shape
from ggtui.core.runtime.cases.base import Case, Given

CASES: tuple[Case, ...] = (*shape.CASES, *elementwise.CASES, *mul_mat.CASES, *attention.CASES)

__all__ = ["CASES", "Case", "Given"]
