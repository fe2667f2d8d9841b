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


@pytest.mark.parametrize(
    "losses", [(3.1, 5.9), (1e18, 3e18), (1.2e18, 1.2003e18), (2e-6, 5e-6), (99_000.0, 120_000.0), (0.5, 1e9)]
)
def test_labels_of_any_losses_stand_beside_the_axis(losses: tuple[float, float]) -> None:
    for height in (5, 8, 9, 20):
        lines = drawn(*losses, width=60, height=height)
        (axis,) = {line.index("|") for line in lines[1:-2]}
        assert lines[-2].index("+") == axis and all(len(line) <= 60 for line in lines[1:])
        labels = [line[:axis].strip() for line in reversed(lines[1:-2]) if line[:axis].strip()]
        assert len(labels) >= 2 and [float(label) for label in labels] == sorted(map(float, labels))


def test_losses_that_are_no_numbers_are_left_out() -> None:
    assert drawn(3.0, 2.0) == drawn(3.0, 2.0, measured=(Measured(1, float("nan"), 1), Measured(2, float("inf"), 1)))


@pytest.mark.parametrize(
    ("least", "most"), [(3.02, 5.98), (5.3, 8.3), (0.0, 0.0), (2.0, 2.0), (1e-6, 3e6), (0.9991, 0.9993)]
)
@pytest.mark.parametrize("ticks", [1, 2, 5, 12])
def test_scale(least: float, most: float, ticks: int) -> None:
    low, high, marks = scale(least, most, ticks)
    assert low <= least <= most <= high and low < high
    assert all(low <= mark <= high for mark in marks) and len(marks) <= max(ticks + 1, 4)
    assert marks[-1] - marks[0] > (high - low) / 2
    steps = {round((b - a) / (marks[1] - marks[0]), 6) for a, b in pairwise(marks)}
    assert steps <= {1.0}
