"""Tensors and the contexts that own their memory.

A tensor has up to four dimensions. `ne[i]` is the number of elements along dimension i, ne[0] the row; `nb[i]` the
bytes from one element to the next along it. A numpy array of shape (n, k) is a tensor with ne = (k, n).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from ggtui.core.errors import GgtuiError, ShapeError, UsageError
from ggtui.core.graph.own_types import decode_rows, encode_rows
from ggtui.core.graph.types import TensorType, type_of
from ggtui.core.runtime.cpu.native import check, ffi, lib
from ggtui.core.runtime.memory import ALIGNMENT, Bytes, Pages, aligned_zeros

Param = int | float
_CHUNK = 1 << 20
_LARGE_CHUNK = 64 << 20
_NUMPY_TYPES: dict[str, Any] = {"f32": np.float32, "f16": np.float16, "i32": np.int32}


class Dim(int):
    """A size that is set anew for each run, such as n_tokens. As an int it is the largest value it can take."""

    name: str

    def __new__(cls, name: str, largest: int) -> Dim:
        dim = super().__new__(cls, largest)
        dim.name = name
        return dim

    def __repr__(self) -> str:
        return f"{self.name}<={int(self)}"


def same_dim(a: int, b: int) -> bool:
    """Whether two sizes are equal in every run."""
    return a == b and getattr(a, "name", None) == getattr(b, "name", None)


class Values(Protocol):
    """What the run-time variables were in the last run; a plan is one."""

    values: dict[str, int]


class Tensor:
    """A multi-dimensional array, or the promise of one: the result of an op that a graph has yet to compute.

    type      the TensorType of its elements
    ne, nb    sizes and strides, four of each
    n_dims    how many of them count
    op, src, op_params   how it is made; op "none" for data that is simply there
    view_src, view_offs  the tensor whose memory it looks at, and where in it, in bytes
    packed    rows lie in tiles of 32 for the fast kernels; nb is that of the plain layout all the same
    """

    __slots__ = ("_view_offs", "buffer", "function", "kept", "n_dims", "name", "nb", "ne", "op", "op_params", "packed",
                 "plan", "src", "type", "view_src")  # fmt: skip

    def __init__(
        self,
        type: TensorType,
        ne: Sequence[int],
        *,
        op: str = "none",
        src: Sequence[Tensor | None] = (),
        op_params: Sequence[Param] = (),
        nb: Sequence[int] | None = None,
        view_src: Tensor | None = None,
        view_offs: int = 0,
        n_dims: int | None = None,
        name: str = "",
        packed: bool = False,
    ) -> None:
        if not 1 <= len(ne) <= 4:
            raise ShapeError(f"{op}: a tensor has 1 to 4 dimensions, not {len(ne)}")
        self.type = type
        self.ne: tuple[int, ...] = (*ne, *[1] * (4 - len(ne)))
        if min(self.ne) < 0:
            raise ShapeError(f"{op}: sizes {self.ne} must not be negative")
        if self.ne[0] % type.block:
            raise ShapeError(
                f"{op}: a row of {self.ne[0]} is no whole number of {type.name} blocks ({type.block} each)"
            )
        self.nb: tuple[int, ...] = tuple(nb) if nb is not None else contiguous_nb(type, self.ne)
        used = 4
        while used > 1 and self.ne[used - 1] == 1 and not isinstance(self.ne[used - 1], Dim):
            used -= 1
        self.n_dims = max(used, n_dims or len(ne))
        self.op = op
        self.src: tuple[Tensor | None, ...] = tuple(src)
        self.op_params: tuple[Param, ...] = tuple(op_params)
        # A view of a view looks at the first one's memory.
        self.view_src = view_src.root if view_src is not None else None
        self._view_offs = view_offs + (view_src.view_offs if view_src is not None else 0)
        self.name = name
        self.packed = packed
        self.buffer: Bytes | None = None  # its memory; of a view, see root
        self.plan: Values | None = None  # whose run filled it
        self.kept = True  # whether its memory still holds it after a run
        self.function: Any = None  # of map_custom

    @property
    def root(self) -> Tensor:
        """The tensor whose memory this one lies in: itself unless it is a view."""
        return self if self.view_src is None else self.view_src

    @property
    def view_offs(self) -> int:
        return self._view_offs

    @property
    def n_elements(self) -> int:
        return prod(self.ne)

    @property
    def n_rows(self) -> int:
        return prod(self.ne[1:])

    @property
    def n_bytes(self) -> int:
        """Bytes from the first to behind the last element; of a packed tensor with its last tile filled up."""
        if 0 in self.ne:
            return 0
        if self.packed:
            return prod(self.ne[2:]) * self.nb[2]
        row = self.type.row_bytes(self.ne[0]) if self.nb[0] == self.type.bytes else (self.ne[0] - 1) * self.nb[0]
        row += self.type.bytes if self.nb[0] != self.type.bytes else 0
        return row + sum((self.ne[i] - 1) * self.nb[i] for i in (1, 2, 3))

    @property
    def is_contiguous(self) -> bool:
        return self.nb == contiguous_nb(self.type, self.ne)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of `numpy()`: ne turned round, with what the run-time sizes were in the last run."""
        values = self.plan.values if self.plan is not None else {}
        sizes = [values.get(n.name, int(n)) if isinstance(n, Dim) else n for n in self.ne[: self.n_dims]]
        return tuple(reversed(sizes))

    def bytes(self) -> Bytes:
        """Its memory, from its first to its last byte, as uint8. Raises GgtuiError where there is none yet."""
        root = self.root
        if root.buffer is None:
            made = f"the result of {self.op}" if self.op != "none" else "without memory"
            raise GgtuiError(f"tensor {self.name!r} ({made}) has no data: no graph that holds it has been computed, or "
                             "it became part of a fused node; Graph.keep() keeps it")  # fmt: skip
        if not root.kept:
            raise GgtuiError(f"tensor {self.name!r} ({self.op}): its memory was used again by a later node; call "
                             "Graph.keep() on it before computing")  # fmt: skip
        return root.buffer[self._view_offs : self._view_offs + self.n_bytes]

    def numpy(self) -> NDArray[Any]:
        """Its values: a view where the type is f32, f16 or i32, a dequantized float32 copy otherwise.

        Shape: ne turned round. Raises GgtuiError when the memory holds nothing or something else by now.
        """
        data = self.bytes()
        dtype = _NUMPY_TYPES.get(self.type.name)
        if dtype is not None and not self.packed:
            strides = tuple(reversed(self.nb[: self.n_dims]))
            flat = data[: len(data) - len(data) % np.dtype(dtype).itemsize].view(dtype)
            return as_strided(flat, shape=self.shape, strides=strides)
        out = np.empty((self.n_rows, self.ne[0]), np.float32)
        if self.packed:
            for i, at in enumerate(self._matrix_offsets()):
                rows = out[i * self.ne[1] : (i + 1) * self.ne[1]]
                for i1, row in enumerate(rows):
                    check(lib.gg_unpack_row(self.type.id, self.ne[0], i1, _pointer(data[at:]), _float_pointer(row)))
        elif out.size and self.type.own:
            strides = (*reversed(self.nb[1:]), 1)
            plain = as_strided(data, (*reversed(self.ne[1:]), self.type.row_bytes(self.ne[0])), strides)
            out = decode_rows(self.type, plain.reshape(self.n_rows, -1))
        elif out.size:
            blocks = (*reversed(self.ne[1:]), self.ne[0] // self.type.block, self.type.bytes)
            plain = np.ascontiguousarray(as_strided(data, blocks, (*reversed(self.nb), 1)))
            check(lib.gg_dequantize(self.type.id, out.size, _pointer(plain), _float_pointer(out)))
        whole = out.reshape(tuple(reversed(self.ne[: self.n_dims])))
        return whole[tuple(slice(n) for n in self.shape)]

    def _matrix_offsets(self) -> list[int]:
        return [i2 * self.nb[2] + i3 * self.nb[3] for i3 in range(self.ne[3]) for i2 in range(self.ne[2])]

    def set(self, array: NDArray[Any]) -> None:
        """Fill it with `array` (shape: ne turned round), converted or quantized to its type."""
        if tuple(array.shape) != tuple(reversed(self.ne[: self.n_dims])):
            raise ShapeError(f"set: an array of shape {array.shape} does not fill a tensor with ne = {self.ne}")
        if self.type.name in _NUMPY_TYPES and not self.packed:
            self.numpy()[...] = array
            return
        rows = np.ascontiguousarray(array, np.float32).reshape(self.n_rows, self.ne[0])
        if not (self.packed or self.is_contiguous):
            raise ShapeError(f"set: {describe(self)} is not contiguous")
        plain = np.empty(self.n_rows * self.type.row_bytes(self.ne[0]), np.uint8) if self.packed else self.bytes()
        if rows.size:
            plain[:] = encode_rows(self.type, rows).reshape(-1)
        if self.packed:
            self.pack_from(plain)

    def pack_from(self, plain: Bytes) -> None:
        """Fill a packed tensor from the bytes of the plain layout, as a model file holds them."""
        jobs = ffi.new("gg_pack_job[]", self.pack_jobs(plain, max(len(plain), 1)))
        check(lib.gg_pack_all(jobs, len(jobs), ffi.new("int64_t *")))

    def pack_jobs(self, plain: Bytes, share: int) -> list[tuple[int, int, int, Any, Any]]:
        """What gg_pack_all is to do for `pack_from`, in whole tiles of rows, about `share` bytes at a time."""
        row_bytes = self.type.row_bytes(self.ne[0])
        step = max(1, share // max(row_bytes * lib.GG_TILE, 1)) * lib.GG_TILE
        data = self.bytes()
        jobs = []
        for i, to in enumerate(self._matrix_offsets()):
            for row in range(0, self.ne[1], step):
                at, n_rows = (i * self.ne[1] + row) * row_bytes, min(step, self.ne[1] - row)
                src, dst = _pointer(plain[at:]), _pointer(data[to + row * row_bytes :])
                jobs.append((self.type.id, self.ne[0], n_rows, src, dst))
        return jobs

    def __repr__(self) -> str:
        return f"<Tensor {self.name or '-'} {describe(self)} op={self.op}>"


def describe(t: Tensor) -> str:
    """One operand in a message: its name, type and sizes."""
    sizes = ", ".join(str(n) for n in t.ne[: t.n_dims])
    return f"{t.name + ' ' if t.name else ''}{t.type.name} ({sizes})"


def contiguous_nb(type: TensorType, ne: Sequence[int]) -> tuple[int, ...]:
    """Strides in bytes of a tensor without gaps."""
    row = type.row_bytes(ne[0])
    return (type.bytes, row, row * ne[1], row * ne[1] * ne[2])


def packed_nb(type: TensorType, ne: Sequence[int]) -> tuple[int, ...]:
    """Strides of a packed tensor: each matrix takes whole tiles."""
    row = type.row_bytes(ne[0])
    tile = int(lib.GG_TILE)
    matrix = row * (-(-ne[1] // tile) * tile)
    return (type.bytes, row, matrix, matrix * ne[2])


def _pointer(data: NDArray[Any]) -> Any:
    return ffi.cast("void *", data.__array_interface__["data"][0])


def _float_pointer(data: NDArray[np.float32]) -> Any:
    return ffi.cast("float *", data.__array_interface__["data"][0])


class Context:
    """Owns the memory of tensors: an arena that grows by chunks and is given back as a whole.

    `huge_pages` is for what is large: True for what every token reads, False for what is filled little by little, see
    Pages.
    """

    def __init__(self, *, huge_pages: bool | None = None) -> None:
        self._huge_pages = huge_pages
        self._pages: list[Pages] = []
        self._chunk: Bytes = np.empty(0, np.uint8)
        self._used = 0  # of the chunk
        self._total = 0

    def used_mem(self) -> int:
        """Bytes given to tensors so far."""
        return self._total

    def allocate(self, n_bytes: int) -> Bytes:
        """`n_bytes` of zeroed memory, aligned to 64 bytes, owned by this context's arena."""
        size = -(-n_bytes // ALIGNMENT) * ALIGNMENT
        self._total += size
        chunk = _CHUNK if self._huge_pages is None else _LARGE_CHUNK
        if size > chunk // 4:
            return self._zeros(size)[:n_bytes]
        if self._used + size > len(self._chunk):
            self._chunk, self._used = self._zeros(chunk), 0
        self._used += size
        return self._chunk[self._used - size : self._used][:n_bytes]

    def _zeros(self, n_bytes: int) -> Bytes:
        if self._huge_pages is None:
            return aligned_zeros(n_bytes)
        self._pages.append(Pages(n_bytes, huge=self._huge_pages))
        return self._pages[-1].data

    def use_huge_pages(self) -> None:
        """Where they were small until now. What was written to them is lost."""
        for pages in self._pages:
            pages.use_huge()

    def new_tensor(self, type: str | TensorType, ne: Sequence[int], name: str = "", *, packed: bool = False) -> Tensor:
        """A tensor of the given sizes, ne[0] the row, filled with zeros.

        `packed` lays its rows in tiles of 32, which the fast mul_mat kernels read. Raises UsageError for an unknown
        type or one that can't be packed, ShapeError for rows that are no whole number of blocks.
        """
        kind = type_of(type)
        if packed and not lib.gg_packable(kind.id):
            raise UsageError(f"type {kind.name} can't be packed")
        full = (*ne, *[1] * (4 - len(ne)))
        if kind.block and full[0] % kind.block:
            raise ShapeError(
                f"new_tensor: a row of {full[0]} is no whole number of {kind.name} blocks ({kind.block} each)"
            )
        t = Tensor(kind, ne, name=name, nb=packed_nb(kind, full) if packed else None, packed=packed)
        t.buffer = self.allocate(t.n_bytes)
        return t

    def new_tensor_1d(self, type: str | TensorType, ne0: int, name: str = "") -> Tensor:
        return self.new_tensor(type, (ne0,), name)

    def new_tensor_2d(self, type: str | TensorType, ne0: int, ne1: int, name: str = "") -> Tensor:
        return self.new_tensor(type, (ne0, ne1), name)

    def new_tensor_3d(self, type: str | TensorType, ne0: int, ne1: int, ne2: int, name: str = "") -> Tensor:
        return self.new_tensor(type, (ne0, ne1, ne2), name)

    def new_tensor_4d(self, type: str | TensorType, ne0: int, ne1: int, ne2: int, ne3: int, name: str = "") -> Tensor:
        return self.new_tensor(type, (ne0, ne1, ne2, ne3), name)

    def tensor(
        self, array: Any, name: str = "", type: str | TensorType | None = None, *, packed: bool = False
    ) -> Tensor:
        """A tensor with the values of `array`, whose shape turned round is ne.

        `type` converts or quantizes on the way in; without it integers become i32, float16 stays f16, all else f32.
        """
        values = np.asarray(array)
        if values.ndim == 0:
            values = values.reshape(1)
        if type is None:
            type = "f16" if values.dtype == np.float16 else "i32" if values.dtype.kind in "iub" else "f32"
        t = self.new_tensor(type, tuple(reversed(values.shape)), name, packed=packed)
        t.set(values)
        return t
