"""Tensor types of a user's own: a class with a numpy codec becomes a type like any other.

The kernels know nothing of such a type. As they multiply they have Python decode 32 rows of the weights at a time, so
a model is never in memory as floats; it costs a call under the GIL for each 32 rows.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from ggtui.core.errors import GgtuiError, ShapeError, UsageError
from ggtui.core.graph.types import TYPES, TensorType, add_type, type_by_id
from ggtui.core.runtime.cpu.native import check, ffi, lib, raised

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]


class OwnType(Protocol):
    """What a class must have to be a type.

    A row of ne0 weights takes `head` bytes, for what the whole row shares, such as its scale, and then `bytes` for each
    `block` of weights. A row must be a whole number of blocks.
    """

    name: str  # lower-case letters, digits and _
    block: int
    bytes: int
    head: int

    @staticmethod
    def encode(rows: Floats) -> Bytes:
        """Rows (n, ne0) of weights as bytes (n, row bytes)."""
        ...

    @staticmethod
    def decode(rows: Bytes) -> Floats:
        """The inverse: (n, row bytes) to float32 (n, ne0)."""
        ...


Own = TypeVar("Own", bound=type[OwnType])
_CODECS: dict[int, type[OwnType]] = {}


def register_type(codec: Own) -> Own:
    """Make a class a tensor type; to be used as its decorator. The same name in the same sizes replaces the codec.

    Raises UsageError for a bad name, one that is taken, and sizes out of range.
    """
    name, sizes = codec.name, (codec.block, codec.bytes, codec.head)
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,30}", name):
        raise UsageError(f"type {name!r}: its name must be lower-case letters, digits and _, at most 31")
    if not all(isinstance(n, int) and low <= n < 1 << 20 for n, low in zip(sizes, (1, 1, 0), strict=True)):
        raise UsageError(f"type {name}: block, bytes and head are {sizes}; they must be at least 1, 1 and 0")
    known = TYPES.get(name)
    if known is None or not known.own or sizes != (known.block, known.bytes, known.head):
        known = add_type(name, *sizes)
    _CODECS[known.id] = codec
    return codec


def register_from(path: str | Path) -> list[TensorType]:
    """Run a Python file, whose classes register themselves, and return the types that it made.

    Raises UsageError for a file that is missing or that registers nothing, and for what it raises.
    """
    from importlib.util import module_from_spec, spec_from_file_location

    path = Path(path)
    before = dict(_CODECS)
    try:
        if not path.is_file():
            raise UsageError("is no file; name a Python file with a class that registers a type")
        spec = spec_from_file_location(f"ggtui_types_{path.stem}", path)
        if spec is None or spec.loader is None:
            raise UsageError("is no Python file; its name must end in .py")
        spec.loader.exec_module(module_from_spec(spec))
    except GgtuiError as error:
        raise UsageError(f"{path}: {error}") from error
    except Exception as error:
        raise UsageError(f"{path}: {type(error).__name__}: {error}") from error
    made = [t for t in TYPES.values() if t.own and _CODECS[t.id] is not before.get(t.id)]
    if not made:
        raise UsageError(f"{path}: registers no type; see register_type")
    return made


def decode_rows(type: TensorType, rows: Bytes) -> Floats:
    """Rows (n, row bytes) of any type as float32 (n, ne0)."""
    ne0 = (rows.shape[1] - type.head) // type.bytes * type.block
    if type.own:
        codec = _CODECS[type.id]
        x = np.asarray(codec.decode(rows), np.float32)
        _check_shape(codec, "decode", x.shape, (len(rows), ne0))
        return x
    out = np.empty((len(rows), ne0), np.float32)
    data = ffi.from_buffer(np.ascontiguousarray(rows))
    check(lib.gg_dequantize(type.id, out.size, data, ffi.from_buffer("float[]", out)))
    return out


def encode_rows(type: TensorType, x: Floats) -> Bytes:
    """Rows of weights, float32 (n, ne0), stored as any type: uint8 (n, row bytes)."""
    row_bytes = type.row_bytes(x.shape[1])
    if type.own:
        codec = _CODECS[type.id]
        rows = np.ascontiguousarray(codec.encode(x)).view(np.uint8)
        _check_shape(codec, "encode", rows.shape, (len(x), row_bytes))
        return rows
    out = np.empty((len(x), row_bytes), np.uint8)
    weights = ffi.from_buffer("float[]", np.ascontiguousarray(x, np.float32))
    check(lib.gg_quantize(type.id, x.size, weights, ffi.from_buffer(out)))
    return out


def _check_shape(codec: type[OwnType], function: str, got: Any, wanted: tuple[int, int]) -> None:
    if got != wanted:
        raise ShapeError(f"type {codec.name}: {function} gave {got} for {wanted[0]} rows, not {wanted}")


@ffi.def_extern()  # type: ignore[untyped-decorator]
def gg_py_decode(id: int, ne0: int, n_rows: int, src: Any, dst: Any) -> int:
    """Called by C from any thread, under the GIL."""
    try:
        type = type_by_id(id)
        assert type is not None
        row_bytes = type.row_bytes(ne0)
        rows = np.frombuffer(ffi.buffer(src, n_rows * row_bytes), np.uint8).reshape(n_rows, row_bytes)
        out = np.frombuffer(ffi.buffer(dst, n_rows * ne0 * 4), np.float32).reshape(n_rows, ne0)
        out[...] = decode_rows(type, rows)
    except BaseException as error:  # whatever it is, it must come out of the run and not of C
        raised.append(error)
        return 1
    return 0


lib.gg_set_decode(lib.gg_py_decode)
