"""Sizes: plain numbers, and those that are set anew for each run."""

from __future__ import annotations

from ggtui.core.errors import ShapeError


class Dim(int):
    """A size that is set anew for each run, such as n_tokens. As an int it is the largest value it can take."""

    name: str

    def __new__(cls, name: str, largest: int) -> Dim:
        if not (isinstance(name, str) and name and isinstance(largest, int)):
            raise ShapeError(f"Dim({name!r}, {largest!r}): needs a name, and its largest value as a whole number")
        dim = super().__new__(cls, largest)
        dim.name = name
        return dim

    def __repr__(self) -> str:
        return f"{self.name}<={int(self)}"


def same_dim(a: int, b: int) -> bool:
    """Whether two sizes are equal in every run."""
    return a == b and getattr(a, "name", None) == getattr(b, "name", None)
