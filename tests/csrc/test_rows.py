"""Kernels over rows, against numpy in float64 and, bit by bit, against the scalar ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ggtui.core.runtime.cpu import native
from ggtui.core.runtime.reference.quants import quantize

SIZES = (1, 2, 7, 15, 16, 17, 31, 32, 33, 100, 768, 1001)
Floats = NDArray[Any]


def numbers(n: int, seed: int = 0, spread: float = 4) -> Floats:
    return (np.random.default_rng(seed + n).normal(size=n) * spread).astype(np.float32)


def edges() -> Floats:
    """Every exponent, both signs, zeros, denormal and infinite numbers, NaN."""
    with np.errstate(over="ignore"):
        powers = np.ldexp(np.float32(1.37), np.arange(-149, 128)).astype(np.float32)
    special = np.array([0, np.inf, np.nan, 1e-45, 2**-126, 3.4e38, 88.7, 88.73, 87.4, 103.9, 104.1, 709], np.float32)
    return np.concatenate([powers, special, -powers, -special])


erf = np.vectorize(math.erf, otypes=[np.float64])
sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
UNARY: dict[str, Callable[[Floats], Floats]] = {
    "sqr": np.square,
    "sqrt": np.sqrt,
    "neg": np.negative,
    "log": np.log,
    "exp": np.exp,
    "relu": lambda x: np.where(x < 0, 0, x),
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "silu": lambda x: x * sigmoid(x),
    "gelu": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "gelu_erf": lambda x: 0.5 * x * (1 + erf(x / np.sqrt(2))),
    "gelu_quick": lambda x: x * sigmoid(1.702 * x),
}


@pytest.mark.parametrize("op", UNARY)
def test_unary(kernels: Any, scalar: Any, op: str) -> None:
    for n in SIZES:
        x = numbers(n)
        x = np.abs(x) if op in ("sqrt", "log") else x
        y = kernels.row(op, x)
        np.testing.assert_allclose(y, UNARY[op](x.astype(np.float64)), rtol=2e-6, atol=4e-7)
        kernels.assert_same(y, scalar.row(op, x))


@pytest.mark.parametrize("op", UNARY)
def test_unary_at_the_edges(kernels: Any, scalar: Any, op: str) -> None:
    x = edges()
    y = kernels.row(op, x)
    kernels.assert_same(y, scalar.row(op, x))
    with np.errstate(all="ignore"):
        wide = UNARY[op](x.astype(np.float64))
        # In double precision gelu's cube overflows later, and x * 0 at -inf has no value.
        expected = np.where((x == -np.inf) & np.isin(op, ["silu", "gelu", "gelu_erf", "gelu_quick"]), y, wide)
        expected = expected.astype(np.float32)
    np.testing.assert_allclose(y, expected, rtol=2e-6, atol=1e-6)
    assert np.isnan(y[np.isnan(x)]).all()


def test_exp_is_within_two_units_in_the_last_place(kernels: Any) -> None:
    x = np.linspace(-87, 88.7, 300_001, dtype=np.float32)
    wide = np.exp(x.astype(np.float64))
    assert np.max(np.abs(kernels.row("exp", x) - wide) / np.spacing(wide.astype(np.float32))) < 2
    denormal = np.linspace(-103, -87.4, 10_001, dtype=np.float32)
    assert np.max(np.abs(kernels.row("exp", denormal) - np.exp(denormal.astype(np.float64)))) < 2**-148
    np.testing.assert_array_equal(
        kernels.row("exp", np.array([-np.inf, -104, -1e30, 0, 88.8, 1e30, np.inf], np.float32)),
        np.array([0, 0, 0, 1, np.inf, np.inf, np.inf], np.float32),
    )


def test_exp_in_double_precision(kernels: Any, scalar: Any) -> None:
    for n in SIZES:
        x = -np.abs(numbers(n, spread=100))
        for top, temp in ((0.5, 1.0), (2.0, 0.25)):
            y = kernels.row("exp_f64", x, s=top, t=temp, dtype=np.float64)
            wide = np.exp((x.astype(np.float64) - top) / temp)
            np.testing.assert_allclose(y, np.where(wide < 1e-307, y, wide), rtol=4e-16)
            assert (y[wide < 1e-308] == 0).all()
            np.testing.assert_array_equal(y, scalar.row("exp_f64", x, s=top, t=temp, dtype=np.float64))
    assert kernels.row("exp_f64", np.full(1, -np.inf, np.float32), s=0, t=1, dtype=np.float64)[0] == 0


def test_kernels_over_rows_have_numbers() -> None:
    names = list(native.ROW_KERNELS)
    assert len(names) == len(set(names)) and {"add", "exp_f64", "quantize_q8_a", *UNARY} <= set(names)
    for number in (-1, len(names)):
        assert native.text(native.lib.gg_row_kernel_name(number)) == ""
        null = native.ffi.NULL
        assert native.lib.gg_call_row(0, number, 1, null, null, null, null, 0, 0) == native.lib.GG_FAILED
        assert native.last_error() == f"there is no kernel {number} over rows"


def test_relu_keeps_nan_and_the_sign_of_zero(kernels: Any) -> None:
    y = kernels.row("relu", np.array([np.nan, -0.0, -1, np.inf, -np.inf], np.float32))
    assert np.isnan(y[0]) and np.signbit(y[1]) and y[2] == 0 and y[3] == np.inf and y[4] == 0


@pytest.mark.parametrize("op", ["add", "sub", "mul", "div"])
def test_binary(kernels: Any, op: str) -> None:
    f = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}[op]
    for n in SIZES:
        a, b = numbers(n), numbers(n, 1)
        kernels.assert_same(kernels.row(op, a, b), f(a, b))
        kernels.assert_same(kernels.row(op, a, b[:1], s=1), f(a, b[0]))
    with np.errstate(all="ignore"):
        kernels.assert_same(kernels.row(op, edges(), edges()[::-1]), f(edges(), edges()[::-1]))


def test_scale_clamp_and_gated_units(kernels: Any, scalar: Any) -> None:
    for n in SIZES:
        x, g = numbers(n), numbers(n, 1)
        wide = x.astype(np.float64)
        np.testing.assert_array_equal(kernels.row("scale", x, s=1.5, t=-0.25), (1.5 * wide - 0.25).astype(np.float32))
        kernels.assert_same(kernels.row("clamp", x, s=-1.5, t=2), np.clip(x, -1.5, 2).astype(np.float32))
        for glu, f in (("swiglu", "silu"), ("geglu", "gelu")):
            np.testing.assert_allclose(kernels.row(glu, x, g), UNARY[f](wide) * g, rtol=2e-6, atol=1e-6)
            kernels.assert_same(kernels.row(glu, x, g), scalar.row(glu, x, g))
    assert np.isnan(kernels.row("clamp", np.full(3, np.nan, np.float32), s=-1, t=1)).all()


def test_sum_dot_max(kernels: Any, scalar: Any) -> None:
    for n in (*SIZES, 50257):
        a, b = numbers(n), numbers(n, 1)
        s, d, m = (kernels.row(name, a, b, out=1) for name in ("sum", "dot", "max"))
        np.testing.assert_allclose(s, [a.astype(np.float64).sum()], rtol=1e-5, atol=1e-5 * n)
        np.testing.assert_allclose(d, [a.astype(np.float64) @ b], rtol=1e-5, atol=1e-5 * n)
        assert m[0] == a.max()
        for name, value in (("sum", s), ("dot", d), ("max", m)):
            kernels.assert_same(value, scalar.row(name, a, b, out=1))


def test_max_of_nothing_and_of_what_is_no_number(kernels: Any) -> None:
    assert kernels.row("max", numbers(0), out=1)[0] == -np.inf
    assert kernels.row("sum", numbers(0), out=1)[0] == 0
    for n in SIZES:
        for i in {0, n // 2, n - 1}:
            x = -np.abs(numbers(n))
            x[i] = np.nan
            assert np.isnan(kernels.row("max", x, out=1)[0])
        assert kernels.row("max", np.full(n, -np.inf, np.float32), out=1)[0] == -np.inf


def test_sums_go_lane_by_lane_and_then_in_halves(kernels: Any) -> None:
    x = numbers(100, spread=1e6)
    lanes = np.zeros(16, np.float32)
    for i, value in enumerate(x):
        lanes[i % 16] += value
    for half in (8, 4, 2, 1):
        lanes = lanes[:half] + lanes[half:]
    assert kernels.row("sum", x, out=1)[0] == lanes[0]


def test_norms(kernels: Any, scalar: Any) -> None:
    for n in SIZES:
        x, w, b = numbers(n) + 3, numbers(n, 1), numbers(n, 2)
        wide = x.astype(np.float64)
        centred = wide - wide.mean()
        norm = centred / np.sqrt((centred**2).mean() + 1e-5)
        rms = wide / np.sqrt((wide**2).mean() + 1e-5)
        l2 = wide / max(float(np.sqrt((wide**2).sum())), 1e-5)
        for name, args, expected in (
            ("norm", (), norm),
            ("norm", (w, b), norm * w + b),
            ("norm", (w,), norm * w),
            ("norm", (None, b), norm + b),
            ("rms_norm", (), rms),
            ("rms_norm", (w,), rms * w),
            ("l2_norm", (), l2),
        ):
            y = kernels.row(name, x, *args, s=1e-5)
            np.testing.assert_allclose(y, expected, rtol=2e-5, atol=2e-5)
            kernels.assert_same(y, scalar.row(name, x, *args, s=1e-5))
    np.testing.assert_array_equal(kernels.row("l2_norm", np.zeros(20, np.float32), s=1e-5), 0)


@pytest.mark.parametrize("norm", ["norm", "rms_norm"])
def test_a_norm_with_scale_and_bias_has_the_bits_of_three_kernels(kernels: Any, norm: str) -> None:
    for n in SIZES:
        x, w, b = numbers(n) + 3, numbers(n, 1), numbers(n, 2)
        plain = kernels.row(norm, x, s=1e-5)
        scaled = kernels.row("mul", plain, w)
        kernels.assert_same(kernels.row(norm, x, w, s=1e-5), scaled)
        kernels.assert_same(kernels.row(norm, x, w, b, s=1e-5), kernels.row("add", scaled, b))
        kernels.assert_same(kernels.row(norm, x, None, b, s=1e-5), kernels.row("add", plain, b))


def soft_max(x: Floats, sink: float | None) -> Floats:
    all_ = np.append(x, -np.inf if sink is None else sink)
    e = np.exp(all_ - all_.max())
    return (e / e.sum())[:-1]


@pytest.mark.parametrize("sink", [None, 0.5, 30.0])
def test_soft_max(kernels: Any, scalar: Any, sink: float | None) -> None:
    for n in SIZES:
        x, mask = numbers(n), numbers(n, 1)
        mask[n // 2 + 1 :] = -np.inf
        c = None if sink is None else np.array([sink], np.float32)
        for m, slope in ((None, 0.0), (mask, 0.7)):
            logits = 1.3 * x.astype(np.float64) + (0 if m is None else np.float32(slope) * m.astype(np.float64))
            y = kernels.row("soft_max", x, m, c, s=1.3, t=slope)
            np.testing.assert_allclose(y, soft_max(logits, sink), rtol=1e-5, atol=1e-9)
            kernels.assert_same(y, scalar.row("soft_max", x, m, c, s=1.3, t=slope))


def test_soft_max_at_the_edges(kernels: Any) -> None:
    for n in SIZES:
        nothing = np.full(n, -np.inf, np.float32)
        np.testing.assert_array_equal(kernels.row("soft_max", nothing, s=1), 0)
        huge = np.full(n, 3e38, np.float32)
        np.testing.assert_allclose(kernels.row("soft_max", huge, s=1), 1 / n, rtol=1e-6)
        x = numbers(n)
        x[n // 2] = np.nan
        assert np.isnan(kernels.row("soft_max", x, s=1)).all()


def test_conversions(kernels: Any, scalar: Any) -> None:
    halves = np.arange(65536, dtype=np.uint16)
    bits = np.random.default_rng(2).integers(0, 2**32, 20_000, dtype=np.uint32)
    floats = np.concatenate([bits.view(np.float32), edges(), numbers(10_000, spread=1e-4)])
    for n in (*SIZES, None):
        for name in ("f16_to_f32", "bf16_to_f32"):
            y, expected = (k.row(name, halves[:n]) for k in (kernels, scalar))
            np.testing.assert_array_equal(y.view(np.uint32), expected.view(np.uint32))
        for name in ("f32_to_f16", "f32_to_bf16"):
            y, expected = (k.row(name, floats[:n], dtype=np.uint16) for k in (kernels, scalar))
            np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(kernels.row("f16_to_f32", halves), halves.view(np.float16).astype(np.float32))
    with np.errstate(over="ignore"):
        kernels.assert_same(
            kernels.row("f32_to_f16", floats, dtype=np.uint16).view(np.float16).astype(np.float32),
            floats.astype(np.float16).astype(np.float32),
        )


def test_activations_as_8_bit_numbers(kernels: Any, scalar: Any) -> None:
    x = numbers(32 * 40)
    x[32:64] = 0
    x[64:96] *= np.float32(1e30)
    x[96:128] = np.float32(1e-38)
    x[128:160] = np.float32(3.4e38)
    x[160:192] = np.arange(32) - 127.0
    blocks = kernels.row("quantize_q8_a", x, out=40, dtype=kernels.Q8_A)
    kernels.assert_same(blocks, scalar.row("quantize_q8_a", x, out=40, dtype=kernels.Q8_A))
    np.testing.assert_array_equal(blocks["nsum"], -blocks["qs"].sum(axis=1, dtype=np.int32))
    np.testing.assert_array_equal(blocks["sums"], -blocks["qs"].reshape(-1, 2, 16).sum(axis=2, dtype=np.int16))
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(blocks["dnsum"], blocks["d"] * blocks["nsum"].astype(np.float32))
    np.testing.assert_array_equal(blocks["qs"][5], np.arange(32) - 127)
    assert blocks["d"][3] == 0 and not blocks["qs"][3].any() and blocks["qs"].min() == -127
    wide = x.reshape(-1, 32).astype(np.float64)
    error = np.abs(blocks["d"][:, None].astype(np.float64) * blocks["qs"] - wide).max(axis=1)
    assert (error <= np.maximum(np.abs(wide).max(axis=1) / 127 * 0.501, 1e-36)).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_activations_that_are_no_numbers_stay_so(kernels: Any, bad: float) -> None:
    for i in range(32):
        x = numbers(64)
        x[i] = bad
        blocks = kernels.row("quantize_q8_a", x, out=2, dtype=kernels.Q8_A)
        assert np.isnan(blocks["d"][0]) and not blocks["qs"][0].any() and blocks["d"][1] > 0
        assert np.isnan(blocks["dnsum"][0])


def test_values_as_q8_0(kernels: Any) -> None:
    """As the codec rounds them; what it refuses becomes no number."""
    x = np.concatenate([numbers(32 * 40), edges()[: len(edges()) // 32 * 32], np.zeros(32, np.float32)])
    x[:32] = (np.arange(32) - 16) + 0.5  # halves, where the scale is one
    x[0], x[1] = 127, np.nextafter(np.float32(0.5), np.float32(0))
    x[32:64] *= np.float32(1e-30)
    block = np.dtype([("d", np.float16), ("qs", np.int8, 32)])
    with np.errstate(invalid="ignore", over="ignore"):
        known = (np.abs(x.reshape(-1, 32)).max(axis=1) / 127).astype(np.float16)
    blocks = kernels.row("f32_to_q8_0", x, out=len(x) // 32, dtype=block)
    fine = np.isfinite(known)
    assert fine.any() and not fine.all() and not np.isfinite(blocks["d"][~fine]).any()
    want = quantize(x.reshape(-1, 32)[fine], "q8_0").reshape(-1).view(block)
    np.testing.assert_array_equal(blocks["d"][fine], want["d"])
    np.testing.assert_array_equal(blocks["qs"][fine], want["qs"])
