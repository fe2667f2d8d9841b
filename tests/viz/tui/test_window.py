"""The window over the axis: where the cursor and the edges are after each move."""

from __future__ import annotations

import pytest

from ggtui.viz.tui.widgets.window import AT_FIRST, LEAST, Window


def window(total: float = 100_000.0, span: float = 10_000.0, columns: int = 100) -> Window:
    made = Window(columns, total, 50_000.0, span, 55_000.0, follow=False)
    return made


def test_the_first_window_shows_some_tokens_and_follows() -> None:
    made = Window(100)
    made.extend(3_000.0, 2_000.0, 1_000.0)
    assert (made.left, made.span, made.at) == (0.0, AT_FIRST * 1_000.0, 2_000.0)
    made.extend(20_000.0, 19_000.0, 1_000.0)
    assert (made.left, made.right, made.at) == (12_000.0, 20_000.0, 19_000.0)


def test_zoom_keeps_the_cursor_in_its_column() -> None:
    made = window()
    column = made.column(made.at)
    for factor in (0.5, 0.5, 2.0):
        made.zoom(factor)
        assert made.column(made.at) == column
    assert made.span == 5_000.0


def test_zoom_while_following_keeps_the_end() -> None:
    made = window()
    made.follow = True
    made.extend(100_000.0, 99_000.0, 1_000.0)
    made.zoom(0.5)
    assert (made.left, made.right) == (95_000.0, 100_000.0)


def test_zoom_ends_at_the_whole_and_at_the_least() -> None:
    made = window()
    for _ in range(20):
        made.zoom(2.0)
    assert (made.left, made.span) == (0.0, 100_000.0)
    for _ in range(40):
        made.zoom(0.5)
    assert made.span == LEAST
    assert 0 <= made.column(made.at) < 100


def test_move_scrolls_before_the_edge() -> None:
    made = window()
    made.move(1)
    assert (made.at, made.left) == (55_100.0, 50_000.0)
    made.move(30)
    assert made.at == 58_100.0
    assert made.column(made.at) == 75
    made.move(-70)
    assert (made.at, made.column(made.at)) == (51_100.0, 25)


def test_moves_end_at_the_ends() -> None:
    made = window()
    made.page(100)
    assert (made.left, made.at) == (90_000.0, 99_999.0)
    made.page(-100)
    assert (made.left, made.at) == (0.0, 0.0)


@pytest.mark.parametrize(("place", "left"), [(52_000.0, 50_000.0), (80_000.0, 75_000.0), (0.0, 0.0)])
def test_go_scrolls_only_to_what_is_not_seen(place: float, left: float) -> None:
    made = window()
    made.go(place)
    assert (made.at, made.left, made.follow) == (place, left, False)


def test_what_is_lost_at_the_beginning_moves_what_is_held() -> None:
    made = window()
    made.extend(100_000.0, 99_000.0, 1_000.0, moved=5_000.0)
    assert (made.left, made.at) == (45_000.0, 50_000.0)


def test_hold_brings_the_cursor_into_view() -> None:
    made = window()
    made.at, made.follow = 99_000.0, True
    made.hold()
    assert made.column(made.at) in (98, 99)
    assert not made.follow
