"""The Timeline as lines of text: a ruler, the lanes' rows, what lies under the cursor, the legend, the totals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, floor, log10

import numpy as np
from rich.text import Text

from ggtui.core.runtime.record import WAKE, NodeInfo
from ggtui.viz.tables import duration, percent
from ggtui.viz.text import printable_line
from ggtui.viz.tui.widgets.lines import text_line
from ggtui.viz.tui.widgets.plot import columns
from ggtui.viz.tui.widgets.spans import KINDS, LOST, N_WORK, WAIT, WAKING, Floats, Spans, Track
from ggtui.viz.tui.widgets.window import Window

GUTTER = 8  # columns left of the axis, for t0 and the like
_GUTTER_MOST = 24


def gutter(spans: Spans) -> int:
    """Columns left of the axis: as many as the names of lanes need."""
    return min(max([GUTTER, *(len(name) + 3 for name in spans.names)]), _GUTTER_MOST)


def _mixed(ink: str, ground: str) -> str:
    pairs = ((int(ink[i : i + 2], 16), int(ground[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(0.45 * a + 0.55 * b):02x}" for a, b in pairs)


_NAMED = [f"{k.ink} on {k.ground}" if k.ground else k.ink for k in KINDS] + [""]
# Letters stand back behind names: their ink is mixed with the ground.
_STYLES = [f"{_mixed(k.ink, k.ground)} on {k.ground}" if k.ground else k.ink for k in KINDS] + [""]
_LETTERS = np.array([*(k.letter for k in KINDS), " "])
_TICK = 14  # columns between times on the ruler, at least


# ---- ruler ----


def ruler(spans: Spans, window: Window) -> list[Text]:
    """Two lines: recorded time, and where evaluations begin, with their n_past."""
    times, tokens = [" "] * window.columns, [" "] * window.columns
    for gap in spans.gaps:
        for column in range(max(window.column(gap.start), 0), min(window.column(gap.end - 1) + 1, window.columns)):
            times[column] = tokens[column] = "/"
    step = _round(_TICK * window.cell)
    first, last = spans.clock(window.left), spans.clock(min(window.right, spans.total))
    free = 0
    for i in range(ceil(first / step), floor(last / step) + 1):
        column, text = window.column(spans.place(i * step)), "|" + _tick(i * step, step, last)
        if free <= column and times[column : column + len(text)] == [" "] * len(text):
            times[column : column + len(text)] = text
            free = column + len(text) + 1
    for column, text in _boundaries(spans, window):
        tokens[column : column + len(text)] = text
    named = (("time", times), ("n_past", tokens))
    return [text_line(f"{name:<{gutter(spans)}}" + "".join(cells)) for name, cells in named]


def _round(ns: float) -> float:
    """The least of 1, 2, 5 and their multiples by powers of ten that is at least `ns`."""
    power = 10.0 ** floor(log10(max(ns, 1.0)))
    return next(s * power for s in (1.0, 2.0, 5.0, 10.0) if s * power >= ns)


def _tick(ns: float, step: float, last: float) -> str:
    """A time in the unit that fits the `last` of its kind, with the digits that tell it from its neighbours."""
    unit, scale = next((u for u in (("s", 1e9), ("ms", 1e6), ("us", 1e3)) if last >= u[1]), ("ns", 1.0))
    return f"{ns / scale:,.{max(0, -floor(log10(step / scale)))}f} {unit}"


def _boundaries(spans: Spans, window: Window) -> Iterator[tuple[int, str]]:
    """Where evaluations begin: all of them as marks if there is room for that, with n_past where that has room too."""
    first = int(np.searchsorted(spans.start, window.left))
    last = int(np.searchsorted(spans.start, window.right))
    apart = window.span and (last - first) * 2 <= window.columns
    free = 0
    for i in range(first, last):
        column, token = window.column(float(spans.start[i])), spans.tokens[i]
        text = f"|{token.n_past}" + (f"+{token.n_tokens}" if token.n_tokens > 1 else "")
        until = window.column(float(spans.start[i + 1])) if i + 1 < last and apart else window.columns
        if free <= column and column + len(text) <= until:
            yield column, text
            free = column + len(text) + (0 if apart else 1)
        elif apart and free <= column < window.columns:
            yield column, "|"


# ---- rows ----


def lane_rows(spans: Spans, window: Window, lane: int, height: int, chosen: bool) -> list[Text]:
    """The row of a lane, `height` lines high: each cell shows what took most of its time; of a row of several lines
    each stands for its part of the column."""
    track, left = spans.tracks(window.left, window.right)[lane], gutter(spans)
    edges: Floats = window.left + window.cell * np.arange(window.columns + 1, dtype=np.float64)
    cells = track.cells(edges, spans.total, height)
    letters = _LETTERS[cells].tolist()
    names = list(_names(spans, window, lane))
    for column, text in names:
        letters[0][column : column + len(text)] = text
    mark = f"{'>' if chosen else ' '} {spans.names[lane]}"[:left]
    cursor = window.column(window.at) if chosen and not window.follow else -1
    lines = []
    for i, (row, kinds) in enumerate(zip(letters, cells.tolist(), strict=True)):
        line = text_line(f"{mark if i == 0 else '':<{left}}")
        for start, end, kind in _runs(kinds):
            line.append("".join(row[start:end]), _STYLES[kind])
        for column, text in names if i == 0 else ():
            line.stylize(_NAMED[kinds[column]], left + column, left + column + len(text))
        if 0 <= cursor < window.columns:
            line.stylize("reverse", left + cursor, left + cursor + 1)
        lines.append(line)
    return lines


def _runs(kinds: list[int]) -> Iterator[tuple[int, int, int]]:
    start = 0
    for i in range(1, len(kinds) + 1):
        if i == len(kinds) or kinds[i] != kinds[start]:
            yield start, i, kinds[start]
            start = i


def _names(spans: Spans, window: Window, lane: int) -> Iterator[tuple[int, str]]:
    """What fits into the spans that are wide enough: names of nodes, waits, samplings, gaps."""
    track = spans.tracks(window.left, window.right)[lane]
    here = track.within(window.left, window.right)
    if len(here) <= window.columns:
        for i in here:
            node = node_of(spans, track, i)
            names = _short(node, int(track.part[i])) if node is not None else ["wake"]
            start, worked, end, back = (float(a[i]) for a in (track.start, track.worked, track.end, track.back))
            yield from _fitting(window, start, worked, names)
            yield from _fitting(window, end, back, [f"wait {duration(back - end)}", "wait"])
            for left, right in ((worked, end), (back, float(track.done[i]))):
                lost = duration(right - left)
                yield from _fitting(window, left, right, [f"not scheduled {lost}", f"lost {lost}", "lost"])
    if lane == spans.caller:
        first, last = (spans.token_at(place) for place in (window.left, window.right))
        for t in range(first, last + 1):
            end = float(spans.start[t] + spans.length[t])
            yield from _fitting(window, end, end + float(spans.sampling[t]), ["sample"])
    for gap in spans.gaps:
        yield from _fitting(window, gap.start, gap.end, [gap.text, gap.text.partition(" ")[0]])


def _fitting(window: Window, start: float, end: float, names: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The first of the names that fits between two places, so that the letter of its kind still shows behind it."""
    left, right = max(window.column(start), 0), min(window.column(end), window.columns)
    if start >= window.left and window.left + left * window.cell < start:
        left += 1  # the first column belongs in part to what was before
    for name in names:
        if len(name) + 2 <= right - left:
            yield left, f"{name} "
            return


def node_of(spans: Spans, track: Track, record: int) -> NodeInfo | None:
    """The node of a record; None: waking up."""
    node = int(track.node[record])
    return None if node == WAKE else spans.graphs[spans.tokens[int(track.token[record])].graph].nodes[node]


def _name(node: NodeInfo) -> str:
    return printable_line(node.key or node.name)


def _short(node: NodeInfo, part: int) -> list[str]:
    """Names of a part of a node, the longest first: without its layer, and a preparing part by its op alone."""
    name = _name(node)
    if part + 1 < len(node.parts):
        op = printable_line(node.parts[part])
        return [f"{name} {op}", op]
    return [name, name.split(".", 2)[-1]] if node.layer is not None else [name]


def cursor_line(spans: Spans, window: Window) -> Text:
    """A mark under the cursor's column."""
    column = window.column(window.at)
    shown = not window.follow and 0 <= column < window.columns
    return text_line(" " * (gutter(spans) + column) + "^" if shown else "")


def legend(spans: Spans, width: int) -> list[Text]:
    """The letters that there are, and what they stand for, in as many lines as they need."""
    lines = [text_line("")]
    for kind in (KINDS[i] for i in spans.kinds):
        need = len(kind.word) + 4
        if lines[-1].cell_len and lines[-1].cell_len + need > width:
            lines.append(text_line(""))
        lines[-1].append(kind.letter, f"{kind.ink} on {kind.ground}" if kind.ground else kind.ink)
        lines[-1].append(f" {kind.word}  ")
    return lines


# ---- in words ----


def status(spans: Spans, window: Window, saved: bool, lanes: range) -> Text:
    """What is seen, and whether it follows the newest token; `lanes` are those that have room."""
    first, last = spans.token_at(window.left), spans.token_at(min(window.right, spans.total) - 1)
    seen, n = min(window.right, spans.total) - window.left, len(spans.tokens)
    word = "FOLLOW" if window.follow and not saved else "SAVED" if saved else "HELD"
    line = text_line("")
    line.append(f"{word:<{gutter(spans)}}", "bold")
    shown = f"evaluations {first + 1}-{last + 1} of {n} kept, {duration(seen)}, a cell {duration(window.cell)}"
    if len(lanes) < len(spans.lanes):
        kind = "threads" if spans.all_threads else "lanes"
        shown += f", {kind} {lanes.start}-{lanes.stop - 1} of {len(spans.lanes)}"
    line.append(shown)
    return line


def readout(spans: Spans, window: Window, lane: int) -> list[Text]:
    """Two lines on the place of the cursor: the evaluation, and what the lane does there."""
    t = spans.token_at(window.at)
    token = spans.tokens[t]
    size = f"{token.n_tokens} tokens, " if token.n_tokens > 1 else ""
    words = f"n_past {token.n_past}: {size}evaluation {duration(float(spans.length[t]))}"
    words += f", sampling {duration(float(spans.sampling[t]))}, from {duration(spans.clock(float(spans.start[t])))} on"
    if token.dropped:
        words += f"; {token.dropped} records did not fit"
    here = _here(spans, window.at, lane) if not window.follow else _evaluation(spans, window, t)
    gap = spans.gap_at(window.at)
    if gap is not None and not window.follow:
        words, here = "between the evaluations that are kept", f"{gap.text}; how long that took is not known"
    return [text_line(words), text_line(here)]


def _evaluation(spans: Spans, window: Window, t: int) -> str:
    """What the lanes did in an evaluation."""
    edges = np.array([spans.start[t], spans.start[t] + spans.length[t]])
    told = []
    for name, track in zip(spans.names, spans.tracks(min(window.left, edges[0]), window.right), strict=True):
        wait = shares(track, edges, spans.total)[-1]
        told.append(f"{name} waits {percent(wait)}")
    more = "more threads" if spans.all_threads else "more lanes"
    return "newest: " + ", ".join(told[:6]) + (f", {len(told) - 6} {more}" if len(told) > 6 else "")


def _here(spans: Spans, place: float, lane: int) -> str:
    """What a lane does at a place of its track."""
    track, t, name = spans.tracks(place, place)[lane], spans.token_at(place), spans.names[lane]
    evaluation_end = float(spans.start[t] + spans.length[t])
    if place >= evaluation_end:
        return f"{name} chooses the next token" if lane == spans.caller else f"{name} is idle: the next token is chosen"
    i = track.at(place)
    if i is None:
        unseen = not len(spans.tokens[t].records) or spans.tokens[t].dropped
        return f"{name}: no node times were recorded here" if unseen else f"{name} is idle, outside of nodes"
    start, end, done = (float(a[i]) for a in (track.start, track.end, track.done))
    node = node_of(spans, track, i)
    since = f"+{duration(start - float(spans.start[t]))}"
    lost = f"; not scheduled for {duration(float(track.lost[i]))} of it" if track.lost[i] else ""
    if node is None and place >= end and done > end:
        return f"{name} waits {duration(done - end)} before its first node{lost}"
    if node is None:
        return f"{name} wakes up: {duration(end - start)}{lost}"
    part = int(track.part[i])
    op = node.parts[part] if part < len(node.parts) else node.op
    which = f" part {part + 1}/{len(node.parts)}" if len(node.parts) > 1 else ""
    what = f"{_name(node)} {printable_line(op)}{which}"
    if place >= end:
        return f"{name} waits {duration(done - end)} after {what}, which took {duration(end - start)}{lost}"
    return f"{name} {what}: at {since} for {duration(end - start)}, then waits {duration(done - end)}{lost}"


def shares(track: Track, edges: Floats, total: float) -> tuple[float, float, float, float, float]:
    """Nanoseconds a lane works, waits, wakes up and is not scheduled between two edges, and the waits' part of the
    four."""
    spent = track.spent(edges, total).sum(axis=1)
    work, wait, wake, lost = float(spent[:N_WORK].sum()), *(float(spent[kind]) for kind in (WAIT, WAKING, LOST))
    known = work + wait + wake + lost
    return work, wait, wake, lost, wait / known if known else 0.0


def totals(spans: Spans, window: Window, lanes: Sequence[int]) -> list[Text]:
    """What the lanes did in the time that is seen, a line each under a heading."""
    edges, left = np.array([window.left, window.right]), gutter(spans)
    tracks = spans.tracks(window.left, window.right)
    lines = [text_line(f"{'in view':<{left}}{'work':>9}{'wait':>11}{'wake':>11}{'lost':>11}{'waiting':>11}")]
    lines[0].stylize("bold")
    for i in lanes:
        *times, share = shares(tracks[i], edges, spans.total)
        cells = f"{duration(times[0]):>9}{''.join(f'{duration(ns):>11}' for ns in times[1:])}{percent(share):>11}"
        lines.append(text_line(f"  {spans.names[i][: left - 2]:<{left - 2}}{cells}"))
    return lines


# ---- token times ----


def token_bars(spans: Spans, at: int, width: int, height: int, *, ascii_only: bool) -> list[Text]:
    """A heading with p50 and p95, then a column a token, the newest at the right, `height` lines high, and a mark under
    token `at`. A prompt is a P, a gap a /."""
    single = [t.stage == "token" for t in spans.tokens]
    times = spans.times[single]
    if not len(times):
        return [text_line("No token was generated yet.")]
    p50, p95 = (float(np.percentile(times, p)) for p in (50, 95))
    words = f"p50 {duration(p50)}   p95 {duration(p95)}   longest {duration(float(times.max()))}"
    heading = text_line("")
    left = gutter(spans)
    heading.append("token".ljust(left), "bold").append(f"{words} (n_past {spans.tokens[spans.slowest].n_past})")
    at_gap = {gap.end for gap in spans.gaps}
    marks: list[tuple[str, float, int]] = []
    for i, alone in enumerate(single):
        if float(spans.start[i]) in at_gap:
            marks.append(("/", 0.0, -1))
        marks.append(("" if alone else "P", float(spans.times[i]) if alone else 0.0, i))
    room = max(width - left, 1)
    place = next(j for j, (_, _, i) in enumerate(marks) if i == at)
    end = len(marks) if place >= len(marks) - room else max(place + room // 2, room)
    shown = marks[max(end - room, 0) : end]
    top = float(times.max())
    body = columns([ns for _, ns, _ in shown], height, top, ascii_only=ascii_only)
    body[-1] = "".join(mark or cell for cell, (mark, _, _) in zip(body[-1], shown, strict=True))
    labels = [duration(top), *[""] * (height - 2), "0 ns"][:height]
    lines = [heading]
    for label, row in zip(labels, body, strict=True):
        lines.append(text_line(f"{label:>{left - 1}} "))
        lines[-1].append(row, "#7aa2f7")
    under = next((j for j, (_, _, i) in enumerate(shown) if i == at), -1)
    lines.append(text_line(" " * (left + under) + "^" if under >= 0 else ""))
    return lines
