"""Tables of a trace for the terminal: functions of the figures of perf, with rich."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from ggtui.core.runtime.record import Trace
from ggtui.perf.intervals import Interval
from ggtui.perf.stage import Stage
from ggtui.perf.table import Row, rows
from ggtui.perf.words import in_words, overhead
from ggtui.viz.text import printable_line

if TYPE_CHECKING:
    from rich.table import Table

    from ggtui.perf.compare import Comparison

DASH = "-"
_NO_IDEA = 10.0  # times the base: an interval that goes so far says nothing
_KL_TYPE = "q4_k"  # of the types the one that there is room for
KL = f"KL {_KL_TYPE}"
# Columns that a narrow terminal does without, the first ones first.
_SPARE = (
    "sd",
    "shape",
    "GFLOP/s",
    "type",
    "p95",
    "calls",
    "wake",
    "change",
    "to others",
    "stage",
    "wait",
    "op",
    "GB/s",
    "limit",
    KL,
)
WORDS = ("op", "type", "shape")
FIGURES = ("time", "share", "sd", "p95", "wait", "GB/s", "GFLOP/s", "limit", KL)
Columns = Sequence[tuple[str, str]]  # heading, "left" or "right"
Lines = Iterable[Sequence[str]]


def node_table(stage: Stage, by: str = "node", top: int | None = None) -> tuple[str, Columns, list[list[str]]]:
    """Title, columns and lines of a stage's table; `top` lines at most, and one for the rest."""
    all_rows = rows(stage, by)
    shown = all_rows if top is None else all_rows[:top]
    n, evals = len(stage.tokens), stage.evals
    words = words_of(by)
    figures = ("calls", *figures_of(all_rows))
    columns = [(name, "left") for name in (by, *words)] + [(name, "right") for name in figures]
    lines = [_line(row, (*words, *figures)) for row in shown]
    rest = all_rows[len(shown) :]
    if rest:
        left = [f"{len(rest)} more", *[""] * len(words), str(sum(r.calls for r in rest))]
        spent = sum(r.time.mean for r in rest)
        left += [duration(spent), percent(sum(r.share for r in rest)), "", "", duration(sum(r.wait_ns for r in rest))]
        lines.append([*left, *[""] * (len(columns) - len(left))])
    takes = f"{duration(evals.mean)} a {stage.each}{stage.undisturbed}"
    title = f"{stage.name}: {n} evaluations, {takes}, {stage.tokens_per_s:.1f} tok/s"
    return title, columns, lines


def words_of(by: str) -> tuple[str, ...]:
    """The columns between what a line is of and its figures."""
    return WORDS if by == "node" else ("type",) if by != "type" else ()


def figures_of(rows: Iterable[Row]) -> tuple[str, ...]:
    """The columns of figures: the last one only where it was measured."""
    return FIGURES if any(row.kl for row in rows) else FIGURES[:-1]


def _line(row: Row, columns: Sequence[str]) -> list[str]:
    told = cells(row)
    return [row.key, *(told[name] for name in columns)]


def cells(row: Row) -> dict[str, str]:
    """What the columns say of a row, without its key."""
    t = row.time
    return {
        "op": printable_line(row.op),
        "type": printable_line(row.type),
        "shape": shape(row.shape),
        "calls": str(row.calls),
        "time": duration(t.mean),
        "share": percent(row.share),
        "sd": duration(t.sd),
        "p95": duration(t.p95) if t.p95 is not None else DASH,
        "wait": duration(row.wait_ns),
        "GB/s": rate(row.bytes_per_s),
        "GFLOP/s": rate(row.flops_per_s),
        "limit": f"{row.of_limit:.0%} {row.limit[:3]}" if row.of_limit is not None else DASH,
        KL: nats(kl_of(row)),
    }


def kl_of(row: Row) -> float | None:
    """What the column KL is of."""
    return row.kl.get(_KL_TYPE)


def nats(kl: float | None) -> str:
    return f"{kl:.1e}" if kl is not None else DASH


def lane_table(stage: Stage) -> tuple[str, Columns, list[list[str]]]:
    """What each lane did, on the mean, in an evaluation: times that add up to it."""
    names = {"work": "work", "wait": "wait", "wake": "wake", "lost": "not scheduled", "held": "held up"}
    if stage.part("rest"):
        names["rest"] = "rest"
    lanes = stage.graph.lanes
    kind = "thread" if all(lane.is_thread for lane in lanes) else "lane"
    columns = [(kind, "left"), *[(name, "right") for name in (*names.values(), "waiting")]]
    lines = []
    for lane, t in zip(lanes, stage.lanes, strict=True):
        times = [duration(getattr(t, name)) for name in names]
        lines.append([lane.name.removeprefix(f"{kind} "), *times, percent(t.wait / max(t.total, 1.0))])
    return f"{stage.name}: {kind}s, the mean of all evaluations, with what was lost", columns, lines


def comparison_table(comparison: Comparison, top: int | None = 20) -> tuple[str, Columns, list[list[str]]]:
    """The whole evaluations, and the largest changes first. ~ stands where no change is shown, as benchstat has it. The
    largest nodes are judged by their time to that of all others, which the pace of the machine does not move."""
    names = ("base", "now", "change", "percent", "interval", "to others")
    columns = [("node", "left"), ("stage", "left"), *[(name, "right") for name in names]]
    lines = []
    for c in (*comparison.whole, *comparison.changes[:top]):
        mark = " !" if c in comparison.worse else ""
        change = f"{'+' if c.delta >= 0 else '-'}{duration(abs(c.delta))}"
        told = [change, f"{c.ratio.value - 1:+.1%}{mark}"] if c.shown else ["", "~"]
        to_others = interval(c.to_others) if c.to_others else ""
        lines.append([c.key, c.stage, duration(c.base), duration(c.now), *told, interval(c.ratio), to_others])
    return f"changes of {comparison.whose}, the largest that is shown first", columns, lines


def interval(ratio: Interval) -> str:
    """As percentages of change."""
    if ratio.high > _NO_IDEA:
        return "measured too little"
    return f"{100 * (ratio.low - 1):+.1f}..{ratio.high - 1:+.1%}"


def notes(trace: Trace) -> list[str]:
    """The summary in plain words, memory by owner, and what the profiler itself cost."""
    m = trace.memory
    owners = (
        ("weights", m.weights), ("KV cache", m.kv), ("activations of a token", m.activations),
        ("activations of a batch", m.batch_activations), ("optimizer", m.optimizer), ("scratch", m.scratch),
        ("records", m.records),
    )  # fmt: skip
    memory = ", ".join(f"{name} {size(n)}" for name, n in owners if n)
    return [*in_words(trace), *([f"memory: {memory}"] if memory else []), overhead_line(trace)]


def overhead_line(trace: Trace) -> str:
    cost = overhead(trace)
    one_of = f", of one token in {1 / cost['recorded']:.0f}" if cost["recorded"] < 0.9 else ""
    stamps = f"{cost['stamps']:.0f} stamps of {cost['stamp_ns']:.0f} ns a thread and token{one_of}"
    stamps += f", {cost['share']:.2%} of it"
    if cost["end_to_end"] is None:
        return f"profiler overhead: {stamps}"
    return f"profiler overhead: {stamps}; a token took {cost['end_to_end']:+.2%} against runs without a profile"


def table(title: str, columns: Columns, lines: Lines, *, ascii_only: bool = False) -> Table:
    """The same as a rich table."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=Text(title), title_justify="left", box=box.ASCII2 if ascii_only else box.SIMPLE_HEAD)
    for name, side in columns:
        justify: Any = side
        drawn.add_column(name, justify=justify, no_wrap=True, overflow="crop")
    for line in lines:
        drawn.add_row(*[Text(cell) for cell in line])
    return drawn


def text_table(title: str, columns: Columns, lines: Lines) -> str:
    """The same as plain text, as wide as it needs to be."""
    body = [[name for name, _ in columns], *[list(line) for line in lines]]
    widths = [max(len(line[i]) for line in body) for i in range(len(columns))]
    sides = [side for _, side in columns]

    def joined(line: Sequence[str]) -> str:
        cells = zip(line, widths, sides, strict=True)
        return "  ".join(c.ljust(w) if side == "left" else c.rjust(w) for c, w, side in cells).rstrip()

    return "\n".join([title, joined(body[0]), joined(["-" * w for w in widths]), *map(joined, body[1:])])


def fitted(columns: Columns, lines: Lines, width: int, gap: int = 3) -> tuple[Columns, list[list[str]]]:
    """Without as many spare columns as it takes to draw the table in `width` characters, `gap` between two columns."""
    left, cells = list(columns), [list(line) for line in lines]
    for spare in (None, *_SPARE):
        at = next((i for i, (name, _) in enumerate(left) if i and name == spare), None)  # the first one stays
        if at is not None:
            left = left[:at] + left[at + 1 :]
            cells = [line[:at] + line[at + 1 :] for line in cells]
        widths = [max(len(text) for text in column) for column in zip([c for c, _ in left], *cells, strict=True)]
        if sum(widths) + gap * len(widths) + 1 <= width:
            break
    return left, cells


def write(out: TextIO, title: str, columns: Columns, lines: Lines, *, ascii_only: bool = False) -> None:
    """A table to a terminal, with as many columns as it has room for; else as plain text with all of them. Names in it
    are data: what could act on a terminal is shown escaped."""
    title, lines = printable_line(title), [[printable_line(cell) for cell in line] for line in lines]
    if not out.isatty():
        out.write(text_table(title, columns, lines) + "\n\n")
        return
    from rich.console import Console

    console = Console(file=out, highlight=False)
    console.print(table(title, *fitted(columns, lines, console.width), ascii_only=ascii_only))


def duration(ns: float) -> str:
    """A time in a unit in which it has three digits or so: 950 ns, 12.3 us, 4.56 ms."""
    for unit, scale in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= scale:
            value = ns / scale
            return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"
    return f"{ns:.0f} ns"


def percent(share: float) -> str:
    return f"{share:.1%}"


def rate(per_s: float) -> str:
    """In thousands of millions a second."""
    value = per_s / 1e9
    return DASH if not value else f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def shape(ne: Sequence[int]) -> str:
    """Sizes without the ones at their end."""
    last = max((i for i, n in enumerate(ne) if n != 1), default=0)
    return " x ".join(str(n) for n in ne[: last + 1])


def size(n_bytes: int) -> str:
    for unit, shift in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if n_bytes >= 1 << shift:
            return f"{n_bytes / (1 << shift):.1f} {unit}"
    return f"{n_bytes} B"
