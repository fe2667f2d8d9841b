"""A row of the table of cases: an op, its operands, and how far a device may be off."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ggtui.core.graph import ops
from ggtui.core.graph.tensor import Tensor
from ggtui.core.graph.types import TYPES
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.cpu.native import lib

Array = NDArray[Any]
Shape = tuple[int, ...]
Values = Callable[[np.random.Generator, Shape], Array]

FLOATS = ("f32", "f16", "bf16")
PLAIN = (*FLOATS, "i32")
BLOCKS = tuple(t.name for t in TYPES.values() if t.block > 1 and t.file)
LAYOUTS = ("part", "turned", "permuted")  # besides plain

# NMSE = sum (a-b)^2 / sum a^2 that results may be off by.
DEFAULT, BINARY, SOFT_MAX, MUL_MAT, ATTENTION, EXACT = 1e-7, 1e-6, 1e-6, 5e-4, 5e-4, 0.0


def packable(type: str) -> bool:
    return bool(lib.gg_packable(TYPES[type].id))


def whole(type: str, n: int) -> int:
    """The next length of a row that is a whole number of blocks."""
    return -(-n // TYPES[type].block) * TYPES[type].block


def normal(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.standard_normal(shape, np.float32)


def hundreds(rng: np.random.Generator, shape: Shape) -> Array:
    """What is left of it as i32 is not all zeros."""
    return (100 * rng.standard_normal(shape)).astype(np.float32)


def positive(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.uniform(0.1, 4, shape).astype(np.float32)


def integers(low: int, high: int) -> Values:
    """Values from low to high - 1."""
    return lambda rng, shape: rng.integers(low, high, shape).astype(np.int32)


@dataclass(frozen=True, slots=True)
class Given:
    """An operand. `shape` is numpy's, ne turned round.

    layout  plain; part: rows with gaps, in the middle of a larger tensor; turned: dimensions 0 and 1 exchanged in
            memory; permuted: dimensions 1 and 2
    """

    shape: Shape
    type: str = "f32"
    packed: bool = False
    layout: str = "plain"
    values: Values = normal

    def tensor(self, context: Context, rng: np.random.Generator) -> Tensor:
        values = self.values(rng, self.shape)
        if self.layout == "turned":
            return ops.transpose(context.tensor(values.swapaxes(-1, -2), type=self.type))
        if self.layout == "permuted":
            return ops.permute(context.tensor(values.swapaxes(-2, -3), type=self.type), 0, 2, 1, 3)
        if self.layout == "part":
            block = TYPES[self.type].block
            around = [(1, 2)] * (values.ndim - 1) + [(block, 2 * block)]
            larger = context.tensor(np.pad(values, around, constant_values=9), type=self.type)
            offset = sum(larger.nb[i] for i in range(values.ndim))
            return ops.view(larger, tuple(reversed(self.shape)), larger.nb[1 : values.ndim], offset=offset)
        assert self.layout == "plain", self.layout
        return context.tensor(values, type=self.type, packed=self.packed)

    def of(self, values: Values) -> Given:
        """The same with other values."""
        return replace(self, values=values)

    def __str__(self) -> str:
        """Its type and sizes, ne0 first, and what is not plain about it."""
        sizes = " x ".join(map(str, reversed(self.shape)))
        layout = "" if self.layout == "plain" else f" {self.layout}"
        return f"{self.kind} {sizes}{layout}"

    @property
    def kind(self) -> str:
        """Its type, and whether it is packed."""
        return f"{self.type} packed" if self.packed else self.type


def f32(*shape: int, layout: str = "plain", values: Values = normal) -> Given:
    return Given(shape, layout=layout, values=values)


def i32(*shape: int, low: int = 0, high: int, layout: str = "plain") -> Given:
    return Given(shape, "i32", layout=layout, values=integers(low, high))


@dataclass(frozen=True, slots=True)
class Case:
    """An op on operands: what `build` makes of them must be on every device what it is in numpy, within `bound`.

    given   the operands by name, which are build's keywords; those of the op itself as its own builder calls them
    bound   the largest NMSE; EXACT for results that are equal
    timed   large enough for its speed to say something
    """

    op: str
    name: str
    given: Mapping[str, Given]
    build: Callable[..., Tensor]
    bound: float = DEFAULT
    timed: bool = False

    def __str__(self) -> str:
        return f"{self.op}-{self.name}"

    def make(self, context: Context | None = None) -> tuple[Tensor, list[Tensor]]:
        """The result to be computed, and the operands, in memory of a context, whose values are the same each time."""
        context, rng = context or Context(), np.random.default_rng(zlib.crc32(str(self).encode()))
        operands = {name: given.tensor(context, rng) for name, given in self.given.items()}
        return self.build(**operands), list(operands.values())
