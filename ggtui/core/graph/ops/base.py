"""What every op is made of: its row in the table, and helpers for shape rules and costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from operator import index
from typing import Any

from ggtui.core.errors import ShapeError
from ggtui.core.graph.alias import check_writes
from ggtui.core.graph.cost import Cost
from ggtui.core.graph.dim import Dim, same_dim
from ggtui.core.graph.ops.in_numpy import Array
from ggtui.core.graph.tensor import Param, Tensor, describe
from ggtui.core.graph.types import TYPES, TensorType

Sources = Sequence[Tensor | None]

F32 = TYPES["f32"]
I32 = TYPES["i32"]
MAX_SRC = 6  # sources of an op

KINDS = (
    "view",       # looks at its source another way; no data moves
    "copy",       # values to another place, type or shape: dup, cont, cpy
    "move",       # values to several or other places: repeat, concat
    "gather",     # rows by index out of its first source
    "store",      # rows by index into its memory
    "unary",      # y = f(x), value by value
    "binary",     # y = f(a, b), value by value
    "map",        # y = f(x) with numbers of its own: scale, clamp, a causal mask
    "glu",        # f(x) times a gate
    "reduction",  # many values to one
    "norm",       # rows brought to a common size
    "soft_max",   # along the keys
    "rope",       # positions into rows
    "product",    # rows of weights times rows of activations
    "attention",  # soft_max and products in one go
    "fill",       # a number everywhere
    "accumulate", # added to what memory holds
    "backward",   # what comes back through an op, row by row or head by head
    "step",       # an optimizer's
    "custom",     # a function of Python's
    "round",      # activations to the form that products read: a device's own
    "submit",     # handing a part of a graph to a device's queue: a program's own
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Op:
    """A row of the table of ops. Passes, devices, drawings and tests read its columns, never its name.

    build     makes the tensor that promises the result, and checks shapes
    kind      one of KINDS
    flops     floating-point operations of the op that a tensor is the result of
    traffic   bytes read and written: of a result and the sources that a device really reads
    rowwise   sources of which a row of the result needs only the same row, where both have the same rows. None: an op
              whose work is not shared by rows of the result; (): one that is, but reads other rows
    reference what it means in numpy, see in_numpy; None where it only looks, or where the user's function says it
    before    whether that gets first what the memory that it writes to held before: for its values, or its sizes alone
    told_by_data  sizes of a run that costs hang on and only the values of operands tell, by name; None: there are none
    activation  of a glu: the unary op that makes the gate of its first source
    headwise  sources of which the work of a head (one of ne2 and ne3, with the group that shares it) needs only that
              head. None: an op whose work is not shared by heads; (): one that is, but reads none of them so
    """

    build: Callable[..., Tensor]
    kind: str
    flops: Callable[[Tensor], Cost]
    traffic: Callable[[Tensor, Sources], Cost]
    rowwise: tuple[int, ...] | None = None
    reference: Callable[..., Array] | None = None
    before: bool = False
    headwise: tuple[int, ...] | None = None
    told_by_data: Callable[[Tensor], dict[str, int]] | None = None
    activation: str = ""

    @property
    def name(self) -> str:
        return self.build.__name__

    @property
    def moves_data(self) -> bool:
        """False for ops that only look at their source in another way."""
        return self.kind != "view"


def result(
    op: str,
    ne: Sequence[int],
    src: Sources,
    params: Sequence[Param] = (),
    type: TensorType = F32,
    into: Tensor | None = None,
    in_place: Sequence[int] = (),
    n_dims: int | None = None,
    function: Any = None,
) -> Tensor:
    """The tensor that an op promises. `into` makes it write into another tensor's memory; `in_place` says which sources
    may be that very memory. Raises ShapeError where it would overwrite other things that it reads."""
    if into is not None:
        need(into.nb[0] == into.type.bytes, op, "what is written needs rows without gaps", into)
        check_writes(op, into, src, in_place)
        return Tensor.of_op(
            op, into.type, into.ne, src, op_params=params, nb=into.nb, view_src=into, n_dims=into.n_dims
        )
    most = n_dims or max((s.n_dims for s in src if s is not None), default=1)
    return Tensor.of_op(op, type, ne, src, op_params=params, n_dims=most, function=function)


def need(holds: bool, op: str, problem: str, *operands: Tensor | None) -> None:
    """Raise ShapeError that names the op and its operands unless `holds`."""
    if not holds:
        given = " and ".join(describe(t) for t in operands if t is not None)
        raise ShapeError(f"{op}: {problem}; given {given}")


def whole(op: str, what: str, value: int) -> int:
    """A parameter that must be a whole number of 32 bits, or a run-time size. Raises ShapeError."""
    if isinstance(value, Dim):
        return value
    try:
        number = index(value)
    except TypeError as error:
        raise ShapeError(f"{op}: {what} {value!r} must be a whole number") from error
    if not -(1 << 31) <= number < 1 << 31:
        raise ShapeError(f"{op}: {what} {value} does not fit into 32 bits")
    return number


def need_f32(op: str, *operands: Tensor | None) -> None:
    for t in operands:
        if t is not None:
            need(t.type is F32 and not t.packed, op, "needs plain f32", t)


def same_shape(a: Tensor, b: Tensor) -> bool:
    return all(same_dim(x, y) for x, y in zip(a.ne, b.ne, strict=True))


def fits_times(small: int, large: int) -> bool:
    """Whether a size goes into another a whole number of times in every run."""
    if same_dim(small, large):
        return True
    if isinstance(small, Dim) or small < 1:
        return False
    return small == 1 or (large % small == 0 and not isinstance(large, Dim))


def can_repeat(small: Tensor, large: Tensor) -> bool:
    """Whether `small` can be repeated a whole number of times to the shape of `large`."""
    return all(fits_times(s, n) for s, n in zip(small.ne, large.ne, strict=True))


def same_count(a: Sequence[int], b: Sequence[int]) -> bool:
    """Whether two lists of sizes make the same number of elements in every run."""

    def count(ne: Sequence[int]) -> tuple[int, list[str]]:
        return prod(ne), sorted(n.name for n in ne if isinstance(n, Dim))

    return count(a) == count(b)


def count(t: Tensor) -> Cost:
    """Elements of a tensor."""
    return Cost.product(*t.ne)


def bytes_of(t: Tensor) -> Cost:
    """Bytes of a tensor without its gaps."""
    row = Cost.of(t.ne[0]).times(t.type.bytes).over(t.type.block).plus(t.type.head)
    return Cost.product(row, *t.ne[1:])


def rows_like(type: TensorType, rows: Tensor) -> Cost:
    """Bytes of as many rows, of the same length, in a type."""
    row = Cost.of(rows.ne[0]).times(type.bytes).over(type.block).plus(type.head)
    return Cost.product(row, *rows.ne[1:])


def plain_traffic(t: Tensor, src: Sources) -> Cost:
    """Every source read once, the result written once."""
    total = bytes_of(t)
    for s in src:
        if s is not None:
            total = total.plus(bytes_of(s))
    return total


def no_flops(_t: Tensor) -> Cost:
    return Cost()


def no_traffic(_t: Tensor, _src: Sources) -> Cost:
    return Cost()


def per_element(flops: int) -> Callable[[Tensor], Cost]:
    """A cost of so many operations for each element of the result."""
    return lambda t: count(t).times(flops)


def per_source_element(flops: int) -> Callable[[Tensor], Cost]:
    """A cost of so many operations for each element of the first source."""

    def cost(t: Tensor) -> Cost:
        assert t.src[0] is not None
        return count(t.src[0]).times(flops)

    return cost
