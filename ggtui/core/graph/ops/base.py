"""What every op is made of: its row in the table, and helpers for shape rules and costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

from ggtui.core.errors import ShapeError
from ggtui.core.graph.tensor import Dim, Param, Tensor, describe, same_dim
from ggtui.core.graph.types import TYPES, TensorType
from ggtui.core.runtime.cpu.native import lib, text

OP_NUMBERS: dict[str, int] = {text(lib.gg_op_name(i)): i for i in range(lib.gg_n_ops())}

Sizes = Callable[[Tensor], tuple[int, ...]]  # ne of a tensor in the run at hand
Cost = Callable[[Tensor, Sizes], int]

F32 = TYPES["f32"]
I32 = TYPES["i32"]


@dataclass(frozen=True, slots=True)
class Op:
    """A row of the table of ops.

    build   makes the tensor that promises the result, and checks shapes
    flops   floating-point operations of one run
    traffic bytes read and written in one run
    local   sources that a thread reads only in the rows that it writes itself, when both have the same rows:
            between such nodes threads need not meet
    gathers whether threads share its rows in the same way, though its sources are other rows
    """

    name: str
    build: Callable[..., Tensor]
    flops: Cost
    traffic: Cost
    local: tuple[int, ...] = ()
    gathers: bool = False

    @property
    def by_rows(self) -> bool:
        """Whether each thread writes the rows that gg_split gives it."""
        return bool(self.local) or self.gathers

    @property
    def number(self) -> int:
        return OP_NUMBERS[self.name]

    @property
    def moves_data(self) -> bool:
        """False for ops that only look at their source in another way."""
        return bool(lib.gg_op_moves_data(self.number))


def result(
    op: str,
    ne: Sequence[int],
    src: Sequence[Tensor | None],
    params: Sequence[Param] = (),
    type: TensorType = F32,
    into: Tensor | None = None,
) -> Tensor:
    """The tensor that an op promises; `into` makes it write into another tensor's memory."""
    n_dims = max((s.n_dims for s in src if s is not None), default=1)
    if into is not None:
        need(into.nb[0] == into.type.bytes, op, "what is written needs rows without gaps", into)
        return Tensor(into.type, into.ne, op=op, src=src, op_params=params, nb=into.nb, view_src=into,
                      n_dims=into.n_dims, packed=into.packed)  # fmt: skip
    return Tensor(type, ne, op=op, src=src, op_params=params, n_dims=n_dims)


def need(holds: bool, op: str, problem: str, *operands: Tensor | None) -> None:
    """Raise ShapeError that names the op and its operands unless `holds`."""
    if not holds:
        given = " and ".join(describe(t) for t in operands if t is not None)
        raise ShapeError(f"{op}: {problem}; given {given}")


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


def bytes_of(t: Tensor, sizes: Sizes) -> int:
    ne = sizes(t)
    return t.type.row_bytes(ne[0]) * prod(ne[1:])


def plain_traffic(t: Tensor, sizes: Sizes) -> int:
    """Every source read once, the result written once."""
    return bytes_of(t, sizes) + sum(bytes_of(s, sizes) for s in t.src if s is not None)


def no_cost(_t: Tensor, _sizes: Sizes) -> int:
    return 0


def per_element(flops: int) -> Cost:
    """A cost of so many operations for each element of the result."""
    return lambda t, sizes: flops * prod(sizes(t))


def per_source_element(flops: int) -> Cost:
    """A cost of so many operations for each element of the first source."""

    def cost(t: Tensor, sizes: Sizes) -> int:
        assert t.src[0] is not None
        return flops * prod(sizes(t.src[0]))

    return cost
