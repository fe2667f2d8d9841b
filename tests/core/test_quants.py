from __future__ import annotations

import gguf
import numpy as np
import pytest
from gguf.constants import GGMLQuantizationType

from ggtui.core.errors import ShapeError, UsageError
from ggtui.core.quants import CODECS, dequantize, quantize
from ggtui.core.types import TYPES

NAMES = list(CODECS)


def theirs(name: str) -> GGMLQuantizationType:
    return GGMLQuantizationType[name.upper()]


def weights(kind: str, ne0: int = 256, n: int = 40) -> np.ndarray:
    """Rows of weights (n, ne0), float32."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(n, ne0)).astype(np.float32)
    if kind == "scaled":  # rows from tiny to huge, halves of f16's range and over it
        x *= np.logspace(-12, 5, n, dtype=np.float32)[:, None]
    elif kind == "halves":  # many exact ties in rounding
        x = rng.integers(-254, 255, size=x.shape).astype(np.float32) / 2
        x[:, ::32] = 127
    elif kind == "equal":
        x[:] = np.repeat(x[:, :1], ne0, axis=1)
    elif kind == "zeros":
        x[:, : ne0 // 2] = 0
        x[0], x[1] = 0, -0.0
    return x


def test_every_type_that_a_file_may_hold_weights_in_has_a_codec() -> None:
    assert set(CODECS) == {t.name for t in TYPES.values() if t.file} - {"i32"}


@pytest.mark.parametrize("kind", ["normal", "scaled", "halves", "equal", "zeros"])
@pytest.mark.parametrize("name", NAMES)
def test_quantize_is_byte_for_byte_that_of_gguf(name: str, kind: str) -> None:
    x = weights(kind)
    with np.errstate(all="ignore"):
        expected = gguf.quants.quantize(x, theirs(name)).view(np.uint8)
    assert np.array_equal(quantize(x, name), expected)


@pytest.mark.parametrize("name", NAMES)
def test_dequantize_is_bit_for_bit_that_of_gguf(name: str) -> None:
    """Also of bytes no quantizer makes: infinite and NaN scales among them."""
    data = np.random.default_rng(3).integers(0, 256, (50, TYPES[name].row_bytes(256)), dtype=np.uint8)
    with np.errstate(all="ignore"):
        expected = gguf.quants.dequantize(data, theirs(name))
        ours = dequantize(data, name, 256)
    assert ours.dtype == np.float32 and ours.shape == (50, 256)
    assert np.array_equal(ours.view(np.uint32), expected.view(np.uint32))


# sqrt(sum of squared errors) / n over ggml's test data; each bound is a little over what the format can do.
@pytest.mark.parametrize(("name", "bound"), [("f32", 0), ("f16", 1e-5), ("bf16", 1e-4), ("q4_0", 2e-3), ("q8_0", 1e-4)])
def test_error_of_a_round_trip(name: str, bound: float) -> None:
    x = (0.1 + 2 * np.cos(np.arange(4096))).astype(np.float32)
    error = dequantize(quantize(x, name), name, 4096).astype(np.float64) - x
    assert np.sqrt((error**2).sum()) / len(x) <= bound


@pytest.mark.parametrize("name", NAMES)
def test_leading_dimensions_are_kept(name: str) -> None:
    x = weights("normal", 64, 6).reshape(2, 3, 64)
    q = quantize(x, name)
    assert q.shape == (2, 3, TYPES[name].row_bytes(64)) and q.dtype == np.uint8
    y = dequantize(q, name, 64)
    assert y.shape == x.shape
    assert np.array_equal(dequantize(q[1, 2], name, 64), y[1, 2])
    assert np.array_equal(dequantize(q.tobytes(), name, 64), y.reshape(6, 64))


@pytest.mark.parametrize("name", NAMES)
def test_strided_input_and_more_than_a_chunk(name: str) -> None:
    x = weights("normal", 128, 5000)[::2, ::2]
    q = quantize(x, name)
    assert np.array_equal(q, quantize(x.copy(), name))
    assert np.array_equal(q[-1], quantize(x[-1], name))
    assert np.array_equal(dequantize(q[::3], name, 64), dequantize(q, name, 64)[::3])


@pytest.mark.parametrize("name", NAMES)
def test_no_rows(name: str) -> None:
    q = quantize(np.empty((0, 64), np.float32), name)
    assert q.shape == (0, TYPES[name].row_bytes(64))
    assert dequantize(q, name, 64).shape == (0, 64)


@pytest.mark.parametrize("name", ["q4_0", "q8_0"])
def test_weights_whose_scale_has_no_inverse_become_zeros(name: str) -> None:
    x = np.full((1, 32), 1e-40, np.float32)
    assert not dequantize(quantize(x, name), name, 32).any()


def test_nan_stays_nan_in_float_types() -> None:
    bits = np.array([0x7F800001, 0xFFFFFFFF, 0x7FC00000], np.uint32)  # quiet and signalling
    for name in ("f32", "f16", "bf16"):
        assert np.isnan(dequantize(quantize(bits.view(np.float32), name), name, 3)).all()


def test_refusals() -> None:
    with pytest.raises(ShapeError, match="q8_0: a row of 33"):
        quantize(np.zeros(33, np.float32), "q8_0")
    with pytest.raises(ShapeError, match="rows of 64 take 36 bytes"):
        dequantize(bytes(35), "q4_0", 64)
    with pytest.raises(UsageError, match="i32: holds no weights"):
        dequantize(bytes(4), "i32", 1)
