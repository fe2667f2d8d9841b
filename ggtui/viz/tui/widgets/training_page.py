"""The Train screen's page: its panels where there is room for them, as lines of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from ggtui.core.runtime.record import MemoryUse
from ggtui.viz.training import Course
from ggtui.viz.tui.widgets import training_panels as panels
from ggtui.viz.tui.widgets.lines import text_line
from ggtui.viz.tui.widgets.loss_plot import loss_plot

if TYPE_CHECKING:
    from ggtui.perf.table import Row

_WIDE = 100  # columns from which on panels stand at the right of the curves
_GAP = 2  # columns between two panels side by side
_NODES = 6  # lines of nodes at least, where there is little room


@dataclass(frozen=True, slots=True)
class Room:
    """Columns and lines, the first line of the samples that is shown, and how to draw."""

    width: int
    height: int
    first: int = 0
    ascii_only: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """lines; shown: how many of them are of samples, of `samples` lines that there are; first: the one shown first."""

    lines: list[Text]
    shown: int
    samples: int
    first: int


def page(course: Course, rows: Sequence[Row], memory: MemoryUse | None, room: Room) -> Page:
    """rows: the nodes of the last step; none where nothing is known of them, and then their room is the samples'."""
    head = panels.figures(course, room.width)
    left = room.height - len(head)
    if room.width >= _WIDE:
        return _wide(course, rows, memory, room, head, left)
    return _narrow(course, rows, room, head, left)


def _wide(
    course: Course, rows: Sequence[Row], memory: MemoryUse | None, room: Room, head: list[Text], height: int
) -> Page:
    """Curves and samples at the left; at the right all else, of which nodes take what is left."""
    left = room.width * 3 // 5
    width, ascii_only = room.width - left - _GAP, room.ascii_only
    curve = max(height * 11 // 20, 6)
    drawn = [*loss_plot(course.points, course.measured, left, curve, ascii_only=ascii_only), text_line("")]
    told, shown, n, first = _samples(course, left, height - len(drawn), room.first)
    parts = panels.parts(course.last, width, ascii_only=ascii_only)
    owners = panels.memory(memory, width, ascii_only=ascii_only)
    rest = height - sum(len(lines) + 1 for lines in (parts, owners) if lines)
    layers = panels.gradients(course.last, width, min(rest // 2, 30) if rows else rest, ascii_only=ascii_only)
    slow = panels.nodes(rows, width, rest - len(layers) - 1)
    right = _stacked([layers, parts, slow, owners])
    return Page([*head, *_beside([*drawn, *told], right, left, height)], shown, n, first)


def _narrow(course: Course, rows: Sequence[Row], room: Room, head: list[Text], height: int) -> Page:
    """Curves over all columns; under them two columns of panels."""
    width, ascii_only = (room.width - _GAP) // 2, room.ascii_only
    parts = panels.parts(course.last, width, ascii_only=ascii_only)
    lower = max(height // 2, len(parts) + _NODES - 1) if rows else height // 2
    curve = max(height - lower, 5)
    drawn = loss_plot(course.points, course.measured, room.width, curve, ascii_only=ascii_only)
    lower = max(height - len(drawn), 0)
    slow = panels.nodes(rows, width, lower - len(parts))
    if rows:
        layers = panels.gradients(course.last, width, max(lower // 2, 2), ascii_only=ascii_only)
        told, shown, n, first = _samples(course, width, lower - len(layers), room.first)
        return Page([*head, *drawn, *_beside([*parts, *slow], [*layers, *told], width, lower)], shown, n, first)
    layers = panels.gradients(course.last, width, lower - len(parts), ascii_only=ascii_only)
    told, shown, n, first = _samples(course, width, lower, room.first)
    return Page([*head, *drawn, *_beside([*parts, *layers], told, width, lower)], shown, n, first)


def _samples(course: Course, width: int, height: int, first: int) -> tuple[list[Text], int, int, int]:
    """Their part from `first` on, how many lines these are, how many there are, and the first one shown."""
    lines = panels.samples(course.measured, width)
    if not lines or height < 2:
        return [], 0, len(lines), 0
    shown = height - 1
    first = min(max(first, 0), max(len(lines) - shown, 0))
    last = min(first + shown, len(lines))
    more = f"{first + 1}-{last} of {len(lines)} lines" if len(lines) > shown else "newest first"
    heading = text_line("samples", "bold").append(f" {more}", panels.DIM)
    return [heading, *lines[first:last]], shown, len(lines), first


def _stacked(parts: Sequence[list[Text]]) -> list[Text]:
    """With a blank line between two."""
    lines: list[Text] = []
    for part in parts:
        if part:
            lines += [text_line(""), *part] if lines else part
    return lines


def _beside(left: Sequence[Text], right: Sequence[Text], width: int, height: int) -> list[Text]:
    """`height` lines: those at the left in `width` columns, and those at the right."""
    lines = []
    for i in range(height):
        line = left[i].copy() if i < len(left) else text_line("")
        line.truncate(width)
        if i < len(right):
            line.append(" " * (width + _GAP - line.cell_len)).append_text(right[i])
        lines.append(line)
    return lines
