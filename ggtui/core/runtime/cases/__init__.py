"""The table of cases: every op over types, shapes, broadcasts and strides. `ggtui ops --check` and the tests run it."""

from __future__ import annotations

import re
from inspect import Parameter, signature

from ggtui.core.graph.ops import OPS
from ggtui.core.graph.types import TYPES
from ggtui.core.runtime.cases import attention, elementwise, gradients, mul_mat, rope, shape
from ggtui.core.runtime.cases.base import Case, Given

CASES: tuple[Case, ...] = (
    *shape.CASES,
    *elementwise.CASES,
    *mul_mat.CASES,
    *rope.CASES,
    *attention.CASES,
    *gradients.CASES,
)


def operand_types(op: str) -> dict[str, list[str]]:
    """The types that the cases try for each operand of an op, in the order of the table of types; a type that is packed
    is one of its own. Keys: the operands as the op's builder calls them, in its order.
    """
    build = OPS[op].build
    operands = [p for p in signature(build).parameters.values() if re.match(r"Tensor\b", str(p.annotation))]
    tried: dict[str, set[tuple[bool, str]]] = {p.name: set() for p in operands}
    for case in CASES:
        if case.op == op:
            for name, given in case.given.items():
                # A builder of any number of operands has one name for all.
                found = tried.get(operands[0].name if operands[0].kind is Parameter.VAR_POSITIONAL else name)
                if found is not None:
                    found.add((given.packed, given.type))
    order = list(TYPES)
    return {
        name: [
            f"{type} packed" if packed else type
            for packed, type in sorted(types, key=lambda row: (row[0], order.index(row[1])))
        ]
        for name, types in tried.items()
    }


__all__ = ["CASES", "Case", "Given", "operand_types"]
