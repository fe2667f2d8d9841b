"""Values of any type to floats and back: C's codecs, and those of a user's own types, which C calls from here."""

from __future__ import annotations

from threading import Lock
from typing import Any

import numpy as np

from ggtui.core.errors import GgtuiError
from ggtui.core.graph.own_types import Bytes, Floats, decode_own, encode_own
from ggtui.core.graph.types import TensorType, own_types, type_by_id
from ggtui.core.runtime.cpu.native import check, ffi, last_error, lib

_TELLING = Lock()


def decode_rows(type: TensorType, rows: Bytes) -> Floats:
    """Rows (n, row bytes) of any type as float32 (n, ne0)."""
    if type.own:
        return decode_own(type, rows)
    out = np.empty((len(rows), rows.shape[1] // type.bytes * type.block), np.float32)
    data = ffi.from_buffer(np.ascontiguousarray(rows))
    check(lib.gg_dequantize(type.id, out.size, data, ffi.from_buffer("float[]", out)))
    return out


def encode_rows(type: TensorType, x: Floats) -> Bytes:
    """Rows of weights, float32 (n, ne0), stored as any type: uint8 (n, row bytes)."""
    if type.own:
        return encode_own(type, x)
    out = np.empty((len(x), type.row_bytes(x.shape[1])), np.uint8)
    weights = ffi.from_buffer("float[]", np.ascontiguousarray(x, np.float32))
    check(lib.gg_quantize(type.id, x.size, weights, ffi.from_buffer(out)))
    return out


def tell_own_types() -> None:
    """Let C know the types that were registered since it was told last. To be called before it is to use any."""
    if len(own_types()) == lib.gg_n_own_types():  # without the lock, which a fork() might find held
        return
    with _TELLING:  # a call of C lets go of the GIL: without it two threads would tell the same type
        for t in own_types()[lib.gg_n_own_types() :]:
            if lib.gg_add_type(t.name.encode(), t.block, t.bytes, t.head) != t.id:
                raise GgtuiError(last_error() or f"type {t.name}: the compiled part numbers it otherwise")


@ffi.def_extern()  # type: ignore[untyped-decorator]
def gg_py_decode(raised: Any, id: int, ne0: int, n_rows: int, src: Any, dst: Any) -> int:
    """Called by C from any thread, under the GIL. Whoever keeps what the codec was given keeps a copy: C's memory goes
    on to other uses."""
    try:
        type = type_by_id(id)
        assert type is not None
        n = n_rows * type.row_bytes(ne0)
        rows = np.frombuffer(bytes(ffi.buffer(src, n)), np.uint8).reshape(n_rows, -1)
        ffi.memmove(dst, np.ascontiguousarray(decode_own(type, rows)), n_rows * ne0 * 4)
    except BaseException as error:  # whatever it is, it must come out of the run and not of C
        ffi.from_handle(raised).append(error)
        return 1
    return 0


lib.gg_set_decode(lib.gg_py_decode)
