"""Tables of a trace as text, and in a terminal."""

from __future__ import annotations

import io
import re

import pytest
from made_up import trace

from ggtui.perf.compare import compare
from ggtui.perf.stage import stages
from ggtui.perf.table import BY
from ggtui.viz import tables


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("by", BY)
@pytest.mark.parametrize("top", [None, 1, 100])
def test_every_line_has_every_column(by: str, top: int | None) -> None:
    stage = stages(trace())[0]
    title, columns, lines = tables.node_table(stage, by, top)
    assert title.startswith("generation: 5 evaluations, 3.")
    assert all(len(line) == len(columns) for line in lines)
    assert len({name for name, _ in columns}) == len(columns)
    if top == 1:
        assert len(lines) == 2 and lines[1][0].endswith(" more")
        shares = [float(line[[c for c, _ in columns].index("share")].rstrip("%")) for line in lines]
        beside = 100 * (stage.part("wait") + stage.part("wake"))
        assert sum(shares) + beside == pytest.approx(100, abs=0.2)
    text = tables.text_table(title, columns, lines)
    assert len(text.splitlines()) == len(lines) + 3


def test_what_a_line_says() -> None:
    _, columns, lines = tables.node_table(stages(trace(n=1))[0])
    line = dict(zip([c for c, _ in columns], lines[0], strict=True))
    assert line["node"] == "output" and line["op"] == "mul_mat" and line["type"] == "f16" and line["shape"] == "256"
    assert (line["calls"], line["time"], line["wait"]) == ("1", "2.00 us", "50 ns")
    assert line["GB/s"] == "2.00" and line["GFLOP/s"] == "0.50" and line["limit"] == "50% com"


def test_a_terminal_gets_a_drawn_table() -> None:
    out = Terminal()
    tables.write(out, *tables.node_table(stages(trace())[0]))
    assert "output" in out.getvalue() and "─" in out.getvalue()
    out = Terminal()
    tables.write(out, *tables.node_table(stages(trace())[0]), ascii_only=True)
    assert out.getvalue().isascii()
    pipe = io.StringIO()
    tables.write(pipe, *tables.node_table(stages(trace())[0]))
    assert "\x1b" not in pipe.getvalue() and pipe.getvalue().isascii()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_a_narrow_terminal_gets_fewer_columns(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    out = Terminal()
    tables.write(out, *tables.node_table(stages(trace())[0]))
    text = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())
    assert max(len(line) for line in text.splitlines()) <= width
    assert all(word in text for word in ("blk.0.ffn_up", "time", "share", "1.58 us", "53.3%")), text
    assert ("limit" in text) == (width >= 60) and ("sd" in text) == (width >= 200)


@pytest.mark.parametrize("out", [Terminal(), io.StringIO()])
def test_names_are_data(out: io.StringIO) -> None:
    tables.write(out, "a\x1b[2J", [("node", "left")], [["b\x1b]0;x\x07"]])
    assert "a\\x1b[2J" in out.getvalue() and "b\\x1b]0;x\\x07" in out.getvalue()
    assert "\x1b[2J" not in out.getvalue() and "\x1b]" not in out.getvalue()


def test_threads_and_changes() -> None:
    _, columns, lines = tables.lane_table(stages(trace())[0])
    assert len(lines) == 2 and len(lines[0]) == len(columns)
    found = compare(trace(n=8), trace(node_scale={1: 1.5}, n=8), 0.05)
    _, columns, lines = tables.comparison_table(found)
    assert lines[0][0] == "whole evaluation" and lines[1][0] == "blk.0.ffn_up"
    assert [name for name, _ in columns[-4:]] == ["change", "percent", "interval", "to others"]
    change, percent, *intervals = lines[1][-4:]
    assert change.startswith("+") and percent == "+50.0% !"
    for low, high in (text.rstrip("%").split("..") for text in intervals):
        assert float(low) < 51 < float(high)
    assert lines[2][-4:-2] == ["", "~"] and lines[2][-2].startswith("-")
    assert not lines[0][-1], "a whole evaluation has no others"


def test_notes() -> None:
    notes = tables.notes(trace())
    assert any("memory: weights 1.0 MiB, KV cache 1.0 KiB" in line for line in notes)
    assert notes[-1].startswith("profiler overhead: 8 stamps of 20 ns") and "+1.00% against" in notes[-1]


@pytest.mark.parametrize(
    ("ns", "text"), [(0, "0 ns"), (999, "999 ns"), (1500, "1.50 us"), (123456, "123 us"), (2.5e9, "2.50 s")]
)
def test_duration(ns: float, text: str) -> None:
    assert tables.duration(ns) == text


def test_sizes() -> None:
    assert tables.shape((4, 1, 3, 1)) == "4 x 1 x 3" and tables.shape((1, 1, 1, 1)) == "1" and tables.shape(()) == ""
    assert tables.rate(0) == "-" and tables.size(10) == "10 B"
