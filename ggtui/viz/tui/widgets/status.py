"""What is going on beside the text: two lines below it, or a panel at its right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from statistics import fmean, median

from ggtui.core.runtime.record import DISTURBED
from ggtui.viz.live import Live
from ggtui.viz.messages import Alternative
from ggtui.viz.text import printable_line
from ggtui.viz.tui.base import paced
from ggtui.viz.tui.widgets.hot import Hot, clip, hot_table
from ggtui.viz.tui.widgets.plot import EIGHTHS_UP

MIB = 1 << 20
OWNERS = {"weights": "weights", "kv": "KV cache", "activations": "activations", "batch_activations": "batch",
          "scratch": "scratch", "records": "records"}  # fmt: skip
ASCII_BLOCKS = " .:-=+*##"


def bar(part: float, width: int, ascii_only: bool) -> str:
    """How much of a whole."""
    full = round(min(max(part, 0.0), 1.0) * width)
    return ("#" if ascii_only else "━") * full + ("-" if ascii_only else "─") * (width - full)


def sparkline(values: Sequence[float], width: int, ascii_only: bool) -> str:
    """The newest `width` values, each as high as it is of the largest."""
    marks = ASCII_BLOCKS if ascii_only else EIGHTHS_UP
    shown = list(values)[-width:]
    top = max(shown, default=0.0)
    return "".join(marks[max(round(v / top * 8), 1)] if top and v else marks[0] for v in shown).ljust(width)


def p_text(p: float) -> str:
    """A probability in three characters."""
    return f"{p:.2f}".lstrip("0") if p < 0.995 else "1.0"


def token_text(text: str) -> str:
    """A token as one word: what cannot be seen is shown escaped or in quotes."""
    shown = printable_line(text)
    return shown.strip() or repr(text)


def _ms(ms: float) -> str:
    return f"{ms:4.1f}" if ms >= 1 else f"{ms:4.2f}"


def p95(values: Sequence[float]) -> float:
    """What one value in twenty is above; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) * 19 // 20, len(ordered) - 1)] if ordered else 0.0


def typical(values: Sequence[float]) -> list[float]:
    """Those up to DISTURBED times the median, as figures of nodes are of."""
    return [v for v in values if v <= DISTURBED * median(values)]


def context(live: Live, ascii_only: bool, columns: int = 10) -> str:
    """How full the context is: tokens, bar, bytes."""
    n_ctx = live.loaded.n_ctx if live.loaded is not None else live.run.n_ctx
    if not n_ctx:
        return ""
    per_token = live.loaded.kv_bytes_per_token if live.loaded is not None else 0
    mib = live.n_past * per_token / MIB
    used = f"{live.n_past:>{len(str(n_ctx))}}/{n_ctx}"
    return f"KV {used} {bar(live.n_past / n_ctx, columns, ascii_only)} {mib:4.1f} MiB"


def loading(live: Live, width: int, ascii_only: bool) -> str:
    """How much of a model is in memory, in `width` characters at most; "" where none is loaded."""
    if live.loading is None:
        return ""
    part = live.loading.part
    figures = f" {part:3.0%} {bar(part, 10, ascii_only)}"
    name = printable_line(live.loading.model)
    return f"loading {clip(name, min(len(name), max(width - len(figures) - 8, 1)))}{figures}"


def token_time(live: Live) -> str:
    """Of the newest tokens that nothing interrupted: the mean, and what one in twenty takes longer than."""
    times = typical([ns / 1e6 for ns in live.token_times])
    return f"token {_ms(fmean(times))} ms p95 {_ms(p95(times))}" if times else ""


def kv_line(live: Live, width: int, ascii_only: bool) -> str:
    """Context, time of a token and the likeliest tokens, on one line: what there is room for. While a model is loaded,
    how much of it."""
    if live.loading is not None:
        return f" {loading(live, width - 1, ascii_only)}"
    line = f" {context(live, ascii_only)}"
    if len(line) == 1:
        return ""
    choices = [f"{token_text(choice.text)} {p_text(choice.p)}" for choice in live.next[:3]]
    fields = [f"  {token_time(live)}" if live.token_times else ""]
    label = "next" if live.ahead else "chosen from"
    fields += [f"  {label}: {choice}" if n == 0 else f"  {choice}" for n, choice in enumerate(choices)]
    for field in fields:
        if len(line) + len(field) < width:
            line += field
        elif f"{label}:" in field:
            break
    return line


def next_rows(choices: Sequence[Alternative], width: int, n: int, ascii_only: bool) -> list[str]:
    """The likeliest next tokens with bars, `n` lines."""
    wide = width - 14 - 5 - 1
    rows = [f"{clip(token_text(c.text), 14)}{c.p:5.1%} {bar(c.p, wide, ascii_only)}" for c in choices[:n]]
    return rows + [""] * (n - len(rows))


def memory_rows(live: Live, width: int) -> list[str]:
    """Bytes by owner, and of the whole process. An optimizer has none while a model talks."""
    rows = [(OWNERS[owner], n) for owner, n in asdict(live.memory).items() if owner in OWNERS]
    rows.append(("process", live.rss))
    wide = width - 14
    return [f"{clip(name, wide)}{n / MIB:10.1f} MiB" if n else clip(name, wide) for name, n in rows]


def panel(live: Live, hot: Hot | None, width: int, ascii_only: bool) -> list[tuple[str, str]]:
    """The panel: lines, each with its style. None of them changes its place."""
    title = "bold"
    rate = f"{live.tokens_per_s:.0f} tok/s{paced(live)}" if live.token_times else ""
    likely = "next tokens" if live.ahead or not live.next else "the last token was chosen from"
    table = hot_table(hot, width, 10)
    speeds = [1e9 / ns for ns in live.token_times if ns]
    lines = [(table[0], title), *((row, "") for row in table[1:]), ("", "")]
    lines += [(likely, title), *((row, "") for row in next_rows(live.next, width, 5, ascii_only)), ("", "")]
    lines += [(f"{clip('speed', width - len(rate))}{rate}", title), (sparkline(speeds, width, ascii_only), "")]
    lines += [(token_time(live), ""), ("", "")]
    used = context(live, ascii_only, 10 + max(width - len(context(live, ascii_only)), 0))
    lines += [("memory", title), (loading(live, width, ascii_only) or used, "")]
    return [*lines, *((row, "") for row in memory_rows(live, width))]
