"""What a node costs: operations and bytes as polynomials in the run-time sizes.

They are kept once a node and valued at the sizes of each run, so that nothing copies them into the records of runs or
guesses how they grow: attention's operations hold n_tokens x n_kv, and for prompts n_tokens x n_tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import NamedTuple

from ggtui.core.graph.dim import Dim

Term = tuple[int, tuple[str, ...]]  # a coefficient and the sizes it is multiplied with, in alphabetical order


class Cost(NamedTuple):
    """A polynomial with whole coefficients: the sum of its terms. `Cost.of(n)` is that of a size."""

    terms: tuple[Term, ...] = ()

    @classmethod
    def of(cls, n: int | Cost) -> Cost:
        """A number, a size that varies (its name), or a cost as it is."""
        if isinstance(n, Cost):
            return n
        if isinstance(n, Dim):
            return cls.named(n.name)
        return cls(((int(n), ()),)) if n else cls()

    @classmethod
    def named(cls, name: str) -> Cost:
        """A size of a run by its name."""
        return cls(((1, (name,)),))

    @classmethod
    def product(cls, *factors: int | Cost) -> Cost:
        """All factors multiplied."""
        made = cls.of(1)
        for factor in factors:
            made = made.times(factor)
        return made

    @classmethod
    def _collect(cls, terms: list[Term]) -> Cost:
        found: dict[tuple[str, ...], int] = {}
        for n, names in terms:
            found[names] = found.get(names, 0) + n
        return cls(tuple((n, names) for names, n in sorted(found.items()) if n))

    def plus(self, other: int | Cost) -> Cost:
        return self._collect([*self.terms, *Cost.of(other).terms])

    def minus(self, other: int | Cost) -> Cost:
        return self.plus(Cost.of(other).times(-1))

    def times(self, other: int | Cost) -> Cost:
        theirs = Cost.of(other).terms
        return self._collect([(a * b, tuple(sorted((*x, *y)))) for a, x in self.terms for b, y in theirs])

    def over(self, n: int) -> Cost:
        """A whole part of it. Raises ValueError where a coefficient is no multiple of `n`."""
        if any(a % n for a, _ in self.terms):
            raise ValueError(f"{self.terms} is no multiple of {n}")
        return Cost(tuple((a // n, names) for a, names in self.terms))

    def at(self, sizes: Mapping[str, int]) -> int:
        """Its value in a run with these sizes. Raises KeyError for one that is not given."""
        return sum(n * prod(sizes[name] for name in names) for n, names in self.terms)
