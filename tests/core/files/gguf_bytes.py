"""Builds GGUF files byte by byte, so that tests can also build wrong ones."""

from __future__ import annotations

import struct
from collections.abc import Sequence

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
_FORMATS = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q", I64: "q", F64: "d"}


def number(kind: int, value: float) -> bytes:
    return struct.pack("<" + _FORMATS[kind], value)


def u32(value: int) -> bytes:
    return number(U32, value)


def u64(value: int) -> bytes:
    return number(U64, value)


def string(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return u64(len(raw)) + raw


def key(name: str | bytes, kind: int, value: bytes) -> bytes:
    """A key-value pair whose value is already bytes."""
    return string(name) + u32(kind) + value


def array(kind: int, items: Sequence[bytes], count: int | None = None) -> bytes:
    return u32(kind) + u64(len(items) if count is None else count) + b"".join(items)


def tensor(name: str, ne: Sequence[int], type: int = 0, offset: int = 0, n_dims: int | None = None) -> bytes:
    """The description of a tensor."""
    sizes = b"".join(number(I64, n) for n in ne)
    return string(name) + u32(len(ne) if n_dims is None else n_dims) + sizes + u32(type) + u64(offset)


def file(
    keys: Sequence[bytes] = (),
    tensors: Sequence[bytes] = (),
    data: bytes = b"",
    *,
    magic: bytes = b"GGUF",
    version: bytes = u32(3),
    n_tensors: int | None = None,
    n_keys: int | None = None,
    alignment: int = 32,
) -> bytes:
    counts = u64(len(tensors) if n_tensors is None else n_tensors) + u64(len(keys) if n_keys is None else n_keys)
    header = magic + version + counts + b"".join(keys) + b"".join(tensors)
    return header + bytes(-len(header) % alignment) + data
