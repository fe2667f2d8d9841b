"""mul_mat kernels: against numpy in float64, and bit by bit against the scalar ones whatever goes together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ggtui.core.graph.types import TYPES, type_by_id
from ggtui.core.runtime.cpu import native
from ggtui.core.runtime.reference.quants import CODECS

NAMES = [name for name, type in TYPES.items() if native.lib.gg_packable(type.id)]
BLOCKS = [name for name in NAMES if TYPES[name].block > 1]
Array = NDArray[Any]


def quantized(kind: int, rows: Array) -> Array:
    """Rows of floats as rows of bytes of a type."""
    type = type_by_id(kind)
    assert type is not None
    out = np.empty((len(rows), type.row_bytes(rows.shape[1])), np.uint8)
    data = native.ffi.cast("float *", rows.ctypes.data), native.ffi.cast("void *", out.ctypes.data)
    native.check(native.lib.gg_quantize(kind, rows.size, *data))
    return out


def whole_blocks(name: str, k: int) -> int:
    """k, or the next number that is whole blocks."""
    return -(-k // TYPES[name].block) * TYPES[name].block


def floats(kind: int, data: Array, k: int) -> Array:
    """And back, as float64."""
    out = np.empty((len(data), k), np.float32)
    pointers = native.ffi.cast("void *", data.ctypes.data), native.ffi.cast("float *", out.ctypes.data)
    native.check(native.lib.gg_dequantize(kind, out.size, *pointers))
    return out.astype(np.float64)


def activations(kernels: Any, kind: int, x: Array) -> tuple[Array, Array]:
    """x as the kernel takes it, and what that means in float64."""
    if kind in (0, 1, 30):
        return x, x.astype(np.float64)
    q = kernels.quantize(x)
    return q, (q["d"][..., None].astype(np.float64) * q["qs"]).reshape(len(x), -1)


@pytest.mark.parametrize(
    ("k", "n_rows", "n_cols"), [(32, 1, 1), (64, 16, 2), (96, 33, 5), (288, 70, 13), (768, 129, 27)]
)
@pytest.mark.parametrize("name", NAMES)
def test_mul_mat(kernels: Any, scalar: Any, name: str, k: int, n_rows: int, n_cols: int) -> None:
    kind, k, rng = TYPES[name].id, whole_blocks(name, k), np.random.default_rng(k)
    data = quantized(kind, rng.normal(size=(n_rows, k)).astype(np.float32))
    x, wide = activations(kernels, kind, rng.normal(size=(n_cols, k)).astype(np.float32))
    packed = kernels.pack(kind, data, k)
    y = kernels.mul_mat(kind, k, n_rows, packed, x, gap=3)
    w = floats(kind, data, k)
    assert (np.abs(y - wide @ w.T) <= 4e-7 * (np.abs(wide) @ np.abs(w).T)).all()
    kernels.assert_same(y, scalar.mul_mat(kind, k, n_rows, packed, x, gap=3))


@pytest.mark.parametrize("name", ["f32", "f16", "bf16"])
def test_floats_of_any_length(kernels: Any, scalar: Any, name: str) -> None:
    kind, rng = TYPES[name].id, np.random.default_rng(9)
    for k in (1, 3, 17, 50):
        data = quantized(kind, rng.normal(size=(20, k)).astype(np.float32))
        x = rng.normal(size=(3, k)).astype(np.float32)
        packed = kernels.pack(kind, data, k)
        y = kernels.mul_mat(kind, k, 20, packed, x)
        np.testing.assert_allclose(y, x.astype(np.float64) @ floats(kind, data, k).T, rtol=1e-5, atol=1e-5)
        kernels.assert_same(y, scalar.mul_mat(kind, k, 20, packed, x))


@pytest.mark.parametrize("name", NAMES)
def test_a_result_does_not_depend_on_its_neighbours(kernels: Any, name: str) -> None:
    """One column or row computed alone has the bits it has among others, for every number of columns and rows."""
    kind, k, rng = TYPES[name].id, whole_blocks(name, 160), np.random.default_rng(4)
    data = quantized(kind, rng.normal(size=(150, k)).astype(np.float32))
    x, _ = activations(kernels, kind, rng.normal(size=(40, k)).astype(np.float32))
    packed = kernels.pack(kind, data, k)
    alone = np.concatenate([kernels.mul_mat(kind, k, 150, packed, x[i : i + 1]) for i in range(40)])
    for n_cols in range(1, 41):
        kernels.assert_same(kernels.mul_mat(kind, k, 150, packed, x[:n_cols]), alone[:n_cols])
    row_bytes = data.shape[1]
    for first, n_rows in ((0, 1), (32, 15), (32, 17), (64, 86), (128, 22)):
        part = packed[first * row_bytes : (-(-(first + n_rows) // 32) * 32) * row_bytes]
        y = kernels.mul_mat(kind, k, n_rows, part, x[:7])
        kernels.assert_same(y, np.ascontiguousarray(alone[:7, first : first + n_rows]))


# Bytes from the start of a block to its f16 numbers.
HALVES = {"q2_k": (80, 82), "q3_k": (108,), "q6_k": (208,)} | dict.fromkeys(("q4_1", "q5_1", "q4_k", "q5_k"), (0, 2))


@pytest.mark.parametrize("name", BLOCKS)
def test_integer_extremes(kernels: Any, scalar: Any, name: str) -> None:
    """Weights, scales and activations at the ends of their ranges, all signs: nothing saturates."""
    type, rng = TYPES[name], np.random.default_rng(6)
    kind, k = type.id, whole_blocks(name, 64)
    ends = np.array([0x00, 0xFF, 0x0F, 0xF0, 0x80, 0x7F, 0x81, 0xAA, 0x55], np.uint8)
    rows = rng.choice(ends, (45, k // type.block, type.bytes))
    for i, end in enumerate(ends):
        rows[i] = end
    if name == "q8_0":
        rows[rows == 0x80] = 0x81
    for at in HALVES.get(name, (0,)):
        rows[:, :, at : at + 2] = np.array([1.0], np.float16).view(np.uint8)
    x = np.zeros((13, k // 32), kernels.Q8_A)
    x["d"] = 1
    x["qs"] = rng.choice(np.array([-127, 127], np.int8), x["qs"].shape)
    x["qs"][0], x["qs"][1] = 127, -127
    x["sums"] = -x["qs"].reshape(13, -1, 2, 16).sum(axis=-1, dtype=np.int16)
    x["nsum"] = x["dnsum"] = x["sums"].sum(axis=-1)
    data = rows.reshape(45, -1)
    packed = kernels.pack(kind, data, k)
    y = kernels.mul_mat(kind, k, 45, packed, x)
    w, wide = floats(kind, data, k), x["qs"].reshape(13, -1).astype(np.float64)
    assert (np.abs(y - wide @ w.T) <= 1e-6 * (np.abs(wide) @ np.abs(w).T)).all()
    kernels.assert_same(y, scalar.mul_mat(kind, k, 45, packed, x))


def test_every_type_of_weights_has_a_kernel() -> None:
    assert set(NAMES) == set(CODECS)


def op_number(name: str) -> int:
    return next(i for i in range(native.lib.gg_n_ops()) if native.text(native.lib.gg_op_name(i)) == name)


@pytest.mark.parametrize("name", NAMES)
def test_bias_activation_and_residual(kernels: Any, scalar: Any, name: str) -> None:
    kind, k, rng = TYPES[name].id, whole_blocks(name, 64), np.random.default_rng(8)
    packed = kernels.pack(kind, quantized(kind, rng.normal(size=(39, k)).astype(np.float32)), k)
    x, _ = activations(kernels, kind, rng.normal(size=(14, k)).astype(np.float32))
    bias = rng.normal(size=39).astype(np.float32)
    residual = rng.normal(size=(14, 39)).astype(np.float32)
    plain = kernels.mul_mat(kind, k, 39, packed, x)
    unary = ["sqr", "sqrt", "neg", "exp", "relu", "tanh", "sigmoid", "silu", "gelu", "gelu_erf", "gelu_quick"]
    for act in unary:
        with np.errstate(all="ignore"):
            biased = plain + bias
            expected = kernels.row(act, biased.reshape(-1)).reshape(biased.shape) + residual
        y = kernels.mul_mat(kind, k, 39, packed, x, bias, op_number(act), residual)
        kernels.assert_same(y, expected)
        kernels.assert_same(y, scalar.mul_mat(kind, k, 39, packed, x, bias, op_number(act), residual))
    kernels.assert_same(kernels.mul_mat(kind, k, 39, packed, x, bias), plain + bias)
    kernels.assert_same(kernels.mul_mat(kind, k, 39, packed, x, residual=residual), plain + residual)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_number_stays_so(kernels: Any, name: str) -> None:
    kind, k = TYPES[name].id, whole_blocks(name, 96)
    packed = kernels.pack(kind, quantized(kind, np.ones((20, k), np.float32)), k)
    x = np.ones((3, k), np.float32)
    x[1, 40] = np.nan
    y = kernels.mul_mat(kind, k, 20, packed, activations(kernels, kind, x)[0])
    assert np.isnan(y[1]).all() and np.isfinite(y[[0, 2]]).all()


@pytest.mark.parametrize("gap", [0, 3])
def test_rows_as_a_tile(kernels: Any, gap: int) -> None:
    """What products of weights that are not packed make of 32 rows, or of fewer: those that are missing are zeros."""
    for n in (0, 1, 3, 4, 15, 16, 17, 33, 512):
        for n_rows in (1, 2, 3, 4, 5, 15, 16, 17, 31, 32):
            rows = np.random.default_rng(n).normal(size=(n_rows, n + gap)).astype(np.float32)
            flat = rows.reshape(-1)[: rows.size - gap]
            y = kernels.row("pack_rows", flat, s=4 * (n + gap), t=n_rows, n=n, out=32 * n).reshape(n, 32)
            np.testing.assert_array_equal(y[:, :n_rows], rows[:, :n].T)
            assert not y[:, n_rows:].any()
