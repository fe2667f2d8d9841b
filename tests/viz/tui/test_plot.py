"""Small plots, to the character."""

from __future__ import annotations

import pytest

from ggtui.viz.tui.widgets.plot import bar, ceiling, columns, line, plot


@pytest.mark.parametrize(
    ("value", "top"), [(0, 1), (-3, 1), (1, 1), (1.1, 2), (2.1, 3), (47, 50), (61, 80), (99, 100), (0.0034, 0.004)]
)
def test_ceiling_is_the_next_round_number(value: float, top: float) -> None:
    assert ceiling(value) == pytest.approx(top)


@pytest.mark.parametrize(
    ("share", "blocks", "ascii_bar"),
    [
        (0.0, "    ", "----"),
        (0.001, "▏   ", "#---"),
        (0.5, "██  ", "##--"),
        (0.59375, "██▍ ", "##--"),
        (1.0, "████", "####"),
        (7.0, "████", "####"),
    ],
)
def test_bar(share: float, blocks: str, ascii_bar: str) -> None:
    assert bar(share, 4) == blocks
    assert bar(share, 4, ascii_only=True) == ascii_bar


def test_columns() -> None:
    assert columns([0, 0.1, 4, 8, 12, 16, 99], 2, 16) == ["    ▄██", " ▁▄████"]
    assert columns([0, 0.1, 8, 16], 2, 16, ascii_only=True) == ["   #", " ###"]


def test_line_in_braille_and_in_ascii() -> None:
    assert line([(0, 0), (1, 7)], 4, 2, 0, 7) == ["  ⡠⠊", "⡠⠊  "]
    assert line([(0, 0), (2, 3), (2, 0), (4, 3)], 4, 1, 0, 3) == ["⡠⠊⡦⠊"]
    assert line([(0, 0), (1, 1)], 4, 2, 0, 1, ascii_only=True) == ["  **", "**  "]


def test_line_of_one_point_and_of_none() -> None:
    assert line([(5, 2)], 3, 1, 0, 3) == ["⠂  "]
    assert line([], 3, 1, 0, 3) == ["   "]
    assert line([(0, 2), (1, 2)], 2, 1, 2, 2) == ["⣀⣀"]


def test_plot_has_axes_with_units() -> None:
    points = [(1, 0.0), (9, 4.0)]
    assert plot(points, 26, 5, y_text="{:.0f} B".format, x_name="tokens", gutter=6, ascii_only=True) == [
        "  4 B |              *****",
        "      |     *********     ",
        "  0 B |*****              ",
        "      +-------------------",
        "      1      tokens      9",
    ]
    assert plot(points, 26, 5, y_text="{:.0f} B".format, x_name="tokens", gutter=6) == [
        "  4 B │             ⣀⡠⠤⠒⠒⠉",
        "      │      ⣀⣀⠤⠔⠒⠉⠉      ",
        "  0 B │⣀⠤⠤⠒⠊⠉             ",
        "      └───────────────────",
        "      1      tokens      9",
    ]


def test_plot_in_next_to_no_room_keeps_its_width() -> None:
    for width in (8, 12, 20):
        drawn = plot([(1, 1.0), (1000, 2.0)], width, 3, y_text=str, x_name="evaluations", gutter=6)
        assert len(drawn) == 3
        assert all(len(text) <= width for text in drawn)
