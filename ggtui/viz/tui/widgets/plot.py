"""Small plots as lines of text: a bar, columns of bars, a line over an axis. With block and Braille characters, or with
ASCII alone."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from math import floor, log10

EIGHTHS_UP = " ▁▂▃▄▅▆▇█"
_EIGHTHS_RIGHT = " ▏▎▍▌▋▊▉█"
_BRAILLE = 0x2800
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # of the left and right half of a cell, from the top

Points = Sequence[tuple[float, float]]


def ceiling(value: float) -> float:
    """The least of 1, 2, 3, 4, 5, 6, 8 and their multiples by powers of ten that is at least `value`; 1 for nothing."""
    if value <= 0:
        return 1.0
    power = 10.0 ** floor(log10(value))
    return next(s * power for s in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 20.0) if s * power >= value)


def bar(share: float, width: int, *, ascii_only: bool = False) -> str:
    """A bar of `width` columns, filled to `share` of it; what is more than nothing shows."""
    share = min(max(share, 0.0), 1.0)
    if ascii_only:
        full = max(round(share * width), int(share > 0))
        return "#" * full + "-" * (width - full)
    eighths = max(round(share * width * 8), int(share > 0))
    full, part = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS_RIGHT[part] if part else "")).ljust(width)


def columns(values: Sequence[float], height: int, top: float, *, ascii_only: bool = False) -> list[str]:
    """Lines from the top of one column a value, `height` lines high at `top`; more is cut, and nothing is blank."""
    steps = 1 if ascii_only else 8
    glyphs = " #" if ascii_only else EIGHTHS_UP
    filled = [0 if v <= 0 else max(1, min(round(v / top * height * steps), height * steps)) for v in values]
    return ["".join(glyphs[min(max(f - line * steps, 0), steps)] for f in filled) for line in reversed(range(height))]


def line(points: Points, width: int, height: int, low: float, high: float, *, ascii_only: bool = False) -> list[str]:
    """Lines from the top of the curve through `points` (rising in x), from the first x to the last; y from `low` to
    `high`. Braille has two by four dots a cell, ASCII one star."""
    across, up = (1, 1) if ascii_only else (2, 4)
    n, m = width * across, height * up
    dots = _dots(points, n, m, low, high)
    cells = [[0] * width for _ in range(height)]
    before: int | None = None
    for x, y in enumerate(dots):
        first = y if before is None else before + (y > before) - (y < before)
        for filled in range(min(first, y), max(first, y) + 1):
            row, cell = (m - 1 - filled) // up, x // across
            cells[row][cell] |= 1 if ascii_only else _DOTS[x % 2][(m - 1 - filled) % up]
        before = y
    glyph: Callable[[int], str] = (lambda c: "*" if c else " ") if ascii_only else (lambda c: chr(_BRAILLE + c))
    return ["".join(glyph(c) if c else " " for c in row) for row in cells]


def _dots(points: Points, n: int, m: int, low: float, high: float) -> list[int]:
    """The height, in dots, of the curve at each of `n` places."""
    if not points:
        return []
    xs = [x for x, _ in points]
    first, last = xs[0], xs[-1]
    dots = []
    for i in range(n if last > first else 1):
        x = first + (last - first) * i / max(n - 1, 1)
        right = min(bisect_right(xs, x), len(xs) - 1)
        left = max(right - 1, 0)
        (x0, y0), (x1, y1) = points[left], points[right]
        y = y1 if x1 == x0 else y0 + (y1 - y0) * min((x - x0) / (x1 - x0), 1.0)
        share = (y - low) / (high - low) if high > low else 0.0
        dots.append(min(max(round(share * (m - 1)), 0), m - 1))
    return dots


def plot(
    points: Points,
    width: int,
    height: int,
    *,
    y_text: Callable[[float], str],
    x_name: str,
    low: float = 0.0,
    high: float | None = None,
    gutter: int = 10,
    ascii_only: bool = False,
) -> list[str]:
    """A curve with its axes, `height` lines of `width` columns in all: y from `low` to `high` (None: a round number
    above all), told by `y_text` at both ends, and under it the first x, its name and the last x."""
    high = low + ceiling(max((y for _, y in points), default=0.0) - low) if high is None else high
    body = line(points, max(width - gutter - 1, 1), max(height - 2, 1), low, high, ascii_only=ascii_only)
    side, corner, floor_ = ("|", "+", "-") if ascii_only else ("│", "└", "─")
    labels = {0: y_text(high), len(body) - 1: y_text(low)} if len(body) > 1 else {0: y_text(high)}
    lines = [f"{labels.get(i, ''):>{gutter - 1}} {side}{text}" for i, text in enumerate(body)]
    lines.append(" " * gutter + corner + floor_ * (width - gutter - 1))
    first, last = (f"{points[i][0]:,.0f}" for i in (0, -1)) if points else ("", "")
    under = f"{first:<{len(last) + 1}}{x_name:^{max(width - gutter - 2 - 2 * len(last), 0)}}{last:>{len(last) + 1}}"
    return [text[:width] for text in (*lines, " " * gutter + under)]
