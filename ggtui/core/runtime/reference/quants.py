"""Numpy reference codec of every tensor type that holds weights: what the numbers in a file mean.

The C codecs and the kernels are tested against these. A new type is one class here and one row of CODECS.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ggtui.core.errors import ShapeError, UsageError
from ggtui.core.graph.own_types import decode_own, encode_own
from ggtui.core.graph.types import TensorType, type_of
from ggtui.core.runtime.reference.quants_k import (
    IQ4_NL,
    IQ4_XS,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    get_fields,
    get_half,
    put_fields,
)

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

_CHUNK = 1 << 18  # weights handled at a time, so that the intermediate arrays stay in the cache


class Codec(Protocol):
    """Encodes blocks of weights, (n, block) float32, as (n, bytes) uint8, and decodes them again."""

    @staticmethod
    def encode(x: Floats) -> Bytes: ...

    @staticmethod
    def decode(b: Bytes) -> Floats: ...


class F32:
    """The weights themselves."""

    @staticmethod
    def encode(x: Floats) -> Bytes:
        return x.view(np.uint8)

    @staticmethod
    def decode(b: Bytes) -> Floats:
        return b.view(np.float32)


class F16:
    """IEEE half precision, rounded to the nearest, ties to even; too large becomes infinite."""

    @staticmethod
    def encode(x: Floats) -> Bytes:
        return _half(x)

    @staticmethod
    def decode(b: Bytes) -> Floats:
        return b.view(np.float16).astype(np.float32)


class BF16:
    """The upper half of a float32, rounded to the nearest, ties to even; a NaN stays one (a quiet one)."""

    @staticmethod
    def encode(x: Floats) -> Bytes:
        bits = x.view(np.uint32)
        upper = bits >> 16
        rounded = (bits.astype(np.uint64) + 0x7FFF + (upper & 1)) >> 16
        return np.where(np.isnan(x), upper | 0x40, rounded).astype(np.uint16).view(np.uint8)

    @staticmethod
    def decode(b: Bytes) -> Floats:
        return (b.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


class Q4_0:
    """f16 d, 16 bytes of nibbles: weight = d * (nibble - 8); low nibbles are weights 0-15, high ones 16-31.

    d has the sign that puts the weight of greatest magnitude at nibble 0.
    """

    @staticmethod
    def encode(x: Floats) -> Bytes:
        d, q = _from_extreme(x, 8)
        return np.hstack([_half(d), put_fields(q, 4, 16)])

    @staticmethod
    def decode(b: Bytes) -> Floats:
        return get_half(b[:, :2]) * (get_fields(b[:, 2:], 4, 16).astype(np.float32) - np.float32(8))


class Q4_1:
    """f16 d, f16 m, 16 bytes of nibbles: weight = d * nibble + m; m is the least weight."""

    @staticmethod
    def encode(x: Floats) -> Bytes:
        d, m, q = _from_least(x, 15)
        return np.hstack([_half(d), _half(m), put_fields(q, 4, 16)])

    @staticmethod
    def decode(b: Bytes) -> Floats:
        return get_half(b[:, :2]) * get_fields(b[:, 4:], 4, 16).astype(np.float32) + get_half(b[:, 2:4])


class Q5_0:
    """As Q4_0, with 4 bytes of fifth bits before the nibbles: weight = d * (q - 16)."""

    @staticmethod
    def encode(x: Floats) -> Bytes:
        d, q = _from_extreme(x, 16)
        return np.hstack([_half(d), put_fields(q >> 4, 1, 1), put_fields(q, 4, 16)])

    @staticmethod
    def decode(b: Bytes) -> Floats:
        q = get_fields(b[:, 6:], 4, 16) | get_fields(b[:, 2:6], 1, 1) << 4
        return get_half(b[:, :2]) * (q.astype(np.float32) - np.float32(16))


class Q5_1:
    """As Q4_1, with 4 bytes of fifth bits before the nibbles."""

    @staticmethod
    def encode(x: Floats) -> Bytes:
        d, m, q = _from_least(x, 31)
        return np.hstack([_half(d), _half(m), put_fields(q >> 4, 1, 1), put_fields(q, 4, 16)])

    @staticmethod
    def decode(b: Bytes) -> Floats:
        q = get_fields(b[:, 8:], 4, 16) | get_fields(b[:, 4:8], 1, 1) << 4
        return get_half(b[:, :2]) * q.astype(np.float32) + get_half(b[:, 2:4])


class Q8_0:
    """f16 d, 32 signed bytes: weight = d * byte; d puts the greatest magnitude at 127."""

    @staticmethod
    def encode(x: Floats) -> Bytes:
        d = np.abs(x).max(axis=1, keepdims=True) / np.float32(127)
        y = x * _inverse(d)
        # C's roundf: halves go away from zero
        magnitude = np.floor(np.abs(y))
        magnitude += np.abs(y) - magnitude >= 0.5
        return np.hstack([_half(d), np.copysign(magnitude, y).astype(np.int8).view(np.uint8)])

    @staticmethod
    def decode(b: Bytes) -> Floats:
        return get_half(b[:, :2]) * b[:, 2:].view(np.int8).astype(np.float32)


CODECS: dict[str, type[Codec]] = {
    "f32": F32,
    "f16": F16,
    "bf16": BF16,
    "q4_0": Q4_0,
    "q4_1": Q4_1,
    "q5_0": Q5_0,
    "q5_1": Q5_1,
    "q8_0": Q8_0,
    "q2_k": Q2_K,
    "q3_k": Q3_K,
    "q4_k": Q4_K,
    "q5_k": Q5_K,
    "q6_k": Q6_K,
    "iq4_nl": IQ4_NL,
    "iq4_xs": IQ4_XS,
}


def _half(x: Floats) -> Bytes:
    return x.astype(np.float16).view(np.uint8)


def _inverse(d: Floats) -> Floats:
    """1 / d, and 0 where that is not finite: those blocks are stored as zeros."""
    inverse = np.float32(1) / d
    inverse[np.isinf(inverse)] = 0
    return inverse


def _from_extreme(x: Floats, middle: int) -> tuple[Floats, Bytes]:
    """d and places such that d * (place - middle) is near x; the weight of greatest magnitude has place 0."""
    extreme = np.take_along_axis(x, np.abs(x).argmax(axis=1, keepdims=True), axis=1)
    d = extreme / np.float32(-middle)
    q = np.trunc(x * _inverse(d) + np.float32(middle + 0.5))
    return d, np.clip(q, 0, 2 * middle - 1).astype(np.uint8)


def _from_least(x: Floats, last: int) -> tuple[Floats, Floats, Bytes]:
    """d, m and places such that d * place + m is near x; the least weight has place 0, the greatest `last`."""
    m = x.min(axis=1, keepdims=True)
    d = (x.max(axis=1, keepdims=True) - m) / np.float32(last)
    q = np.trunc((x - m) * _inverse(d) + np.float32(0.5))
    return d, m, np.clip(q, 0, last).astype(np.uint8)


def codec_of(type: TensorType | str) -> type[Codec]:
    """The codec of a type. Raises UsageError for one that holds no weights, such as i32."""
    name = type_of(type).name
    if name not in CODECS:
        raise UsageError(f"tensor type {name}: holds no weights; choose one of {', '.join(CODECS)}")
    return CODECS[name]


def quantize(array: npt.ArrayLike, type: TensorType | str) -> Bytes:
    """Store float32 weights (..., ne0) as `type`: uint8 (..., row bytes).

    Raises ShapeError if ne0 is no whole number of blocks, UsageError if the type holds no weights.
    """
    type = type_of(type)
    x = np.ascontiguousarray(array, np.float32)
    out = np.empty((*x.shape[:-1], type.row_bytes(x.shape[-1])), np.uint8)
    if type.own:
        out[...] = encode_own(type, x.reshape(-1, x.shape[-1])).reshape(out.shape)
    else:
        _by_chunks(x.reshape(-1, type.block), out.reshape(-1, type.bytes), codec_of(type).encode, type)
    return out


def dequantize(data: bytes | npt.NDArray[Any], type: TensorType | str, ne0: int) -> Floats:
    """The weights that `data` holds as rows of `ne0`, as float32.

    data: uint8 (..., row bytes), result (..., ne0); or k rows one behind the other, as a file has them,
    result (k, ne0). Raises ShapeError if the bytes are no whole number of rows, UsageError if the type holds
    no weights.
    """
    type = type_of(type)
    row = type.row_bytes(ne0)
    b = np.ascontiguousarray(data if isinstance(data, np.ndarray) else np.frombuffer(data, np.uint8)).view(np.uint8)
    if row == 0 or b.shape[-1] % row:
        raise ShapeError(f"dequantize {type.name}: rows of {ne0} take {row} bytes each, got {b.shape} bytes")
    rows = () if b.shape[-1] == row else (b.shape[-1] // row,)
    out = np.empty((*b.shape[:-1], *rows, ne0), np.float32)
    if type.own:
        out[...] = decode_own(type, b.reshape(-1, row)).reshape(out.shape)
    else:
        _by_chunks(b.reshape(-1, type.bytes), out.reshape(-1, type.block), codec_of(type).decode, type)
    return out


def _by_chunks(src: npt.NDArray[Any], dst: npt.NDArray[Any], convert: Any, type: TensorType) -> None:
    step = max(1, _CHUNK // type.block)
    # A weight that is infinite or NaN makes a scale that is, too; whoever cares looks there.
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        for i in range(0, len(src), step):
            dst[i : i + step] = convert(src[i : i + step])
