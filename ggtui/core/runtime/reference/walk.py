"""Computes a graph op by op in numpy: nothing is fused, and no memory is used twice.

The values of a run are bytes, laid out as the tensors say, so that views and what is written through them are what they
are on any device. Only packed tensors, whose layout is the CPU kernels' own, are held as values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ggtui.core.errors import UsageError
from ggtui.core.graph.dag import topological
from ggtui.core.graph.dim import Dim
from ggtui.core.graph.ops import OPS
from ggtui.core.graph.ops.in_numpy import Array
from ggtui.core.graph.tensor import NUMPY_TYPES, Param, Tensor
from ggtui.core.graph.types import TensorType
from ggtui.core.runtime.reference.quants import dequantize, quantize

Bytes = NDArray[np.uint8]


class Walk:
    """One run. `values` has each run-time size.

    memory  what holds the roots that are there already; of the others it keeps bytes itself. By default copies of the
            graph's own, so that what is written leaves it as it was
    bytes   what each root holds that was read or written
    packed  the values of those that are packed, float32 (ne3, ne2, ne1, ne0)

    >>> walk = Walk({"n_tokens": 3}); walk.compute([y]); walk.result(y)
    """

    def __init__(
        self, values: Mapping[str, int] | None = None, memory: Callable[[Tensor], Bytes | None] | None = None
    ) -> None:
        self.values = dict(values or {})
        self.bytes: dict[Tensor, Bytes] = {}
        self.packed: dict[Tensor, NDArray[np.float32]] = {}
        self._given = memory or (lambda root: root.bytes().copy() if root.op == "none" else None)

    def compute(self, outputs: Iterable[Tensor]) -> None:
        """Compute all that the outputs depend on, in the order in which it was written down.

        Raises UsageError for a run-time size without a value or out of range, GgtuiError for a tensor without data and
        for a row index out of range, and what a map_custom function raises.
        """
        for t in topological(list(outputs)):
            if t.op != "none":
                self.step(t)

    def step(self, t: Tensor, src: Sequence[Tensor | None] | None = None) -> None:
        """Compute one tensor, whose sources, its own or those given in their place, are there. Raises as `compute`
        does."""
        op, src = OPS[t.op], t.src if src is None else src
        if op.kind == "custom":
            self._call(t, src)
        elif op.reference is not None:
            params = tuple(self._number(p) for p in t.op_params)
            with np.errstate(all="ignore"):  # infinities and NaN are results like others
                if _takes_blocks(t):
                    moved, *others = src
                    assert moved is not None
                    before = [self._blocks(t)] if op.before else []
                    operands = [self._blocks(moved, t.type), *map(self._operand, others)]
                    self._put(t, op.reference(params, *before, *operands))
                else:
                    before = [self.read(t)] if op.before else []
                    self.write(t, op.reference(params, *before, *map(self._operand, src)))

    def result(self, t: Tensor) -> Array:
        """The values of a tensor as `numpy()` shapes them, in the sizes of the run; float64, or int32 for i32."""
        return self.read(t).reshape(self._shape(t)[4 - t.n_dims :])

    def read(self, t: Tensor) -> Array:
        """The values of a tensor, (ne3, ne2, ne1, ne0), float64 or int32."""
        shape = self._shape(t)
        if t.packed:
            return self._packed_part(t).astype(np.float64)
        if t.type.name == "i32":
            return self._elements(t, shape).copy().view(np.int32).reshape(shape)
        if 0 in shape:
            return np.zeros(shape)
        rows = np.ascontiguousarray(self._elements(t, shape)).reshape(*shape[:3], -1)
        return dequantize(rows, t.type, shape[3]).astype(np.float64)

    def write(self, t: Tensor, array: Array) -> None:
        """Store (ne3, ne2, ne1, ne0) in a tensor's memory, rounded to its type."""
        assert array.shape == self._shape(t), (t.op, array.shape, self._shape(t))
        if t.packed:
            blocks = np.ascontiguousarray(_encode(array, t.type)).view(np.uint8)
            self._packed_part(t)[...] = dequantize(blocks, t.type, array.shape[3]) if array.size else 0
        else:
            self._put(t, _encode(array, t.type))

    def _operand(self, t: Tensor | None) -> Array | None:
        return None if t is None else self.read(t)

    def _blocks(self, t: Tensor, type: TensorType | None = None) -> Array:
        """A tensor's values in whole blocks, numpy's void (ne3, ne2, ne1, blocks of a row): those that it holds, or
        made of its values where another type is asked for."""
        if type is not None and type is not t.type:
            return _encode(self.read(t), type)
        elements = np.ascontiguousarray(self._elements(t, self._shape(t)))
        return elements.view(f"V{elements.shape[-1]}")[..., 0]

    def _put(self, t: Tensor, blocks: Array) -> None:
        elements = self._elements(t, self._shape(t))
        elements[...] = np.ascontiguousarray(blocks).view(np.uint8).reshape(elements.shape)

    def _call(self, t: Tensor, src: Sequence[Tensor | None]) -> None:
        """Let the function of a map_custom node do the work of all threads."""
        dst, *operands = (self._plain(s) for s in (t, *src) if s is not None)
        t.function(dst, *operands, ith=0, nth=1)

    def _plain(self, t: Tensor) -> NDArray[Any]:
        """A tensor of numpy's own types as `numpy()` gives it: a view of its memory."""
        shape = self._shape(t)[4 - t.n_dims :]
        strides = tuple(reversed(t.nb[: t.n_dims]))
        return np.ndarray(
            shape, NUMPY_TYPES[t.type.name], self._memory(t), t.view_offs if 0 not in shape else 0, strides
        )

    def _elements(self, t: Tensor, shape: tuple[int, ...]) -> Bytes:
        """A view of a tensor's memory, (ne3, ne2, ne1, blocks of a row, bytes of a block). numpy checks its bounds."""
        offset, strides = t.view_offs if 0 not in shape else 0, tuple(reversed(t.nb[1:]))
        if t.type.head:  # what begins a row belongs to all of it
            last, steps = (1, t.type.row_bytes(shape[3])), (1, 1)
        else:
            last, steps = (shape[3] // t.type.block, t.type.bytes), (t.nb[0], 1)
        return np.ndarray((*shape[:3], *last), np.uint8, self._memory(t), offset, (*strides, *steps))

    def _memory(self, t: Tensor) -> Bytes:
        """The bytes of a tensor's root: those that there are, zeros where an op makes it."""
        root = t.root
        if root not in self.bytes:
            given = self._given(root)
            self.bytes[root] = np.zeros(root.n_bytes, np.uint8) if given is None else given
        return self.bytes[root]

    def _packed_part(self, t: Tensor) -> NDArray[np.float32]:
        """A view of the values of a packed tensor, of which only the first rows can be viewed."""
        root = t.root
        if root not in self.packed:
            self.packed[root] = root.numpy().reshape(tuple(reversed(root.ne))).astype(np.float32)
        return self.packed[root][tuple(slice(n) for n in self._shape(t))]

    def _shape(self, t: Tensor) -> tuple[int, ...]:
        return tuple(int(self._number(n)) for n in reversed(t.ne))

    def _number(self, n: Param) -> Param:
        """A size or a parameter in this run."""
        if not isinstance(n, Dim):
            return n
        if n.name not in self.values:
            raise UsageError(f"run: no value for {n.name}")
        value = self.values[n.name]
        if not 0 <= value <= int(n):
            raise UsageError(f"run: {n.name} is {value}; must be 0 to {int(n)}")
        return value


def _takes_blocks(t: Tensor) -> bool:
    """Whether whole blocks are moved: then nothing that only moves, or stays where it is, is rounded anew."""
    first = t.src[0] if t.src else None
    moves = OPS[t.op].kind in ("copy", "store")
    return moves and first is not None and not t.packed and (first.type is t.type or first.ne[0] == t.ne[0])


def _encode(array: Array, type: TensorType) -> Array:
    """Values (ne3, ne2, ne1, ne0) as blocks of a type, numpy's void (ne3, ne2, ne1, blocks of a row)."""
    *outer, ne0 = array.shape
    n_bytes = type.row_bytes(ne0) if type.head else type.bytes
    if not array.size:
        return np.empty((*outer, type.row_bytes(ne0) // n_bytes), f"V{n_bytes}")
    with np.errstate(over="ignore"):
        rows = _as_i32(array).view(np.uint8) if type.name == "i32" else quantize(array.astype(np.float32), type)
    return np.ascontiguousarray(rows).view(f"V{n_bytes}")


def _as_i32(array: Array) -> NDArray[np.int32]:
    """Towards 0; the nearest there is for those out of range, 0 for NaN."""
    if array.dtype == np.int32:
        return np.ascontiguousarray(array)
    nearest: Array = np.clip(np.trunc(array), -(2**31), 2**31 - 1)
    return np.where(np.isnan(nearest), 0, nearest).astype(np.int32)
