"""Ops that look at data another way, or move it: views, copies, rows by index."""

from __future__ import annotations

from math import prod

from ggtui.core.errors import ShapeError
from ggtui.core.graph.cost import Cost
from ggtui.core.graph.dim import Dim, same_dim
from ggtui.core.graph.ops.base import (
    I32,
    Op,
    Sources,
    bytes_of,
    can_repeat,
    fits_times,
    need,
    need_f32,
    no_flops,
    no_traffic,
    plain_traffic,
    result,
    rows_like,
    same_count,
    whole,
)
from ggtui.core.graph.ops.in_numpy import shape as in_numpy
from ggtui.core.graph.tensor import Tensor, describe
from ggtui.core.graph.types import TensorType, type_of


def _view(
    op: str, a: Tensor, ne: tuple[int, ...], nb: tuple[int, ...], offset: int = 0, params: tuple[int, ...] = ()
) -> Tensor:
    n_dims = len(ne) if op in ("view", "reshape") else a.n_dims
    return Tensor.of_op(op, a.type, ne, (a,), op_params=params, nb=nb, view_src=a, view_offs=offset, n_dims=n_dims)


def view(a: Tensor, ne: tuple[int, ...], nb: tuple[int, ...] = (), offset: int = 0) -> Tensor:
    """A look at part of `a`: sizes `ne`, strides `nb` in bytes from dimension 1 on (left out: without gaps, and for the
    dimensions it shares with `a`, those of `a`), first byte at `offset`. Raises ShapeError where it reaches past
    `a`."""
    if not 1 <= len(ne) <= 4:
        raise ShapeError(f"view: 1 to 4 sizes, not {len(ne)}")
    if ne[0] % a.type.block:
        raise ShapeError(f"view: row {ne[0]} or offset {offset} cuts a block of {describe(a)}")
    if a.type.head and offset % a.nb[1]:
        raise ShapeError(f"view: offset {offset} is not where a row of {describe(a)} begins")
    if a.packed and not nb:
        return _view("view", a, ne, a.nb, offset)
    full = (*ne, *[1] * (4 - len(ne)))
    strides = [a.nb[0], *nb]
    if not nb and len(ne) > 1:
        strides.extend(a.nb[1 : len(ne)])
    while len(strides) < 4:
        i = len(strides)
        strides.append(a.type.row_bytes(full[0]) if i == 1 else strides[-1] * full[i - 1])
    return _view("view", a, ne, tuple(strides), offset)


def reshape(a: Tensor, *ne: int) -> Tensor:
    """The same elements in other sizes. `a` must be contiguous; a run-time size must be the outermost one in both."""
    need(a.is_contiguous and not a.packed, "reshape", "needs contiguous data (see cont)", a)
    need(same_count(ne, a.ne), "reshape", f"{prod(ne)} elements asked for with sizes {ne}", a)
    need(not a.type.head or same_dim(ne[0], a.ne[0]), "reshape", "rows that begin with a head keep their length", a)
    for sizes in (a.ne, ne):
        inner = [n for i, n in enumerate(sizes) if isinstance(n, Dim) and any(m != 1 for m in sizes[i + 1 :])]
        need(not inner, "reshape", f"the run-time size {inner} must be the outermost", a)
    full = (*ne, *[1] * (4 - len(ne)))
    row = a.type.row_bytes(full[0])
    return _view("reshape", a, tuple(ne), (a.type.bytes, row, row * full[1], row * full[1] * full[2]))


def permute(a: Tensor, axis0: int, axis1: int, axis2: int, axis3: int) -> Tensor:
    """Dimensions in another order: dimension i of `a` becomes dimension axis_i."""
    axes = tuple(whole("permute", "axis", axis) for axis in (axis0, axis1, axis2, axis3))
    if sorted(axes) != [0, 1, 2, 3]:
        raise ShapeError(f"permute: axes {axes} are no permutation of 0, 1, 2, 3; given {describe(a)}")
    need(not a.packed and (not a.type.whole_rows or axis0 == 0), "permute", "rows of blocks can't be turned", a)
    ne, nb = [0] * 4, [0] * 4
    for i, axis in enumerate(axes):
        ne[axis], nb[axis] = a.ne[i], a.nb[i]
    return _view("permute", a, tuple(ne), tuple(nb), params=axes)


def transpose(a: Tensor) -> Tensor:
    """Dimensions 0 and 1 exchanged."""
    need(not a.packed and not a.type.whole_rows, "transpose", "rows of blocks can't be turned", a)
    ne, nb = a.ne, a.nb
    return _view("transpose", a, (ne[1], ne[0], *ne[2:]), (nb[1], nb[0], *nb[2:]))


def dup(a: Tensor) -> Tensor:
    """A copy, contiguous, of the same type."""
    need(not a.packed, "dup", "can't copy packed data", a)
    return result("dup", a.ne, (a,), type=a.type)


def cont(a: Tensor) -> Tensor:
    """A contiguous copy of a tensor with any strides."""
    need(not a.packed, "cont", "can't copy packed data", a)
    return result("cont", a.ne, (a,), type=a.type)


def cpy(a: Tensor, b: Tensor) -> Tensor:
    """`a` written into the memory of `b`, converted to its type; both have the same number of elements."""
    need(same_count(a.ne, b.ne), "cpy", "different numbers of elements", a, b)
    need(not (a.packed or b.packed), "cpy", "can't copy packed data", a, b)
    return result("cpy", b.ne, (a,), into=b, in_place=(0,))


def cast(a: Tensor, type: str | TensorType) -> Tensor:
    """A copy of `a` in another type."""
    need(not a.packed, "dup", "can't copy packed data", a)
    return result("dup", a.ne, (a,), type=type_of(type))


def repeat(a: Tensor, b: Tensor) -> Tensor:
    """`a` repeated to the shape of `b`."""
    need_f32("repeat", a)
    need(can_repeat(a, b), "repeat", "the second shape is no multiple of the first", a, b)
    return result("repeat", b.ne, (a,))


def concat(a: Tensor, b: Tensor, dim: int = 0) -> Tensor:
    """`a` and `b` one after the other along `dim`; all other sizes are equal."""
    dim = whole("concat", "dim", dim)
    need(0 <= dim < 4, "concat", f"dim {dim} is not 0 to 3", a, b)
    need(
        a.type is b.type and a.type.name in ("f32", "f16", "i32"),
        "concat",
        "needs two of f32, f16 or i32",
        a,
        b,
    )
    need(
        all(i == dim or same_dim(a.ne[i], b.ne[i]) for i in range(4)),
        "concat",
        f"sizes but {dim} differ",
        a,
        b,
    )
    need(
        not (isinstance(a.ne[dim], Dim) or isinstance(b.ne[dim], Dim)),
        "concat",
        f"size {dim} varies from run to run",
        a,
        b,
    )
    ne = tuple(a.ne[i] + b.ne[i] if i == dim else a.ne[i] for i in range(4))
    return result("concat", ne, (a, b), (dim,), type=a.type)


def get_rows(a: Tensor, rows: Tensor) -> Tensor:
    """Rows of `a` (ne0, n, b1, b2), of any type, by the i32 indices `rows` (m, b1, b2), as f32 (ne0, m, b1, b2)."""
    need(rows.type is I32, "get_rows", "indices must be i32", a, rows)
    need(
        same_dim(a.ne[2], rows.ne[1]) and same_dim(a.ne[3], rows.ne[2]) and rows.ne[3] == 1,
        "get_rows",
        "outer sizes differ",
        a,
        rows,
    )
    return result("get_rows", (a.ne[0], *rows.ne[:3]), (a, rows))


def set_rows(a: Tensor, b: Tensor, rows: Tensor) -> Tensor:
    """`a` (ne0, n, ne2, ne3), with the rows of `b` (f32 (ne0, m, ne2, ne3)) written at the i32 indices `rows` (m,
    c1, c2).

    c1 and c2 may be 1, or divide ne2 and ne3. The result is `a`'s memory. A block of q8_0, as of keys and values, that
    holds what is no number, or is too large for it, becomes no number; of other types of blocks that is an error.
    """
    need_f32("set_rows", b)
    need(rows.type is I32 and same_dim(rows.ne[0], b.ne[1]), "set_rows", "needs an i32 index a row", b, rows)
    need(
        fits_times(rows.ne[1], b.ne[2]) and fits_times(rows.ne[2], b.ne[3]) and rows.ne[3] == 1,
        "set_rows",
        "indices don't fit the rows",
        b,
        rows,
    )
    fits = all(same_dim(a.ne[i], b.ne[i]) for i in (0, 2, 3))
    need(fits, "set_rows", "only the number of rows may differ", a, b)
    written = not a.packed or a.type.block == 1 or a.type.name == "q8_0"  # what keys are stored as
    need(written, "set_rows", "can't write into packed blocks but of q8_0", a, b)
    return result("set_rows", a.ne, (b, rows), into=a)


def _get_rows_traffic(t: Tensor, src: Sources) -> Cost:
    a, rows = src[0], src[1]
    assert a is not None and rows is not None
    return bytes_of(t).plus(bytes_of(rows)).plus(rows_like(a.type, t))


def _set_rows_traffic(t: Tensor, src: Sources) -> Cost:
    b, rows = src[0], src[1]
    assert b is not None and rows is not None
    return bytes_of(b).plus(bytes_of(rows)).plus(rows_like(t.type, b))


SHAPE_OPS = (
    *(Op(f, "view", no_flops, no_traffic) for f in (view, reshape, permute, transpose)),
    *(Op(f, "copy", no_flops, plain_traffic, (0,), in_numpy.dup) for f in (dup, cont)),
    Op(cpy, "copy", no_flops, plain_traffic, None, in_numpy.cpy, before=True),
    Op(repeat, "move", no_flops, plain_traffic, None, in_numpy.repeat, before=True),
    Op(concat, "move", no_flops, plain_traffic, None, in_numpy.concat),
    Op(get_rows, "gather", no_flops, _get_rows_traffic, (), in_numpy.get_rows),
    Op(set_rows, "store", no_flops, _set_rows_traffic, None, in_numpy.set_rows, before=True, headwise=()),
)
