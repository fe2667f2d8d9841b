"""What is known of a training, by its events."""

from __future__ import annotations

import pytest

from ggtui.core.training.events import Began, Ended, Measured, Saved, Stepped
from ggtui.viz.training import MOST, Course, clock


def began(steps: int = 100, step: int = 0) -> Began:
    return Began(step, {"steps": steps}, 1000, 5000, 200, 1 << 20, 1)


def stepped(step: int, loss: float, ns: int = 10_000_000) -> Stepped:
    return Stepped(step, loss, 1e-3, 1.0, 64, ns)


def test_figures() -> None:
    course = Course()
    assert (course.step, course.steps, course.tokens_per_s, course.best) == (0, 0, 0.0, None)
    for event in (began(), Measured(0, 5.0, 10), *(stepped(i, 4.0) for i in range(1, 31))):
        course.take(event)
    assert (course.step, course.steps, course.ns) == (30, 100, 300_000_000)
    assert course.tokens_per_s == pytest.approx(6400) and course.left_ns == pytest.approx(700_000_000)
    course.take(Measured(30, 4.5, 10))
    course.take(Measured(40, 4.7, 10))
    assert course.best == Measured(30, 4.5, 10)
    course.take(Saved(40, "a"))
    course.take(Ended(40, "stopped"))
    assert course.saved is not None and course.ended is not None


def test_goes_on_behind_a_step() -> None:
    course = Course()
    course.take(Ended(40, "stopped"))
    course.take(began(100, 40))
    assert course.step == 40 and course.ended is None


def test_smoothing_begins_as_the_mean_and_follows_a_jump() -> None:
    course = Course()
    course.take(began())
    for i, loss in enumerate((2.0, 4.0, 3.0), 1):
        course.take(stepped(i, loss))
    assert [p.smooth for p in course.points] == pytest.approx([2.0, 3.0, 3.0])
    for i in range(4, 60):
        course.take(stepped(i, 1.0))
    assert course.points[-1].smooth == pytest.approx(1.0, abs=1e-3)


def test_many_steps_have_bounded_points_that_keep_every_extreme() -> None:
    course = Course()
    n = 3 * MOST + 1
    for i in range(1, n + 1):
        course.take(stepped(i, 9.0 if i == 77 else 0.5 if i == n - 5 else 2.0))
    assert MOST / 2 <= len(course.points) <= MOST
    assert max(p.high for p in course.points) == 9.0 and min(p.low for p in course.points) == 0.5
    steps = [p.step for p in course.points]
    assert steps == sorted(set(steps)) and steps[-1] == n


def test_clock() -> None:
    assert [clock(s * 1e9) for s in (0, 59.6, 3723)] == ["0:00:00", "0:01:00", "1:02:03"]
