"""Writes GGUF version 3: the header first, then the data of one tensor after the other, so that no model
needs to fit into memory. The file gets its name when it is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ggtui.core import saving
from ggtui.core.errors import GgtuiError, UsageError
from ggtui.core.files.gguf import (
    ARRAY,
    BOOL,
    DEFAULT_ALIGNMENT,
    MAGIC,
    MAX_DIMS,
    MAX_KEY,
    MAX_NAME,
    NUMBERS,
    OWN_NAMES,
    OWN_SIZES,
    OWN_TYPE,
    STRING,
    data_start,
)
from ggtui.core.files.texts import Texts
from ggtui.core.graph.types import TensorType

_VERSION = 3
_U32, _U64 = NUMBERS[4], NUMBERS[10]
_KIND_OF = {np.dtype(n.format): kind for kind, n in NUMBERS.items() if kind != BOOL} | {np.dtype(bool): BOOL}
# What other programs expect to find: hyper-parameters are u32, the kinds of the tokens i32.
_INTS = (np.uint32, np.int32, np.uint64, np.int64)
_LIST_INTS = (np.int32, np.uint32, np.int64, np.uint64)
_F32_MAX = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class OutTensor:
    """A tensor to write: what is known beforehand, and `chunks`, which gives its bytes when its turn comes.

    ne has 1 to 4 dimensions, ne[0] the row.
    """

    name: str
    type: TensorType
    ne: tuple[int, ...]
    chunks: Callable[[], Iterable[bytes | npt.NDArray[Any]]]

    @property
    def n_bytes(self) -> int:
        return self.type.row_bytes(self.ne[0]) * prod(self.ne[1:])


def gguf_bytes(metadata: Mapping[str, Any], tensors: Iterable[OutTensor]) -> int:
    """The size of what `write_gguf` writes."""
    tensors = list(tensors)
    about, own = _about(metadata, tensors)
    sizes = (len(_header(about, tensors, own)), *(tensor.n_bytes for tensor in tensors))
    return sum(data_start(n, DEFAULT_ALIGNMENT) for n in sizes)


def write_gguf(
    path: str | Path, metadata: Mapping[str, Any], tensors: Iterable[OutTensor], *, overwrite: bool = True
) -> None:
    """Write a model file, or into a pipe. Whatever `path` was stays as it is until the new file is complete.

    Values of `metadata` are str, bool, int, float, a list of one of these, Texts, or a numpy number or array where
    the exact type counts. A float becomes a f32, beyond its range a f64, an int the first that holds it of u32,
    i32, u64, i64 (in a list of i32, u32, i64, u64). Tensors are aligned to 32 bytes, so a `general.alignment` of
    `metadata` is left out. The types of a user's own are listed in `ggtui.own_types`. Raises UsageError for what GGUF
    cannot hold and, without `overwrite`, for a file that exists, ShapeError for rows that are no whole number of
    blocks, GgtuiError if writing fails.
    """
    tensors = list(tensors)
    about, own = _about(metadata, tensors)
    header = _header(about, tensors, own)
    with saving.output(path, durable=True, overwrite=overwrite) as file:
        file.write(header)
        _pad(file, len(header))
        for tensor in tensors:
            write_data(file, tensor)
            _pad(file, tensor.n_bytes)


def _about(metadata: Mapping[str, Any], tensors: list[OutTensor]) -> tuple[dict[str, Any], dict[TensorType, int]]:
    """What a file says of itself, and the numbers of types of a user's own in it."""
    own = list(dict.fromkeys(t.type for t in tensors if t.type.own))
    about = {k: v for k, v in metadata.items() if k not in ("general.alignment", OWN_NAMES, OWN_SIZES)}
    if own:
        about[OWN_NAMES] = [t.name for t in own]
        about[OWN_SIZES] = [n for t in own for n in (t.head, t.block, t.bytes)]
    return about, {t: OWN_TYPE + i for i, t in enumerate(own)}


def write_data(file: BinaryIO, tensor: OutTensor) -> None:
    """Write a tensor's bytes. Raises GgtuiError if they are not as many as its type and sizes say."""
    n = 0
    for chunk in tensor.chunks():
        n += file.write(np.ascontiguousarray(chunk).data if isinstance(chunk, np.ndarray) else chunk)
    if n != tensor.n_bytes:
        raise GgtuiError(f"tensor {tensor.name}: takes {tensor.n_bytes} bytes, {n} were given")


def _pad(file: BinaryIO, n: int) -> None:
    """After `n` bytes that began aligned."""
    file.write(bytes(data_start(n, DEFAULT_ALIGNMENT) - n))


def _header(metadata: Mapping[str, Any], tensors: list[OutTensor], own: Mapping[TensorType, int]) -> bytes:
    parts = [MAGIC, _U32.pack(_VERSION), _U64.pack(len(tensors)), _U64.pack(len(metadata))]
    for key, value in metadata.items():
        if not 0 < len(key.encode()) <= MAX_KEY:
            raise UsageError(f"metadata key {key[:40]!r}: must be 1 to {MAX_KEY} bytes long")
        parts += [_string(key), _value(key, value)]
    offset, names = 0, set()
    for tensor in tensors:
        _check(tensor)
        if tensor.name in names:
            raise UsageError(f"tensor {tensor.name}: given twice")
        names.add(tensor.name)
        parts += [_string(tensor.name), _U32.pack(len(tensor.ne)), *map(_U64.pack, tensor.ne)]
        parts += [_U32.pack(own.get(tensor.type, tensor.type.id)), _U64.pack(offset)]
        offset = data_start(offset + tensor.n_bytes, DEFAULT_ALIGNMENT)
    return b"".join(parts)


def _check(tensor: OutTensor) -> None:
    if not 0 < len(tensor.name.encode()) <= MAX_NAME:
        raise UsageError(f"tensor {tensor.name!r}: its name must be 1 to {MAX_NAME} bytes long")
    if not tensor.type.file:
        raise UsageError(f"tensor {tensor.name}: a file cannot hold type {tensor.type.name}")
    if not 1 <= len(tensor.ne) <= MAX_DIMS or min(tensor.ne) < 1:
        raise UsageError(f"tensor {tensor.name}: ne {tensor.ne} must be 1 to {MAX_DIMS} numbers over 0")


def _string(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape")  # as it was read
    return _U64.pack(len(raw)) + raw


def _value(key: str, value: Any) -> bytes:
    if isinstance(value, str):
        return _U32.pack(STRING) + _string(value)
    if isinstance(value, Texts):
        return _U32.pack(ARRAY) + _U32.pack(STRING) + _U64.pack(len(value)) + value.data
    if isinstance(value, list | tuple) and all(isinstance(v, str) for v in value):
        return _U32.pack(ARRAY) + _U32.pack(STRING) + _U64.pack(len(value)) + b"".join(map(_string, value))
    numbers = _numbers(value)
    if numbers is None or numbers.ndim > 1 or numbers.dtype not in _KIND_OF:
        raise UsageError(f"metadata {key}: GGUF cannot hold {str(value)[:40]}; give text or numbers, or a list")
    kind = _U32.pack(_KIND_OF[numbers.dtype])
    if numbers.ndim == 0:
        return kind + numbers.tobytes()
    return _U32.pack(ARRAY) + kind + _U64.pack(len(numbers)) + numbers.tobytes()


def _numbers(value: Any) -> npt.NDArray[Any] | None:
    """`value`, a number or a list of them, as a numpy array of the type to write; None if there is none."""
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(value)
    items, ints = (value, _LIST_INTS) if isinstance(value, list | tuple) else ([value], _INTS)
    types = set(map(type, items))
    if types == {bool}:
        return np.array(value, bool)
    if types == {int}:
        low, high = min(items), max(items)
        fitting = (t for t in ints if np.iinfo(t).min <= low and high <= np.iinfo(t).max)
        return next((np.array(value, t) for t in fitting), None)
    if not types <= {int, float}:
        return None
    numbers = np.array(value, np.float64)
    return numbers if (np.isfinite(numbers) & (np.abs(numbers) > _F32_MAX)).any() else numbers.astype(np.float32)
