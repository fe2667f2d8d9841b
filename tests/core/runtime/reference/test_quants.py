from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf.constants import GGMLQuantizationType

from ggtui.core.errors import ShapeError, UsageError
from ggtui.core.graph.types import TYPES
from ggtui.core.runtime.reference.quants import CODECS, dequantize, quantize
from ggtui.core.runtime.reference.quants_k import get_fields, put_fields

NAMES = list(CODECS)
QUANTIZED = [name for name in NAMES if TYPES[name].block > 1]
OURS = [name for name in NAMES if name.startswith("iq") or name.endswith("_k")]  # gguf has no quantizer for them
ERRORS = json.loads((Path(__file__).parents[3] / "references/quant_errors.json").read_text())


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
    assert set(CODECS) == {t.name for t in TYPES.values() if t.file and not t.own} - {"i32"}


@pytest.mark.parametrize("kind", ["normal", "scaled", "halves", "equal", "zeros"])
@pytest.mark.parametrize("name", [name for name in NAMES if name not in OURS])
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


def cosines() -> np.ndarray:
    return (0.1 + 2 * np.cos(np.arange(4096))).astype(np.float32)


def error_of(name: str, x: np.ndarray) -> np.ndarray:
    return dequantize(quantize(x, name), name, x.shape[-1]).astype(np.float64) - x


# sqrt(sum of squared errors) / n over ggml's test data
BOUNDS = {"f32": 0, "f16": 1e-5, "bf16": 1e-4, "q8_0": 1e-4, "q2_k": 0.0075, "q3_k": 0.004}


@pytest.mark.parametrize("name", NAMES)
def test_error_of_a_round_trip(name: str) -> None:
    x = cosines()
    assert np.sqrt((error_of(name, x) ** 2).sum()) / len(x) <= BOUNDS.get(name, 0.002)


@pytest.mark.parametrize("name", QUANTIZED)
def test_the_error_is_no_larger_than_ggmls(name: str) -> None:
    normal = np.random.default_rng(7).normal(size=4096).astype(np.float32)
    for kind, x in {"normal": normal, "cos": cosines()}.items():
        assert np.sqrt(np.mean(error_of(name, x) ** 2)) <= ERRORS[name][kind] * (1 + 1e-9)


@pytest.mark.parametrize("name", OURS)
def test_weights_of_every_size_keep_their_relative_error(name: str) -> None:
    """Until the scales get as small as f16's last places."""
    x = np.random.default_rng(2).normal(size=(64, 256)).astype(np.float32)
    relative = np.sqrt(np.mean(error_of(name, x) ** 2))
    for power in (-10, -5, 9, 14):
        assert np.sqrt(np.mean(error_of(name, x * np.float32(2.0**power)) ** 2)) < 1.1 * relative * 2.0**power


@pytest.mark.parametrize("name", OURS)
def test_a_single_large_weight_and_equal_weights(name: str) -> None:
    lone = np.zeros((1, 256), np.float32)
    lone[0, 100] = -3
    assert np.abs(error_of(name, lone)).max() < 0.05
    for value in (0.7, -0.7):
        assert np.abs(error_of(name, np.full((1, 256), value, np.float32))).max() < 0.02
    both_signs = np.where(np.arange(256) % 2, 1, -1).astype(np.float32)[None]
    assert np.abs(error_of(name, both_signs)).max() < 0.3


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("name", OURS)
def test_a_weight_that_no_scale_can_hold_makes_its_block_infinite_or_nan(name: str, bad: float) -> None:
    x = np.ones((1, 512), np.float32)
    x[0, 300] = bad
    y = dequantize(quantize(x, name), name, 512)
    assert np.isfinite(y[0, :256]).all() and not np.isfinite(y[0, 300])


@pytest.mark.parametrize(("bits", "n"), [(1, 1), (1, 32), (2, 1), (2, 4), (2, 32), (4, 1), (4, 8), (4, 64)])
def test_fields_go_out_the_way_they_came_in(bits: int, n: int) -> None:
    b = np.random.default_rng(bits).integers(0, 256, (3, 128), dtype=np.uint8)
    q = get_fields(b, bits, n)
    assert q.shape == (3, 128 * 8 // bits) and q.max() == (1 << bits) - 1
    assert np.array_equal(put_fields(q, bits, n), b)
    assert np.array_equal(put_fields(q | np.uint8(1 << bits), bits, n), b)


@pytest.mark.parametrize("name", NAMES)
def test_leading_dimensions_are_kept(name: str) -> None:
    ne0 = max(64, TYPES[name].block)
    x = weights("normal", ne0, 6).reshape(2, 3, ne0)
    q = quantize(x, name)
    assert q.shape == (2, 3, TYPES[name].row_bytes(ne0)) and q.dtype == np.uint8
    y = dequantize(q, name, ne0)
    assert y.shape == x.shape
    assert np.array_equal(dequantize(q[1, 2], name, ne0), y[1, 2])
    assert np.array_equal(dequantize(q.tobytes(), name, ne0), y.reshape(6, ne0))


@pytest.mark.parametrize("name", NAMES)
def test_strided_input_and_more_than_a_chunk(name: str) -> None:
    ne0 = max(64, TYPES[name].block)
    x = weights("normal", 2 * ne0, 320000 // ne0)[::2, ::2]
    q = quantize(x, name)
    assert np.array_equal(q, quantize(x.copy(), name))
    assert np.array_equal(q[-1], quantize(x[-1], name))
    assert np.array_equal(dequantize(q[::3], name, ne0), dequantize(q, name, ne0)[::3])


@pytest.mark.parametrize("name", NAMES)
def test_no_rows(name: str) -> None:
    ne0 = max(64, TYPES[name].block)
    q = quantize(np.empty((0, ne0), np.float32), name)
    assert q.shape == (0, TYPES[name].row_bytes(ne0))
    assert dequantize(q, name, ne0).shape == (0, ne0)


@pytest.mark.parametrize("name", QUANTIZED)
def test_weights_whose_scale_has_no_inverse_become_zeros(name: str) -> None:
    x = np.full((1, 256), 1e-40, np.float32)
    assert not dequantize(quantize(x, name), name, 256).any()


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
