"""What the nodes of a graph cost in runs: their polynomials, valued at the sizes of evaluations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod

import numpy as np
from numpy.typing import NDArray

from ggtui.core.runtime.record import GraphInfo, TokenRecord

Floats = NDArray[np.float64]


class Costs:
    """Of a graph. A cost is a sum of products of sizes, so all of them at once are a matrix times those products."""

    def __init__(self, graph: GraphInfo) -> None:
        both = [[node.flops for node in graph.nodes], [node.traffic for node in graph.nodes]]
        self._products = sorted({names for costs in both for cost in costs for _, names in cost.terms})
        place = {names: i for i, names in enumerate(self._products)}
        self._factors = np.zeros((2, len(graph.nodes), len(self._products)))
        for factors, costs in zip(self._factors, both, strict=True):
            for row, cost in zip(factors, costs, strict=True):
                for n, names in cost.terms:
                    row[place[names]] = n

    def at(self, sizes: Mapping[str, int]) -> tuple[Floats, Floats]:
        """Operations, and bytes read and written, of each node in a run with these sizes."""
        return self._valued([sizes])

    def mean(self, evaluations: Iterable[TokenRecord]) -> tuple[Floats, Floats]:
        """The same, the mean over evaluations; zeros where there are none."""
        return self._valued([token.sizes for token in evaluations])

    def _valued(self, sizes: list[dict[str, int]] | list[Mapping[str, int]]) -> tuple[Floats, Floats]:
        products = [[prod(values[name] for name in names) for names in self._products] for values in sizes]
        mean = np.array(products, np.float64).reshape(-1, len(self._products)).sum(axis=0) / max(len(sizes), 1)
        flops, traffic = self._factors @ mean
        return flops, traffic
