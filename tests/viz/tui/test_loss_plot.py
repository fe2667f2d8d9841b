"""The curves of a training: every mark stands where its step and its loss are."""

from __future__ import annotations

from itertools import pairwise

import pytest

from ggtui.core.training.events import Measured
from ggtui.viz.training import Point
from ggtui.viz.tui.widgets.loss_plot import loss_plot, scale


def points(*losses: float) -> list[Point]:
    return [Point(i, loss, loss, loss) for i, loss in enumerate(losses, 1)]


def drawn(*losses: float, measured: tuple[Measured, ...] = (), width: int = 28, height: int = 9) -> list[str]:
    return [line.plain for line in loss_plot(points(*losses), measured, width, height, ascii_only=True)]


def test_lines() -> None:
    lines = drawn(4.0, 3.0, 2.0, 1.0, measured=(Measured(4, 4.0, 10),))
    assert len(lines) == 9 and lines[0].startswith("loss")
    body = [line[8:] for line in lines[1:-2]]
    assert body[0][0] == "*" and body[-1][-1] == "*"  # the curve falls from one corner to the other
    assert body[0][-1] == "o"
    assert lines[-1].split() == ["1", "step", "4"]


def test_a_point_of_many_steps_is_as_high_as_they_differ() -> None:
    made = [Point(1, 2.0, 2.0, 2.0), Point(5, 1.0, 3.0, 2.0), Point(9, 2.0, 2.0, 2.0)]
    body = [line.plain[8:] for line in loss_plot(made, (), 29, 12, ascii_only=True)[1:-2]]
    column = "".join(row[10] for row in body)
    assert column.replace("*", ".") == "." * 9 and column.count("*") == 1


def test_braille_marks_every_step() -> None:
    made = [Point(i, loss, loss, 2.0) for i, loss in enumerate((1.0, 3.0, 1.0, 3.0), 1)]
    lines = loss_plot(made, (Measured(2, 1.0, 10),), 40, 10)
    told = "".join(line.plain[8:] for line in lines[1:-2])
    assert told.count("◆") == 1 and sum(0x2800 < ord(c) < 0x2900 for c in told) > 30


@pytest.mark.parametrize(("losses", "n"), [((), 0), ((2.0,), 1), ((2.0, 2.0), 2), ((0.0, 0.0), 2), ((1e-9, 1e9), 2)])
@pytest.mark.parametrize(("width", "height"), [(60, 12), (9, 4), (3, 2)])
def test_any_losses_and_any_room(losses: tuple[float, ...], n: int, width: int, height: int) -> None:
    lines = drawn(*losses, width=width, height=height)
    assert len(lines) >= min(height, 3)
    assert any("*" in line for line in lines[1:]) == bool(n)


@pytest.mark.parametrize(("least", "most"), [(5.3, 8.3), (0.0, 0.0), (2.0, 2.0), (1e-6, 3e6), (0.9991, 0.9993)])
@pytest.mark.parametrize("ticks", [1, 2, 5, 12])
def test_scale(least: float, most: float, ticks: int) -> None:
    low, high, marks = scale(least, most, ticks)
    assert low <= least <= most <= high and low < high
    assert all(low <= mark <= high for mark in marks) and len(marks) <= ticks + 1
    steps = {round((b - a) / (marks[1] - marks[0]), 6) for a, b in pairwise(marks)}
    assert steps <= {1.0}
