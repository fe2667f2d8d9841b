"""The codecs in C against the numpy codecs of the gguf package, and ours where it has none."""

from __future__ import annotations

from typing import Any

import gguf
import numpy as np
import pytest
from gguf.constants import GGMLQuantizationType
from numpy.typing import NDArray

from ggtui.core.errors import GgtuiError
from ggtui.core.graph.types import TYPES
from ggtui.core.runtime.cpu import native
from ggtui.core.runtime.reference.quants import CODECS
from ggtui.core.runtime.reference.quants import quantize as numpy_quantize

ffi, lib = native.ffi, native.lib
NAMES = list(CODECS)
QUANTIZED = [name for name in NAMES if TYPES[name].block > 1]
OURS = [name for name in NAMES if name.startswith("iq") or name.endswith("_k")]  # gguf has no quantizer for them


def quantize(name: str, x: NDArray[np.float32]) -> NDArray[np.uint8]:
    y = np.full(x.size // TYPES[name].block * TYPES[name].bytes + 8, 0xA5, np.uint8)
    native.check(
        lib.gg_quantize(TYPES[name].id, x.size, ffi.cast("float *", x.ctypes.data), ffi.cast("void *", y.ctypes.data))
    )
    assert (y[-8:] == 0xA5).all()
    return y[:-8]


def dequantize(name: str, data: NDArray[np.uint8], n: int) -> NDArray[np.float32]:
    y = np.full(n + 2, 77, np.float32)
    native.check(
        lib.gg_dequantize(TYPES[name].id, n, ffi.cast("void *", data.ctypes.data), ffi.cast("float *", y.ctypes.data))
    )
    assert (y[-2:] == 77).all()
    return y[:-2]


def theirs(name: str) -> GGMLQuantizationType:
    return GGMLQuantizationType[name.upper()]


def same_floats(a: NDArray[np.float32], b: NDArray[np.float32]) -> None:
    nan = np.isnan(b)
    assert np.array_equal(np.isnan(a), nan)
    assert np.array_equal(a[~nan].view(np.uint32), b[~nan].view(np.uint32))


def cases() -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(1)
    normal = rng.normal(size=64 * 256).astype(np.float32)
    return {
        "normal": normal,
        "scaled": normal * np.repeat(np.logspace(-12, 4, 64, dtype=np.float32), 256),
        "ties": rng.integers(-254, 255, 64 * 256).astype(np.float32) / 2,
        "equal": np.repeat(normal[::256], 256),
        "one sign": np.abs(normal),
        "other sign": -1 - np.abs(normal),
        "sparse": np.where(rng.random(normal.size) < 0.9, 0, normal).astype(np.float32),
        "heavy": rng.standard_t(2, normal.size).astype(np.float32),
        "zeros": np.zeros(256, np.float32) * np.float32(-1),
        "denormal": (normal * np.float32(1e-41)).astype(np.float32),
    }


@pytest.mark.parametrize("kind", list(cases()))
@pytest.mark.parametrize("name", [name for name in NAMES if name not in OURS])
def test_quantize_gives_the_bytes_of_gguf(name: str, kind: str) -> None:
    x = cases()[kind]
    with np.errstate(all="ignore"):
        expected = gguf.quants.quantize(x, theirs(name)).view(np.uint8)
    if kind == "denormal" and name in QUANTIZED:  # numpy multiplies by 1 / d = inf; such a block's scale is 0 anyway
        assert not dequantize(name, quantize(name, x), x.size).any()
    else:
        np.testing.assert_array_equal(quantize(name, x), expected)


@pytest.mark.parametrize("kind", list(cases()))
@pytest.mark.parametrize("name", OURS)
def test_quantize_gives_the_bytes_of_the_numpy_codec(name: str, kind: str) -> None:
    x = cases()[kind]
    np.testing.assert_array_equal(quantize(name, x), numpy_quantize(x, name))


def test_any_number_of_blocks_of_iq4_nl() -> None:
    """They are fitted four at a time."""
    x = cases()["normal"]
    for n in range(32, 320, 32):
        np.testing.assert_array_equal(quantize("iq4_nl", x[:n]), numpy_quantize(x[:n], "iq4_nl"))


@pytest.mark.parametrize("name", NAMES)
def test_dequantize_gives_the_bits_of_gguf(name: str) -> None:
    """Also of bytes that no quantizer makes."""
    data = np.random.default_rng(3).integers(0, 256, 1000 * TYPES[name].bytes, dtype=np.uint8)
    with np.errstate(all="ignore"):
        expected = gguf.quants.dequantize(data, theirs(name)) if name != "f32" else data.view(np.float32)
    same_floats(dequantize(name, data, 1000 * TYPES[name].block), expected.astype(np.float32).reshape(-1))


def test_every_16_bit_float_is_widened_and_narrowed() -> None:
    halves = np.arange(65536, dtype=np.uint16)
    wide = dequantize("f16", halves.view(np.uint8), 65536)
    same_floats(wide, halves.view(np.float16).astype(np.float32))
    number = ~np.isnan(wide)
    np.testing.assert_array_equal(quantize("f16", wide).view(np.uint16)[number], halves[number])

    bits = np.random.default_rng(5).integers(0, 2**32, 100_000, dtype=np.uint32)
    edges = np.array([0x477FEFFF, 0x477FF000, 0x33000000, 0x33000001, 0x387FFFFF, 0x38800000, 0x387FE000], np.uint32)
    x = np.concatenate([bits, edges, edges | np.uint32(1 << 31)]).view(np.float32)
    with np.errstate(over="ignore"):
        expected = x.astype(np.float16)
    same_floats(quantize("f16", x).view(np.float16).astype(np.float32), expected.astype(np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("name", QUANTIZED)
def test_a_block_whose_scale_is_no_number_is_refused(name: str, bad: float) -> None:
    n = TYPES[name].block
    x = np.ones(6 * n, np.float32)
    for at in range(6):
        x[at * n + n // 4] = bad
        with pytest.raises(GgtuiError, match=rf"{name}: values {at * n} to {at * n + n - 1} are NaN, infinite or too"):
            quantize(name, x)
        x[at * n + n // 4] = 1


@pytest.mark.parametrize("name", QUANTIZED)
def test_large_weights_are_stored_or_refused(name: str) -> None:
    """Where the scale leaves f16's range, never as something infinite."""
    x, refused = np.linspace(-1, 1, 256, dtype=np.float32), []
    for power in range(10, 100):
        try:
            stored = dequantize(name, quantize(name, x * np.float32(2.0**power)), 256)
        except GgtuiError:
            refused.append(power)
        else:
            assert np.abs(stored * 2.0**-power - x).max() < 0.5
    assert refused == list(range(refused[0], 100)) and refused[0] >= 16


def test_types_without_a_codec_are_refused() -> None:
    x: Any = np.ones(32, np.float32)
    with pytest.raises(GgtuiError, match="quantize: not possible for type i32"):
        quantize("i32", x)
    with pytest.raises(GgtuiError, match="dequantize: not possible for type i32"):
        dequantize("i32", x.view(np.uint8), 32)
    data = ffi.cast("void *", x.ctypes.data)
    with pytest.raises(GgtuiError, match="dequantize: unknown type 99"):
        native.check(lib.gg_dequantize(99, 32, data, ffi.cast("float *", x.ctypes.data)))
