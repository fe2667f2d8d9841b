"""Each kernel alone: all of them run, and their costs are the formulas."""

from __future__ import annotations

import pytest

from ggtui.core.runtime.cpu.native import usable_isas
from ggtui.core.runtime.record import Limits
from ggtui.perf import kernels
from ggtui.perf.kernels import kernel_times

K, N_ROWS = 256, 64


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_SECONDS", 0.0), ("K", K), ("N_ROWS", N_ROWS)):
        monkeypatch.setattr(kernels, name, value)


@pytest.mark.parametrize("isa", usable_isas())
def test_every_kernel_is_measured(isa: str) -> None:
    limits = Limits(isa, 1, ((1000, 1e9), (1 << 30, 1e9)), int8=1e9, f32=1e9, barrier_ns=1.0)
    found = list(kernel_times([isa], lambda name: limits if name == isa else None))
    names = {k.kernel for k in found}
    assert {"mul_mat_f32", "mul_mat_f16", "mul_mat_q8_0", "mul_mat_q4_0", "attention", "norm", "gelu"} <= names
    assert all(k.ns > 0 and k.isa == isa and k.traffic > 0 for k in found)
    one = next(k for k in found if k.kernel == "mul_mat_f32" and k.shape.endswith("x 1"))
    assert one.flops == 2 * K * N_ROWS and one.traffic == 4 * (K * N_ROWS + K + N_ROWS)
    assert one.limit == "memory" and one.of_limit == pytest.approx(one.traffic / one.ns)
    many = next(k for k in found if k.kernel == "mul_mat_q8_0" and k.shape.endswith("x 32"))
    assert many.flops == 64 * K * N_ROWS and many.limit == "compute"


def test_without_limits_there_is_no_share() -> None:
    found = list(kernel_times(["scalar"], lambda isa: None))
    assert all(k.of_limit is None and k.limit == "" for k in found)
