"""Tensors: what they are, how they are made, and which memory they look at.

A tensor has up to four dimensions. `ne[i]` is the number of elements along dimension i, ne[0] the row; `nb[i]` the
bytes from one element to the next along it. A numpy array of shape (n, k) is a tensor with ne = (k, n).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from operator import index
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ggtui.core.errors import GgtuiError, ShapeError
from ggtui.core.graph.dim import Dim
from ggtui.core.graph.types import TensorType

Param = int | float
Bytes = NDArray[np.uint8]
NUMPY_TYPES: dict[str, Any] = {"f32": np.float32, "f16": np.float16, "i32": np.int32}  # those that numpy has too

MAX_ELEMENTS = 1 << 40  # of a tensor: sizes and offsets in bytes stay far from what 64 bits hold
MAX_REPEATED = 1 << 32  # of a view that shows elements more than once: whoever reads all of it must come to an end


class Buffer(Protocol):
    """Memory of a tensor on some device, in the layout that the device chose for its use.

    tile  rows that lie side by side for the kernels, each matrix filled up to whole tiles; 1 where they lie one after
          the other, as nb says. A tensor's nb is that of the plain layout all the same
    kept  whether it still holds its tensor after a run
    device, use   whose memory it is, by name, and for which of the uses of runtime/device.py
    """

    tile: int
    kept: bool
    device: str
    use: str

    @property
    def n_bytes(self) -> int: ...
    def bytes(self, t: Tensor) -> Bytes:
        """The memory of a tensor that lies in it, from its first to its last byte. Raises GgtuiError where the
        processor does not see it."""
        ...

    def read(self, t: Tensor, n_bytes: int) -> Bytes:
        """The first bytes of a tensor, in the plain layout: to be used before the memory changes."""
        ...

    def write(self, t: Tensor, data: Bytes) -> None:
        """Its first bytes, in the plain layout."""
        ...

    def fill_rows(self, t: Tensor, first: int, rows: Bytes) -> None:
        """Rows `first` on, (n, bytes of a row), of one matrix: where rows lie in tiles, whole ones or what is left."""
        ...

    def copy_within(self, t: Tensor, source: int, target: int, n_bytes: int) -> None:
        """Bytes of a tensor to another place in it."""
        ...

    def download(self, t: Tensor) -> NDArray[Any]:
        """Its values: a view where the type is one of numpy's, a dequantized float32 copy otherwise."""
        ...

    def upload(self, t: Tensor, array: NDArray[Any]) -> None:
        """Fill it with an array of its shape, converted or quantized to its type."""
        ...


class Tensor:
    """A multi-dimensional array, or the promise of one: the result of an op that a graph has yet to compute.

    type      the TensorType of its elements
    ne, nb    sizes and strides, four of each
    n_dims    how many of them count
    op, src, op_params   how it is made; op "none" for data that is simply there
    view_src, view_offs  the tensor whose memory it looks at, and where in it, in bytes
    view_of   the tensor it is a view of at first hand: what wrote that memory before comes before
    function  of map_custom
    buffer    its memory, or None; of a view that of its root
    name      what traces call it: all that can be assigned, for what else a tensor is, plans rely on
    """

    __slots__ = ("__weakref__", "_home", "_sizes", "function", "n_dims", "name", "nb", "ne", "op", "op_params", "src",
                 "type", "view_of", "view_offs", "view_src")  # fmt: skip

    type: TensorType
    ne: tuple[int, ...]
    nb: tuple[int, ...]
    n_dims: int
    op: str
    src: tuple[Tensor | None, ...]
    op_params: tuple[Param, ...]
    view_src: Tensor | None
    view_offs: int
    view_of: Tensor | None
    function: Any
    name: str
    _home: Buffer | None
    _sizes: Mapping[str, int] | None  # what the run-time sizes were in the last run

    def __init__(
        self,
        type: TensorType,
        ne: Sequence[int],
        *,
        nb: Sequence[int] | None = None,
        name: str = "",
    ) -> None:
        """Data that is simply there, once it is given a place."""
        self._fix("none", type, ne, nb=nb, name=name)

    @classmethod
    def of_op(cls, op: str, type: TensorType, ne: Sequence[int], src: Sequence[Tensor | None], **rest: Any) -> Tensor:
        """The result of an op. For builders of ops, who have checked that all of it fits: devices rely on that."""
        t = cls.__new__(cls)
        t._fix(op, type, ne, src, **rest)
        return t

    def _fix(
        self,
        op: str,
        type: TensorType,
        ne: Sequence[int],
        src: Sequence[Tensor | None] = (),
        *,
        op_params: Sequence[Param] = (),
        nb: Sequence[int] | None = None,
        view_src: Tensor | None = None,
        view_offs: int = 0,
        n_dims: int | None = None,
        name: str = "",
        function: Any = None,
    ) -> None:
        if not 1 <= len(ne) <= 4:
            raise ShapeError(f"{op}: a tensor has 1 to 4 dimensions, not {len(ne)}")
        try:
            sizes = (*(n if isinstance(n, Dim) else index(n) for n in ne), *[1] * (4 - len(ne)))
            strides = tuple(map(index, nb)) if nb is not None else None
            view_offs = index(view_offs)
        except TypeError as error:
            numbers = f"{tuple(ne)}, strides and offset" if nb is not None else f"{tuple(ne)}"
            raise ShapeError(f"{op}: sizes {numbers} must be whole numbers") from error
        if min(sizes) < 0:
            raise ShapeError(f"{op}: sizes {sizes} must not be negative")
        if prod(max(n, 1) for n in sizes) > MAX_ELEMENTS:
            raise ShapeError(f"{op}: sizes {sizes} are more than {MAX_ELEMENTS} elements")
        if sizes[0] % type.block:
            raise ShapeError(f"{op}: a row of {sizes[0]} is no whole number of {type.name} blocks ({type.block} each)")
        fix = object.__setattr__
        fix(self, "type", type)
        fix(self, "ne", sizes)
        fix(self, "nb", contiguous_nb(type, sizes) if strides is None else strides)
        used = 4
        while used > 1 and sizes[used - 1] == 1 and not isinstance(sizes[used - 1], Dim):
            used -= 1
        fix(self, "n_dims", max(used, n_dims or len(ne)))
        fix(self, "op", op)
        fix(self, "src", tuple(src))
        fix(self, "op_params", tuple(op_params))
        # A view of a view looks at the first one's memory.
        fix(self, "view_src", view_src.root if view_src is not None else None)
        fix(self, "view_of", view_src)
        fix(self, "view_offs", view_offs + (view_src.view_offs if view_src is not None else 0))
        fix(self, "function", function)
        self.name = name
        fix(self, "_home", None)
        fix(self, "_sizes", None)
        if view_src is not None:
            _check_view(self, view_src, view_offs)

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "name":
            raise AttributeError(f"{name} of a tensor is fixed when it is made; make another tensor")
        object.__setattr__(self, name, value)

    @property
    def root(self) -> Tensor:
        """The tensor whose memory this one lies in: itself unless it is a view."""
        return self if self.view_src is None else self.view_src

    @property
    def buffer(self) -> Buffer | None:
        return self.root._home

    def place(self, buffer: Buffer) -> None:
        """Let its memory be `buffer`. For devices and contexts. Raises GgtuiError for one that is too small."""
        if self.view_src is not None:
            raise GgtuiError(f"tensor {self.name!r} is a view: its memory is that of {self.view_src.name!r}")
        if buffer.n_bytes < self.n_bytes_in(buffer.tile):
            raise GgtuiError(f"tensor {self.name!r} takes {self.n_bytes_in(buffer.tile)} bytes, not {buffer.n_bytes}")
        object.__setattr__(self, "_home", buffer)

    def ran(self, sizes: Mapping[str, int]) -> None:
        """Let `shape` follow these run-time sizes, which whoever runs it keeps up to date."""
        object.__setattr__(self, "_sizes", sizes)

    @property
    def packed(self) -> bool:
        """Whether its rows lie in tiles, for the fast kernels."""
        home = self.root._home
        return home is not None and home.tile > 1

    @property
    def n_elements(self) -> int:
        return prod(self.ne)

    @property
    def n_rows(self) -> int:
        return prod(self.ne[1:])

    @property
    def n_bytes(self) -> int:
        """Bytes from the first to behind the last element; of a packed tensor with its last tile filled up."""
        home = self.root._home
        return self.n_bytes_in(1 if home is None else home.tile)

    def n_bytes_in(self, tile: int) -> int:
        """What `n_bytes` is where rows lie in tiles of so many."""
        if 0 in self.ne:
            return 0
        if tile > 1:
            rows = -(-self.ne[1] // tile) * tile
            return rows * self.nb[1] + (self.ne[2] - 1) * self.nb[2] + (self.ne[3] - 1) * self.nb[3]
        row = self.type.row_bytes(self.ne[0]) if self.nb[0] == self.type.bytes else (self.ne[0] - 1) * self.nb[0]
        row += self.type.bytes if self.nb[0] != self.type.bytes else 0
        return row + sum((self.ne[i] - 1) * self.nb[i] for i in (1, 2, 3))

    @property
    def is_contiguous(self) -> bool:
        return self.nb == contiguous_nb(self.type, self.ne)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of `numpy()`: ne turned round, with what the run-time sizes were in the last run."""
        sizes = self._sizes or {}
        return tuple(sizes.get(n.name, int(n)) if isinstance(n, Dim) else n for n in reversed(self.ne[: self.n_dims]))

    def _filled(self) -> Buffer:
        home = self.root._home
        if home is None:
            made = f"the result of {self.op}" if self.op != "none" else "without memory"
            raise GgtuiError(f"tensor {self.name!r} ({made}) has no data: no graph that holds it has been computed, or "
                             "it became part of a fused node; Graph.keep() keeps it")  # fmt: skip
        if not home.kept:
            raise GgtuiError(f"tensor {self.name!r} ({self.op}): its memory was used again by a later node; call "
                             "Graph.keep() on it before computing")  # fmt: skip
        return home

    def bytes(self) -> Bytes:
        """Its memory, from its first to its last byte, as uint8. Raises GgtuiError where there is none yet."""
        return self._filled().bytes(self)

    def numpy(self) -> NDArray[Any]:
        """Its values: a view where the type is f32, f16 or i32, a dequantized float32 copy otherwise.

        Shape: ne turned round. Raises GgtuiError when the memory holds nothing or something else by now.
        """
        return self._filled().download(self)

    def set(self, array: NDArray[Any]) -> None:
        """Fill it with `array` (shape: ne turned round), converted or quantized to its type."""
        if tuple(array.shape) != tuple(reversed(self.ne[: self.n_dims])):
            raise ShapeError(f"set: an array of shape {array.shape} does not fill a tensor with ne = {self.ne}")
        self._filled().upload(self, array)

    def __repr__(self) -> str:
        return f"<Tensor {self.name or '-'} {describe(self)} op={self.op}>"


def describe(t: Tensor) -> str:
    """One operand in a message: its name, type and sizes."""
    sizes = ", ".join(str(n) for n in t.ne[: t.n_dims])
    return f"{t.name + ' ' if t.name else ''}{t.type.name} ({sizes})"


def contiguous_nb(type: TensorType, ne: Sequence[int]) -> tuple[int, ...]:
    """Strides in bytes of a tensor without gaps."""
    return tiled_nb(type, ne, 1)


def tiled_nb(type: TensorType, ne: Sequence[int], tile: int) -> tuple[int, ...]:
    """Strides of a tensor whose matrices are filled up to whole tiles of rows."""
    row = type.row_bytes(ne[0])
    matrix = row * (-(-ne[1] // tile) * tile)
    return (type.bytes, row, matrix, matrix * ne[2])


def _check_view(t: Tensor, a: Tensor, offset: int) -> None:
    """Raise ShapeError unless all that a view shows, from `offset` of `a` on, are elements of it."""
    size = 1 if t.type.head else t.type.bytes
    if offset < 0 or any(n < 0 for n in t.nb) or any(n % size for n in (offset, *t.nb)):
        raise ShapeError(f"{t.op}: offset {offset} or strides {t.nb} are negative or not whole blocks of {describe(a)}")
    if t.n_elements > max(a.n_elements, MAX_REPEATED):
        raise ShapeError(f"{t.op}: sizes {t.ne} show the {a.n_elements} elements of {describe(a)} too often")
    wider = any(n > most for n, most in zip(t.ne, a.ne, strict=True))
    if a.packed and (offset or t.nb != a.nb or t.ne[0] != a.ne[0] or wider):
        raise ShapeError(f"{t.op}: of packed {describe(a)} only the first rows can be viewed")
    if t.n_bytes and offset + t.n_bytes > a.n_bytes:
        raise ShapeError(f"{t.op}: {offset} + {t.n_bytes} bytes reach past the {a.n_bytes} of {describe(a)}")
