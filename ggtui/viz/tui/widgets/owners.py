"""The Memory screen as lines of text: who owns the bytes, how full the KV cache is, how both grew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.text import Text

from ggtui.core.runtime.record import MemoryUse
from ggtui.viz.live import Live, Point
from ggtui.viz.tui.widgets.lines import text_line
from ggtui.viz.tui.widgets.plot import bar, plot

NAME = 23  # columns of names
NUMBER = 16  # of bytes
_SHARE = 8
_BLUE, _VIOLET = "#7aa2f7", "#a784d8"
UNKNOWN = "not recorded"


class Owner(NamedTuple):
    """A line of the table; None: not known."""

    name: str
    n_bytes: int | None


def owners(memory: MemoryUse, rss: int) -> list[Owner]:
    """Who owns the bytes. The process' own (RSS) is known while it runs; then what belongs to none of them is told too:
    the program itself, its libraries, the tokenizer. Pages that were never touched are not in memory."""
    known = [
        Owner("weights", memory.weights),
        Owner("KV cache, reserved", memory.kv),
        Owner("activations of a token", memory.activations),
        Owner("activations of a batch", memory.batch_activations),
        *([Owner("optimizer", memory.optimizer)] if memory.optimizer else []),  # of a training
        Owner("scratch", memory.scratch),
        Owner("records", memory.records),
    ]
    all_known = sum(owner.n_bytes or 0 for owner in known)
    if not rss:
        return [*known, Owner("all of them", all_known), Owner("process (RSS)", None)]
    rest = Owner("other", rss - all_known) if rss >= all_known else Owner("of that not touched", all_known - rss)
    return [*known, rest, Owner("process (RSS)", rss)]


def amount(n_bytes: float, mib: bool) -> str:
    """Bytes with their unit, in one of the two units of the screen."""
    return f"{n_bytes / (1 << 20):,.2f} MiB" if mib else f"{n_bytes:,.0f} B"


def owner_table(memory: MemoryUse, rss: int, width: int, *, mib: bool, ascii_only: bool) -> list[Text]:
    """A line an owner: bytes, share of the process (of the owners, where that is not known), a bar."""
    rows = owners(memory, rss)
    whole = max(rss, sum(owner.n_bytes or 0 for owner in rows[:6]), 1)
    room = width - NAME - NUMBER - _SHARE - 2
    lines = [text_line(f"{'owner':<{NAME}}{'size':>{NUMBER}}{'share':>{_SHARE}}", "bold")]
    for i, (name, n_bytes) in enumerate(rows):
        if n_bytes is None:
            lines.append(text_line(f"{name:<{NAME}}{UNKNOWN:>{NUMBER}}"))
            continue
        share = n_bytes / whole
        line = text_line(f"{name:<{NAME}}{amount(n_bytes, mib):>{NUMBER}}{share:>{_SHARE}.1%}")
        if room >= 4 and i < 7 and name != "all of them":
            line.append("  ").append(bar(share, room, ascii_only=ascii_only), _BLUE)
        if i >= 6:
            line.stylize("bold", 0, NAME + NUMBER + _SHARE)
        lines.append(line)
    return lines


def kv_lines(live: Live, width: int, *, mib: bool, ascii_only: bool) -> list[Text]:
    """How much of the KV cache is in use, and what a token takes of it: a line, or two where that is too long."""
    used, n_ctx, each = kv_use(live)
    told = f"{amount(used, mib)} of {amount(live.memory.kv, mib)}" if live.memory.kv else amount(used, mib)
    words = f"{live.n_past} of {n_ctx} tokens" if n_ctx else f"{live.n_past} tokens"
    words += f", {each:,} B a token" if each else ""
    line = text_line("KV cache  ", "bold")
    line.append(told)
    wide = line.cell_len + 2 + len(words) <= width - 6
    lines = [line.append(f", {words}")] if wide else [line, text_line(" " * 10 + words)]
    room = width - line.cell_len - 2
    if n_ctx and room >= 4:
        line.append("  ").append(bar(live.n_past / n_ctx, room, ascii_only=ascii_only), _BLUE)
    return lines


def kv_use(live: Live) -> tuple[int, int, int]:
    """Bytes of the KV cache in use, tokens that have room (0: not known), bytes of a token (0: not known)."""
    n_ctx = live.loaded.n_ctx if live.loaded is not None else live.run.n_ctx
    if live.loaded is not None:
        each = live.loaded.kv_bytes_per_token
        return live.n_past * each, n_ctx, each
    last = live.evaluations[-1] if live.evaluations else None
    used = last.kv_bytes if last is not None else 0
    n_past = last.n_past + last.n_tokens if last is not None else 0
    return used, n_ctx, used // n_past if n_past else 0


def growth(points: Sequence[Point], width: int, height: int, *, mib: bool, ascii_only: bool) -> list[Text]:
    """Curves over the evaluations, in `height` lines: the KV cache in use, and where it is known the process, side by
    side or, where that is too narrow, one above the other; in little room the first alone."""
    if height < 4:
        return []
    if len(points) < 2:
        return [text_line("growth", "bold"), text_line("Curves begin with the second evaluation.")]
    kv = [(float(p.evaluations), float(p.kv)) for p in points]
    rss = [(float(p.evaluations), float(p.rss)) for p in points if p.rss]
    # An axis may end at twice the greatest of its values.
    gutter = 1 + max(len(amount(2 * top, mib)) for top in (1 << 19, *(y for _, y in (*kv, *rss))))
    if len(rss) < 2:
        return _curve("KV cache in use", kv, width, height, _BLUE, 0.0, gutter, mib, ascii_only)
    low = min(y for _, y in rss)
    tokens, grown = points[-1].n_past - points[0].n_past, rss[-1][1] - rss[0][1]
    each = f", {grown / tokens:+,.0f} B a token" if tokens > 0 else ""
    name = f"process (RSS){each}"
    if width >= 76:
        half = (width - 2) // 2
        left = _curve("KV cache in use", kv, half, height, _BLUE, 0.0, gutter, mib, ascii_only)
        right = _curve(name, rss, half, height, _VIOLET, low, gutter, mib, ascii_only)
        for a, b in zip(left, right, strict=True):
            a.pad_right(half + 2 - a.cell_len)
            a.append_text(b)
        return left
    if height >= 10:
        half = height // 2
        upper = _curve("KV cache in use", kv, width, half, _BLUE, 0.0, gutter, mib, ascii_only)
        between = [text_line("")] if height >= 12 else []
        return [
            *upper,
            *between,
            *_curve(name, rss, width, height - half - len(between), _VIOLET, low, gutter, mib, ascii_only),
        ]
    return _curve("KV cache in use", kv, width, height, _BLUE, 0.0, gutter, mib, ascii_only)


def _curve(
    name: str,
    points: Sequence[tuple[float, float]],
    width: int,
    height: int,
    style: str,
    low: float,
    gutter: int,
    mib: bool,
    ascii_only: bool,
) -> list[Text]:
    """A heading and a plot under it."""
    unit = 1 << 20 if mib else 1  # so that the axis ends at a round number of them

    def told(y: float) -> str:
        return amount(y * unit, mib)

    scaled = [(x, y / unit) for x, y in points]
    low /= unit
    drawn = plot(
        scaled, width, height - 1, y_text=told, x_name="evaluations", low=low, gutter=gutter, ascii_only=ascii_only
    )
    lines = [text_line(name, "bold")]
    for i, text in enumerate(drawn):
        lines.append(text_line(text))
        if i < len(drawn) - 2:
            lines[-1].stylize(style, gutter + 1)
    return lines
