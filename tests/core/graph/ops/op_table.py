"""A row of the tests' table of ops, and how it is checked: against numpy, on every instruction set, with 1, 2, 3 and 7
threads, fused and not."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ggtui import Context, Graph, Tensor, ops
from ggtui.core.graph.types import TYPES
from ggtui.core.runtime.cpu.native import lib, usable_isas

Array = NDArray[Any]
THREADS = (1, 2, 3, 7)
ISAS = usable_isas()

FLOATS = ("f32", "f16", "bf16")
BLOCKS = tuple(t.name for t in TYPES.values() if t.block > 1 and t.file)

# NMSE = sum (a-b)^2 / sum a^2 that results may be off by.
DEFAULT, BINARY, SOFT_MAX, MUL_MAT, ATTENTION, EXACT = 1e-7, 1e-6, 1e-6, 5e-4, 5e-4, 0.0


def packable(type: str) -> bool:
    return bool(lib.gg_packable(TYPES[type].id))


def whole(type: str, n: int) -> int:
    """The next length of a row that is a whole number of blocks."""
    return -(-n // TYPES[type].block) * TYPES[type].block


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.standard_normal(shape, np.float32)


def positive(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.uniform(0.1, 4, shape).astype(np.float32)


def integers(low: int, high: int) -> Callable[[np.random.Generator, tuple[int, ...]], Array]:
    """Values from low to high - 1."""
    return lambda rng, shape: rng.integers(low, high, shape).astype(np.int32)


@dataclass(frozen=True)
class Given:
    """An operand. `shape` is numpy's, ne turned round.

    layout  plain; part: rows with gaps, in the middle of a larger tensor; turned: dimensions 0 and 1 exchanged in
            memory; permuted: dimensions 1 and 2
    """

    shape: tuple[int, ...]
    type: str = "f32"
    packed: bool = False
    layout: str = "plain"
    values: Callable[[np.random.Generator, tuple[int, ...]], Array] = normal

    def tensor(self, context: Context, rng: np.random.Generator) -> Tensor:
        values = self.values(rng, self.shape)
        if self.layout == "turned":
            return ops.transpose(context.tensor(values.swapaxes(-1, -2), type=self.type))
        if self.layout == "permuted":
            return ops.permute(context.tensor(values.swapaxes(-2, -3), type=self.type), 0, 2, 1, 3)
        if self.layout == "part":
            block = TYPES[self.type].block
            around = [(1, 2)] * (values.ndim - 1) + [(block, 2 * block)]
            whole = context.tensor(np.pad(values, around, constant_values=9), type=self.type)
            offset = sum(whole.nb[i] for i in range(values.ndim))
            return ops.view(whole, tuple(reversed(self.shape)), whole.nb[1 : values.ndim], offset=offset)
        assert self.layout == "plain"
        return context.tensor(values, type=self.type, packed=self.packed)


@dataclass(frozen=True)
class Case:
    """What `build` makes of the operands must come near what `want` makes of their values in float64 (i32: int64).

    `op` is the op it stands for in the table.
    """

    op: str
    name: str
    given: tuple[Given, ...]
    build: Callable[..., Tensor]
    want: Callable[..., Array]
    bound: float = DEFAULT

    def __str__(self) -> str:
        return f"{self.op}-{self.name}"


def near(got: Array, want: Array, bound: float) -> None:
    """NMSE within the bound; and, as one wrong value among many would hide in it, no value far off."""
    assert got.shape == want.shape
    if bound == EXACT:
        np.testing.assert_array_equal(got, want)
        return
    finite = np.isfinite(want)
    np.testing.assert_array_equal(got[~finite], want[~finite])
    error = (got[finite].astype(np.float64) - want[finite]) ** 2
    square = want[finite] ** 2
    assert error.sum() <= bound * square.sum(), f"NMSE {error.sum() / square.sum():.3g} > {bound:g}"
    assert not error.size or error.max() <= 200 * bound * square.mean()


def plain_values(t: Tensor) -> Array:
    """A copy of its values, in float64 or int64."""
    values = t.numpy()
    return values.astype(np.int64 if values.dtype == np.int32 else np.float64)


def every_way(y: Tensor, graph: Graph, inputs: Sequence[Tensor], check: Callable[[Array], None]) -> None:
    """Compute `y` on every instruction set, fused and not, with 1 to 7 threads; hand each result to `check`. For
    all numbers of threads it must be the same to the bit; what is not written must stay as it is, and everything that
    is computed must be written."""
    before = {t.root: t.root.bytes().copy() for t in inputs}
    nodes = graph.dag().nodes
    written = {node.dst.root for node in nodes}
    for isa in ISAS:
        for fused in (False, True) if len(nodes) > 1 else (True,):
            first: bytes | None = None
            for threads in THREADS:
                for t, data in before.items():
                    t.bytes()[...] = data
                graph.plan(isa=isa, fused=fused).arena[...] = 0xFF  # NaN
                graph.compute(threads, isa=isa, fused=fused)
                got = y.numpy()
                if first is None:
                    first = got.tobytes()
                    check(got)
                assert got.tobytes() == first, (isa, threads, fused)
                for t, data in before.items():
                    assert t in written or np.array_equal(t.bytes(), data), "an operand was overwritten"


def run(case: Case) -> None:
    context, rng = Context(), np.random.default_rng(zlib.crc32(str(case).encode()))
    given = [operand.tensor(context, rng) for operand in case.given]
    y = case.build(*given)
    want = case.want(*map(plain_values, given))
    graph = Graph()
    graph.build_forward_expand(y)
    every_way(y, graph, given, lambda got: near(got, want, case.bound))


def f32(*shape: int, layout: str = "plain", values: Any = normal) -> Given:
    return Given(shape, layout=layout, values=values)


def i32(*shape: int, low: int = 0, high: int, layout: str = "plain") -> Given:
    return Given(shape, "i32", layout=layout, values=integers(low, high))
