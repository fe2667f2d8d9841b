"""Kernels of any device, each alone: those that it has are measured, and held against its limits."""

from __future__ import annotations

import pytest

from ggtui.core.errors import MissingPartError
from ggtui.core.graph.tensor import Tensor
from ggtui.core.runtime.device import Device, Executable
from ggtui.core.runtime.record import Limits
from ggtui.core.runtime.several import device
from ggtui.perf import device_kernels
from ggtui.perf.device_kernels import kernel_times

K, M, N = 256, 64, 4
ROWS = {"norm", "rms_norm", "soft_max", "add", "gelu", "get_rows", "set_rows"}
LIMITS = Limits("", 1, ((1000, 1e9), (1 << 30, 1e9)), int8=0.0, f32=1e9, barrier_ns=1.0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    products = (((K, M, 1), (2 * K, M, 1)), ((K, M, N), (K, M, 2 * N)))
    for name, value in (("_SECONDS", 0.0), ("_RUNS", 1), ("PRODUCTS", products), ("ROW", K), ("N_ROWS", (1, N))):
        monkeypatch.setattr(device_kernels, name, value)


def on(name: str) -> Device:
    try:
        return device(name)
    except MissingPartError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", ["reference", pytest.param("vulkan", marks=pytest.mark.vulkan)])
def test_every_kernel_is_measured(name: str) -> None:
    found = list(kernel_times(on(name), LIMITS))
    kernels = {k.kernel for k in found}
    assert {"mul_mat_f32", "mul_mat_f16", "mul_mat_q8_0", "mul_mat_q4_k", "paged_attention_q8_0"} | ROWS <= kernels
    assert all(k.ns >= 1 and k.traffic > 0 and k.limit and k.of_limit for k in found)
    assert {k.isa for k in found} == {"numpy" if name == "reference" else "vulkan"}
    one, *_ = (k for k in found if k.kernel == "mul_mat_f32")
    assert one.shape == f"{K} x {M} . {K} x 1" and one.type == "f32"
    assert one.flops == 2 * K * M and one.traffic == 4 * (K * M + K + M)
    assert one.of_limit == pytest.approx(one.traffic / one.ns) and one.limit == "memory"
    many = next(k for k in found if k.kernel == "mul_mat_q8_0" and k.shape.endswith(f"x {N}"))
    assert many.limit == "compute" and many.of_limit == pytest.approx(many.flops / many.ns), "f32, as int8 is not known"
    attention = next(k for k in found if k.kernel == "paged_attention_f16")
    assert attention.traffic > 2 * 2 * 64 * 512 * 12


def test_large_products_are_for_devices_that_are_fast_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    def shapes() -> set[str]:
        return {k.shape for k in kernel_times(on("reference"), None) if k.kernel == "mul_mat_f32"}

    assert f"{2 * K} x {M} . {2 * K} x 1" in shapes()
    monkeypatch.setattr(device_kernels, "_LONG", 0.0)
    assert shapes() == {f"{K} x {M} . {K} x 1", f"{K} x {M} . {K} x {N}"}


def test_what_another_device_has_to_run_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {k.kernel: k for k in kernel_times(on("reference"), None)}
    assert found["gelu"].limit == "" and found["gelu"].of_limit is None
    some = on("reference,cpu:gelu:mul_mat")
    monkeypatch.setattr(some, "name", "reference")
    assert {k.kernel for k in kernel_times(some, None)} == {k for k in found if not k.startswith(("gelu", "mul_mat"))}


def test_the_result_is_no_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which could lie far from the device: one value of it is."""
    outputs: list[list[Tensor]] = []
    reference = on("reference")

    class Spy(type(reference)):  # type: ignore[misc]
        def compile(self, dag: object, **options: object) -> Executable:
            outputs.append(dag.outputs)  # type: ignore[attr-defined]
            return super().compile(dag, **options)  # type: ignore[no-any-return]

    list(kernel_times(Spy(), None))
    assert {(t.op, tuple(t.ne)) for (t,) in outputs} == {("scale", (1, 1, 1, 1)), ("set_rows", (K, N, 1, 1))}
