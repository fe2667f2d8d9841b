"""The panels of the Train screen as lines of text: figures, gradients, where a step's time goes, samples, memory."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from math import ceil, floor, log10
from typing import TYPE_CHECKING

from rich.text import Text

from ggtui.core.runtime.record import MemoryUse
from ggtui.core.training.events import Measured, Stepped
from ggtui.viz.tables import cells, duration, size
from ggtui.viz.text import printable, printable_line
from ggtui.viz.training import Course, clock
from ggtui.viz.tui.widgets.hot import clip
from ggtui.viz.tui.widgets.lines import text_line
from ggtui.viz.tui.widgets.plot import bar
from ggtui.viz.tui.widgets.wrapping import Lines as Wrapped

if TYPE_CHECKING:
    from ggtui.perf.table import Row

_BLUE, _VIOLET, _GREEN, DIM = "#7aa2f7", "#a784d8", "#8fbf6a", "#8a91a8"
_FIELD = 20  # columns of a figure with its name
_NUMBER = 7  # columns of a figure that may be of any size
OWNERS = {
    "weights": "weights", "optimizer": "optimizer", "batch_activations": "activations", "scratch": "scratch",
    "records": "records",
}  # fmt: skip
_TIMES = {"time": 9, "share": 7, "GFLOP/s": 9, "limit": 10}  # columns of figures
_SPARE = ("time", "GFLOP/s")  # of these, where there is little room
_NAME = 20  # columns of a node's name at least


def figures(course: Course, width: int) -> list[Text]:
    """The newest figures, as many side by side as there is room for."""
    last, best, began = course.last, course.best, course.began
    told = [
        ("loss", _short(course.points[-1].smooth, 4) if course.points else ""),
        ("validation", _short(course.measured[-1].loss, 4) if course.measured else ""),
        ("best", _short(best.loss, 4) if best is not None else ""),
        ("at step", f"{best.step:,}" if best is not None else ""),
        ("rate", f"{last.rate:.2e}" if last is not None else ""),
        ("norm", _short(last.norm, 3) if last is not None else ""),
        ("tok/s", f"{course.tokens_per_s:,.0f}" if last is not None else ""),
        ("memory", size(began.bytes) if began is not None else ""),
        ("elapsed", clock(course.ns)),
        ("left", clock(course.left_ns) if last is not None and course.ended is None else ""),
        ("parameters", _count(began.parameters) if began is not None else ""),
        ("tokens", _count(began.tokens) if began is not None else ""),
    ]
    n = next(n for n in (12, 6, 4, 3, 2) if n * _FIELD <= width or n == 2)
    lines = []
    for at in range(0, len(told), n):
        line = text_line("")
        for name, value in told[at : at + n]:
            line.append(f"{name} ", DIM).append(value.rjust(_FIELD - 3 - len(name)), "bold").append("  ")
        lines.append(line)
    return lines


def _short(x: float, digits: int) -> str:
    """With so many digits behind the point where there is room for them: _NUMBER columns."""
    left = next((d for d in range(digits, -1, -1) if len(f"{x:.{d}f}") <= _NUMBER), None)
    return f"{x:.1e}" if left is None else f"{x:.{left}f}"


def _count(n: int) -> str:
    """In digits, or in thousands and millions."""
    return f"{n / 1e9:.2f} G" if n >= 1e9 else f"{n / 1e6:.2f} M" if n >= 1e6 else f"{n:,}"


def gradients(last: Stepped | None, width: int, height: int, *, ascii_only: bool = False) -> list[Text]:
    """The lengths of gradients by layer, on a scale of powers of ten; a heading, and `height` - 1 layers at most."""
    norms = {name: norm for name, norm in last.norms.items() if norm > 0} if last is not None else {}
    if not norms or height < 2:
        return []
    names = sorted(norms, key=_natural)
    low = floor(log10(min(norms.values())))
    high = max(ceil(log10(max(norms.values()))), low + 1)
    shown = names[: height - 1] if len(names) < height else names[: height - 2]
    column = min(max(map(len, names)), 18)
    room = max(width - column - 11, 1)
    scale = f"1e{low} to 1e{high}"
    lines = [_heading("gradients", scale.rjust(max(width - 10, 0)))]
    for name in shown:
        line = text_line(f"{clip(printable_line(name), column)} ")
        share = max((log10(norms[name]) - low) / (high - low), 1e-9)
        line.append(bar(share, room, ascii_only=ascii_only), _VIOLET).append(f" {norms[name]:9.3g}")
        lines.append(line)
    if len(shown) < len(names):
        rest = sum(norms[name] ** 2 for name in names[len(shown) :]) ** 0.5
        lines.append(text_line(clip(f"{len(names) - len(shown)} more", width - 10) + f"{rest:10.3g}", DIM))
    return lines


def _natural(name: str) -> tuple[bool, list[str | int]]:
    """Layers by their number, and what is outside of them behind."""
    parts: list[str | int] = [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", name)]
    return not name.startswith("blk."), parts


def parts(last: Stepped | None, width: int, *, ascii_only: bool = False) -> list[Text]:
    """What a step's time goes into: a heading and a line a part."""
    if last is None or not last.times or not last.ns:
        return []
    rest = last.ns - sum(last.times.values())
    told = {**last.times, **({"rest": rest} if rest > 0.01 * last.ns else {})}
    lines = [_heading("a step", f"{duration(last.ns):>{max(width - 7, 0)}}")]
    for name, ns in told.items():
        share = ns / last.ns
        line = text_line(f"{clip(name, 10)}")
        line.append(bar(share, max(width - 25, 1), ascii_only=ascii_only), _BLUE)
        lines.append(line.append(f" {share:5.0%} {duration(ns):>8}"))
    return lines


def nodes(rows: Sequence[Row], width: int, height: int) -> list[Text]:
    """The slowest nodes of the last step, with their share of the threads' time, and what they reach of what the
    machine allows; a heading, and `height` - 1 nodes at most."""
    if not rows or height < 2:
        return []
    columns = dict(_TIMES)
    if not any(row.of_limit is not None for row in rows):
        columns.pop("limit")
    for spare in _SPARE:
        if width - sum(columns.values()) < _NAME:
            columns.pop(spare)
    room = max(width - sum(columns.values()), 4)
    lines = [_heading("slowest nodes", "".join(f"{name:>{n}}" for name, n in columns.items()).rjust(width - 14))]
    for row in rows[: height - 1]:
        told = cells(row)
        text = clip(printable_line(row.key), room - 1) + " "
        lines.append(text_line(text + "".join(f"{told[name]:>{n}}" for name, n in columns.items())))
    return lines


def samples(measured: Sequence[Measured], width: int) -> list[Text]:
    """What the model said at each validation, the newest first."""
    lines: list[Text] = []
    for m in reversed(measured):
        if m.sample:
            lines.append(text_line(f"step {m.step:,}, validation {_short(m.loss, 4)}", DIM))
            wrapped = Wrapped(width, printable(re.sub(r"\n+", "\n", m.sample.expandtabs(4)).strip()))
            lines += [text_line(wrapped.line(i)) for i in range(len(wrapped.lines))]
    return lines


def memory(use: MemoryUse | None, width: int, *, ascii_only: bool = False) -> list[Text]:
    """Bytes by owner: a heading and a line each. All together are among the figures."""
    found = {name: n for key, name in OWNERS.items() if (n := getattr(use, key))} if use is not None else {}
    if not found:
        return []
    whole = sum(getattr(use, f.name) for f in fields(MemoryUse))
    lines = [_heading("memory", "by owner")]
    for name, n in found.items():
        line = text_line(clip(name, 12))
        line.append(bar(n / whole, max(width - 23, 1), ascii_only=ascii_only), _GREEN)
        lines.append(line.append(f" {size(n):>10}"))
    return lines


def _heading(name: str, told: str) -> Text:
    return text_line(name, "bold").append(f" {told}", DIM)
