"""Numpy reference codec of every tensor type that holds weights: what the numbers in a file mean.

The C codecs and the kernels are tested against these. A new type is one class here and one row of CODECS.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ggtui.core.errors import ShapeError, UsageError
from ggtui.core.types import TensorType, type_of

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
        extreme = np.take_along_axis(x, np.abs(x).argmax(axis=1, keepdims=True), axis=1)
        d = extreme / np.float32(-8)
        q = np.clip(np.trunc(x * _inverse(d) + np.float32(8.5)), 0, 15).astype(np.uint8)
        return np.hstack([_half(d), q[:, :16] | q[:, 16:] << 4])

    @staticmethod
    def decode(b: Bytes) -> Floats:
        d = F16.decode(np.ascontiguousarray(b[:, :2]))
        q = np.hstack([b[:, 2:] & 15, b[:, 2:] >> 4]).astype(np.float32)
        return d * (q - np.float32(8))


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
        d = F16.decode(np.ascontiguousarray(b[:, :2]))
        return d * b[:, 2:].view(np.int8).astype(np.float32)


CODECS: dict[str, type[Codec]] = {"f32": F32, "f16": F16, "bf16": BF16, "q4_0": Q4_0, "q8_0": Q8_0}


def _half(x: Floats) -> Bytes:
    return x.astype(np.float16).view(np.uint8)


def _inverse(d: Floats) -> Floats:
    """1 / d, and 0 where that is not finite: those blocks are stored as zeros."""
    inverse = np.float32(1) / d
    inverse[np.isinf(inverse)] = 0
    return inverse


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
    type, codec = type_of(type), codec_of(type)
    x = np.ascontiguousarray(array, np.float32)
    out = np.empty((*x.shape[:-1], type.row_bytes(x.shape[-1])), np.uint8)
    _by_chunks(x.reshape(-1, type.block), out.reshape(-1, type.bytes), codec.encode, type)
    return out


def dequantize(data: bytes | npt.NDArray[Any], type: TensorType | str, ne0: int) -> Floats:
    """The weights that `data` holds as rows of `ne0`, as float32.

    data: uint8 (..., row bytes), result (..., ne0); or k rows one behind the other, as a file has them,
    result (k, ne0). Raises ShapeError if the bytes are no whole number of rows, UsageError if the type holds
    no weights.
    """
    type, codec = type_of(type), codec_of(type)
    row = type.row_bytes(ne0)
    b = np.ascontiguousarray(data if isinstance(data, np.ndarray) else np.frombuffer(data, np.uint8)).view(np.uint8)
    if row == 0 or b.shape[-1] % row:
        raise ShapeError(f"dequantize {type.name}: rows of {ne0} take {row} bytes each, got {b.shape} bytes")
    rows = () if b.shape[-1] == row else (b.shape[-1] // row,)
    out = np.empty((*b.shape[:-1], *rows, ne0), np.float32)
    _by_chunks(b.reshape(-1, type.bytes), out.reshape(-1, type.block), codec.decode, type)
    return out


def _by_chunks(src: npt.NDArray[Any], dst: npt.NDArray[Any], convert: Any, type: TensorType) -> None:
    step = max(1, _CHUNK // type.block)
    # A weight that is infinite or NaN makes a scale that is, too; whoever cares looks there.
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        for i in range(0, len(src), step):
            dst[i : i + step] = convert(src[i : i + step])
