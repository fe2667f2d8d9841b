"""The losses of a training over its steps as lines of text: every step lightly, the smoothed curve over them, and a
mark for each validation. With Braille characters, or with ASCII alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, floor, isfinite, log10

from rich.text import Text

from ggtui.core.training.events import Measured
from ggtui.viz.training import Point
from ggtui.viz.tui.widgets import plot
from ggtui.viz.tui.widgets.lines import text_line

RAW, SMOOTH, VALID = "#6b7390", "#7aa2f7", "bold #e0913f"
_BRAILLE, _DOTS = 0x2800, ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # as plot has them
_MARGIN = 0.02  # of the axis, above and below what is drawn
_GUTTER = 7  # columns of the numbers at the left, at least
_PLAIN = 1e5  # from here on numbers are written with a power of ten
_GLYPHS, _GLYPHS_ASCII = ("⣿", "⠒⠒", "◆"), (".", "*", "o")


def loss_plot(
    points: Sequence[Point], measured: Sequence[Measured], width: int, height: int, *, ascii_only: bool = False
) -> list[Text]:
    """A heading, the curves over an axis, and the steps under it: `height` lines of `width` columns in all."""
    lines = [_heading(width, ascii_only)]
    measured = [m for m in measured if isfinite(m.loss)]
    losses = [y for p in points for y in (p.low, p.high)] + [m.loss for m in measured]
    if not losses:
        return [*lines, text_line("Curves begin with the first step."), *[text_line("")] * (height - 2)]
    places = [*(p.step for p in points), *(m.step for m in measured)]
    first, last = min(places), max(places)
    rows = max(height - 3, 1)
    low, high, ticks = scale(min(losses), max(losses), max(rows // 3, 2))
    labels = _labels(low, high, ticks, rows)
    gutter = max(_GUTTER, *(len(label) + 1 for label in labels.values()))
    columns = max(width - gutter - 1, 1)
    raw = _raw(points, columns, rows, (first, last), (low, high), ascii_only)
    smooth = _smooth(points, columns, rows, first, last, (low, high), ascii_only)
    marks = {
        (rows - 1 - _at(m.loss, low, high, rows), _at(m.step, first, last, columns)): _glyphs(ascii_only)[2]
        for m in measured
    }
    side, corner, below = ("|", "+", "-") if ascii_only else ("│", "└", "─")
    for row in range(rows):
        line = text_line(f"{labels.get(row, ''):>{gutter - 1}} {side}")
        for column in range(columns):
            if (mark := marks.get((row, column))) is not None:
                line.append(mark, VALID)
            elif smooth[row][column] != " ":
                line.append(smooth[row][column], SMOOTH)
            else:
                line.append(raw[row][column], RAW)
        lines.append(line)
    lines.append(text_line(" " * gutter + corner + below * columns))
    end = f"{last:,}"
    under = f"{first:<{len(end)},}{'step':^{max(columns - 2 * len(end), 0)}}{end}"
    lines.append(text_line(" " * (gutter + 1) + under[:columns]))
    return lines


def _glyphs(ascii_only: bool) -> tuple[str, str, str]:
    return _GLYPHS_ASCII if ascii_only else _GLYPHS


def _heading(width: int, ascii_only: bool) -> Text:
    raw, smooth, valid = _glyphs(ascii_only)
    line = text_line("loss", "bold")
    line.append(", nats a token" if width >= 60 else "")
    for glyph, style, name in ((raw, RAW, "a step"), (smooth, SMOOTH, "smoothed"), (valid, VALID, "validation")):
        line.append("   ").append(glyph, style).append(f" {name}")
    return line


def scale(least: float, most: float, ticks: int) -> tuple[float, float, list[float]]:
    """Where an axis begins and ends that has all of these on it, and what stands beside it: multiples of a round
    number, about so many, or more where those would lie close together."""
    room = max(most - least, 1e-3 * max(abs(most), 1e-3))
    low, high = least - _MARGIN * room, most + _MARGIN * room
    wanted = (high - low) / max(ticks, 1)
    while True:
        unit = plot.ceiling(wanted)
        marks = [i * unit for i in range(ceil(low / unit), floor(high / unit) + 1)]
        if marks and marks[-1] - marks[0] > (high - low) / 2:
            return low, high, marks
        wanted = 0.45 * unit  # which makes the next one smaller


def _labels(low: float, high: float, ticks: Sequence[float], rows: int) -> dict[int, str]:
    """The numbers at the left by their line; two of one line can't be."""
    most, unit = max(abs(tick) for tick in ticks), ticks[1] - ticks[0]
    digits = max(0, ceil(-log10(unit) - 1e-9))
    if most < _PLAIN and digits <= 4:
        form = f".{digits}f"
    else:
        form = f".{min(max(0, floor(log10(most)) - floor(log10(unit) + 1e-9)), 4)}e"
    return {rows - 1 - _at(tick, low, high, rows): f"{tick:{form}}" for tick in ticks}


def _at(value: float, low: float, high: float, n: int) -> int:
    """The nearest of `n` places from `low` to `high`."""
    share = (value - low) / (high - low) if high > low else 0.0
    return min(max(round(share * (n - 1)), 0), n - 1)


Span = tuple[float, float]


def _raw(points: Sequence[Point], width: int, height: int, xs: Span, ys: Span, ascii_only: bool) -> list[list[str]]:
    """Each point's least to its greatest loss."""
    across, up = (1, 1) if ascii_only else (2, 4)
    cells = [[0] * width for _ in range(height)]
    for x, y in _spots(points, width * across, height * up, xs, ys):
        cells[y // up][x // across] |= 1 if ascii_only else _DOTS[x % 2][y % up]
    return [[" " if not c else "." if ascii_only else chr(_BRAILLE + c) for c in row] for row in cells]


def _spots(points: Sequence[Point], n: int, m: int, xs: Span, ys: Span) -> Iterator[tuple[int, int]]:
    """Columns and rows of dots, from the top."""
    for p in points:
        low, high = (_at(y, *ys, m) for y in (p.low, p.high))
        for y in range(low, high + 1):
            yield _at(p.step, *xs, n), m - 1 - y


def _smooth(
    points: Sequence[Point], width: int, height: int, first: int, last: int, ys: Span, ascii_only: bool
) -> list[str]:
    """The curve; blank where it ends before the axis does."""
    if not points:
        return [" " * width] * height
    ends = [(float(p.step), p.smooth) for p in (points[0], points[-1])]
    curve = [(float(first), ends[0][1]), *((float(p.step), p.smooth) for p in points), (float(last), ends[1][1])]
    return plot.line(curve, width, height, *ys, ascii_only=ascii_only)
