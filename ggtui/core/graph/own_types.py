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
from ggtui.core.graph.types import TensorType, add_type, own_types

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
    _CODECS[add_type(name, *sizes).id] = codec
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
    made = [t for t in own_types() if _CODECS.get(t.id) is not before.get(t.id)]
    if not made:
        raise UsageError(f"{path}: registers no type; see register_type")
    return made


def decode_own(type: TensorType, rows: Bytes) -> Floats:
    """Rows (n, row bytes) of such a type as float32 (n, ne0). Raises ShapeError where the codec gives another shape."""
    codec = _CODECS[type.id]
    x = np.asarray(codec.decode(rows), np.float32)
    ne0 = (rows.shape[1] - type.head) // type.bytes * type.block
    _check_shape(codec, "decode", x.shape, (len(rows), ne0))
    return x


def encode_own(type: TensorType, x: Floats) -> Bytes:
    """Rows of weights, float32 (n, ne0), stored as such a type: uint8 (n, row bytes). Raises as decode_own does."""
    codec = _CODECS[type.id]
    rows = np.ascontiguousarray(codec.encode(x)).view(np.uint8)
    _check_shape(codec, "encode", rows.shape, (len(x), type.row_bytes(x.shape[1])))
    return rows


def _check_shape(codec: type[OwnType], function: str, got: Any, wanted: tuple[int, int]) -> None:
    if got != wanted:
        raise ShapeError(f"type {codec.name}: {function} gave {got} for {wanted[0]} rows, not {wanted}")
