"""The part of an axis of time that is seen, and the cursor on it."""

from __future__ import annotations

from dataclasses import dataclass

LEAST = 200.0  # ns that a window shows at least
AT_FIRST = 8  # tokens that it shows before anyone zooms


@dataclass
class Window:
    """`columns` columns from `left` on, `span` ns in all (0: not chosen yet), of an axis of `total` ns; `at` is the
    cursor's place. While `follow`, the end of the axis stays in view."""

    columns: int = 1
    total: float = 0.0
    left: float = 0.0
    span: float = 0.0
    at: float = 0.0
    follow: bool = True

    @property
    def cell(self) -> float:
        """Nanoseconds of a column."""
        return max(self.span, LEAST) / self.columns

    @property
    def right(self) -> float:
        return self.left + self.columns * self.cell

    def column(self, place: float) -> int:
        """The column of a place; outside of 0 .. columns - 1 where it is not seen."""
        return int((place - self.left) // self.cell)

    def resize(self, columns: int) -> None:
        self.columns = max(columns, 1)

    def extend(self, total: float, newest: float, typical: float, moved: float = 0.0) -> None:
        """The axis has grown to `total` and lost `moved` at its beginning; the newest evaluation begins at `newest`,
        and one takes `typical`."""
        self.total = total
        self.left, self.at = self.left - moved, self.at - moved
        self.span = self.span or AT_FIRST * typical
        if self.follow:
            self.at, self.left = newest, total - self.span
        self._fit()

    def zoom(self, factor: float) -> None:
        """Show `factor` times as much; the cursor stays in its column, or while following the end does."""
        column = (self.at - self.left) / max(self.span, LEAST)
        self.span = min(max(self.span * factor, LEAST), max(self.total, LEAST))
        self.left = self.total - self.span if self.follow else self.at - column * self.span
        self._fit()

    def whole(self) -> None:
        """Show all."""
        self.span = max(self.total, LEAST)
        self.left = 0.0

    def move(self, columns: int) -> None:
        """Move the cursor; what is seen moves with it before it comes near an edge."""
        self.hold()
        self.at += columns * self.cell
        margin = (self.columns // 4) * self.cell
        self.left = min(self.left, self.at - margin)
        self.left = max(self.left, self.at + margin - self.columns * self.cell)
        self._fit()

    def page(self, screens: int) -> None:
        """Move the cursor and what is seen by whole screens."""
        self.hold()
        self.at, self.left = self.at + screens * self.span, self.left + screens * self.span
        self._fit()

    def go(self, place: float) -> None:
        """Put the cursor on a place, and that into view: in the middle, if it was not seen."""
        self.follow = False
        self.at = place
        if not 0 <= self.column(place) < self.columns:
            self.left = place - self.span / 2
        self._fit()

    def hold(self) -> None:
        """Follow no longer; the cursor stays, or comes into view."""
        self.follow = False
        self.at = min(max(self.at, self.left), self.right - self.cell)

    def _fit(self) -> None:
        self.left = min(max(self.left, 0.0), max(self.total - self.span, 0.0))
        self.at = min(max(self.at, 0.0), max(self.total - 1.0, 0.0))
