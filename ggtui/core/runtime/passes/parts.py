"""Nodes whose operands have names: products, norms, roundings and angles, alone or joined with what follows them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ggtui.core.graph.dag import Node
from ggtui.core.graph.tensor import Param, Tensor


@dataclass(frozen=True, slots=True)
class Product:
    """y = activation(weights . x + bias) + residual, for each column of x; of a gate, without a residual, times
    up . x + up_bias.

    weights   (k, m, a2, a3);  x (k, n, b2, b3), f32, or rounded to 8 bits for packed weights in blocks
    bias      (m) or None;  activation: the name of a unary op or "";  residual: as y or None
    up        as weights, or None;  up_bias: (m) or None
    """

    weights: Tensor
    x: Tensor
    bias: Tensor | None = None
    activation: str = ""
    residual: Tensor | None = None
    up: Tensor | None = None
    up_bias: Tensor | None = None

    @property
    def src(self) -> tuple[Tensor | None, ...]:
        return (self.weights, self.x, self.bias, self.residual, self.up, self.up_bias)

    @property
    def bare(self) -> bool:
        """Whether it is a product, at most with a bias."""
        return not self.activation and self.residual is None and self.up is None

    @property
    def params(self) -> tuple[Param | str, ...]:
        return (self.activation,)


def wants_rounded(product: Product) -> bool:
    """Whether the kernel for these weights reads activations of 8 bits."""
    return product.weights.packed and product.weights.type.block > 1


@dataclass(frozen=True, slots=True)
class Norm:
    """y = norm(x) * weight + bias, row by row; weight and bias (ne0) or None."""

    x: Tensor
    eps: float
    weight: Tensor | None = None
    bias: Tensor | None = None

    @property
    def src(self) -> tuple[Tensor | None, ...]:
        return (self.x, self.weight, self.bias)

    @property
    def params(self) -> tuple[Param | str, ...]:
        return (self.eps,)


@dataclass(frozen=True, slots=True)
class Rounding:
    """x in 8 bits, row by row; with `norm`, the name of an op, what that norm makes of x."""

    x: Tensor
    norm: str = ""
    eps: float = 0.0
    weight: Tensor | None = None
    bias: Tensor | None = None

    @property
    def src(self) -> tuple[Tensor | None, ...]:
        return (self.x, self.weight, self.bias)

    @property
    def params(self) -> tuple[Param | str, ...]:
        return (self.norm, self.eps)


@dataclass(frozen=True, slots=True)
class Angles:
    """By what ropes turn at each position; factors: of each pair, or None."""

    positions: Tensor
    factors: Tensor | None
    params: tuple[Param, ...]

    @property
    def src(self) -> tuple[Tensor | None, ...]:
        return (self.positions, self.factors)


Parts = Product | Norm | Rounding | Angles


@dataclass(frozen=True, eq=False)
class Joined(Node):
    """A node with such parts. Sources and parameters are theirs: a name among the parameters is an op, "" none."""

    parts: Parts = field(kw_only=True)

    @classmethod
    def made_of(cls, dst: Tensor, op: str, parts: Parts, replaced: tuple[Tensor, ...] = ()) -> Joined:
        return cls(dst, op, parts.src, (), replaced, parts=parts)

    @classmethod
    def of(cls, node: Node) -> Joined:
        """A product or a norm as the user wrote it down."""
        x, *others = (s for s in node.src if s is not None)
        parts = Product(x, others[0]) if others else Norm(x, float(node.params[0]))
        return cls.made_of(node.dst, node.op, parts, node.replaced)

    def with_parts(self, **changed: Any) -> Joined:
        return self.made_of(self.dst, self.op, replace(self.parts, **changed), self.replaced)

    def followed_by(self, reader: Node, part: str, value: Tensor | str) -> Joined:
        """Joined with the node that reads its result and becomes a part."""
        parts = replace(self.parts, **{part: value})  # type: ignore[arg-type]
        return self.made_of(reader.dst, self.op, parts, (*self.originals, *reader.originals))
