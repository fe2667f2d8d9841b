"""All that is known of a node, or of the nodes that a line of the table holds together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from ggtui.core.runtime.record import NodeInfo, TensorInfo
from ggtui.perf.lanes import on_device, others
from ggtui.perf.scheduling import Floats
from ggtui.perf.stage import Stage
from ggtui.perf.table import Groups, Row, rows
from ggtui.viz import tables
from ggtui.viz.live import Live
from ggtui.viz.text import printable_line
from ggtui.viz.tui.base import Send
from ggtui.viz.tui.dialogs.base import Dialog
from ggtui.viz.tui.widgets.status import sparkline

_LABEL = 10
_SPARKS = 64  # evaluations of the history at most
_MEMBERS = 200  # nodes listed of a group at most
_DRAWN = 0.25  # seconds between two drawings


def details(stage: Stage, row: Row, by: str, *, ascii_only: bool = False) -> Text:
    """What is known of a row of the stage's table, a fact a line."""
    groups = Groups(stage, by)
    at = groups.keys.index(row.key)
    items = groups.members[at]
    nodes = [stage.graph.nodes[groups.nodes[item]] for item in items]
    text = Text()
    text.append(printable_line(row.key), style="bold")
    where = on_device(nodes[0]) if len({node.device for node in nodes}) == 1 else ""
    kind = " ".join(dict.fromkeys(word for word in (row.op, row.type) if word != row.key))
    text.append(f"  {printable_line(kind)}  in {stage.name}{printable_line(where)}\n\n")
    facts: list[tuple[str, Iterable[str]]] = []
    if by == "node" and len(nodes) == 1:
        facts += _made_of(stage, nodes[0])
    facts.append(("cost", [f"{row.flops:,.0f} flops, {row.traffic:,.0f} bytes{_intensity(row)}"]))
    facts.append(("time", _times(row, stage)))
    facts.append(("speed", [f"{tables.rate(row.bytes_per_s)} GB/s, {tables.rate(row.flops_per_s)} GFLOP/s"]))
    facts.append(("limit", [_limit(row)]))
    facts.append(("KL", _fewer_bits(row)))
    facts.append(("parts", [f"{_pad(op)}{tables.duration(ns):>8}" for op, ns in row.parts]))
    facts.append(
        ("threads" if stage.graph.n_threads == len(stage.graph.lanes) else "lanes", _lanes(groups, items, stage))
    )
    facts.append(("history", _history(groups.times[:, at], stage, ascii_only)))
    if len(nodes) > 1 or by != "node":
        facts.append((f"{len(nodes)} node{'s' if len(nodes) > 1 else ''}", _members(stage, nodes)))
    for name, lines in facts:
        for i, line in enumerate(lines):
            text.append(f"{name if not i else '':{_LABEL}}", style="bold").append(f"{line}\n")
    text.rstrip()
    return text


def _pad(word: str) -> str:
    return f"{printable_line(word):16} "


def _tensor(t: TensorInfo) -> str:
    return f"{_pad(f'{t.type} {tables.shape(t.ne)}')}{printable_line(t.name)}".rstrip()


def _made_of(stage: Stage, node: NodeInfo) -> list[tuple[str, Iterable[str]]]:
    sources = [stage.graph.nodes[i].result for i in node.src]
    originals = [f"{_pad(o.op)}{printable_line(o.name)}" for o in node.originals]
    return [
        ("result", [_tensor(node.result)]),
        ("sources", map(_tensor, sources)),
        ("inputs", map(_tensor, node.inputs)),
        ("replaces", originals if len(originals) > 1 else ()),
    ]


def _intensity(row: Row) -> str:
    return f", {row.flops / row.traffic:.2f} flops a byte" if row.traffic else ""


def _times(row: Row, stage: Stage) -> list[str]:
    t = row.time
    mean = f"{tables.duration(t.mean)} mean, {tables.percent(row.share)} of an evaluation, sd {tables.duration(t.sd)}"
    lanes = stage.graph.lanes
    mean_over = others(lanes).removeprefix("other ")
    wait = f"{tables.duration(row.wait_ns)} waiting for {others(lanes)} after it, the mean over {mean_over}"
    known = [("least", t.least), ("median", t.median), ("p95", t.p95), ("most", t.most)]
    return [mean, ", ".join(f"{name} {tables.duration(v)}" for name, v in known if v is not None), wait]


def _limit(row: Row) -> str:
    if row.of_limit is None:
        return "not known"
    return f"{row.of_limit:.0%} of what {row.limit} allows, which binds"


def _fewer_bits(row: Row) -> list[str]:
    """Two lines, as wide as a screen of 80 columns has room for."""
    if not row.kl:
        return []
    kinds, costs = (" ".join(f"{text:>7}" for text in texts) for texts in (row.kl, map(tables.nats, row.kl.values())))
    return ["nats a token that its matrices would cost as", kinds, costs]


def _lanes(groups: Groups, items: Sequence[int], stage: Stage) -> list[str]:
    """Of the lanes of those devices that run the nodes."""
    devices = {stage.graph.nodes[groups.nodes[item]].device for item in items}
    lanes = stage.graph.lanes
    width = max(10, *(len(lane.name) for lane in lanes))
    work, wait = (groups.items(a)[:, list(items)].sum(axis=1).mean(axis=0) for a in (stage.work, stage.wait))
    return [
        f"{printable_line(lane.name):{width}} work {tables.duration(w):>8}, wait {tables.duration(v):>8}"
        for lane, w, v in zip(lanes, work.tolist(), wait.tolist(), strict=True)
        if lane.device in devices or "" in devices
    ]


def _history(times: Floats, stage: Stage, ascii_only: bool) -> list[str]:
    if stage.light is not None:
        return ["not kept by a light profile"]
    newest = times[-_SPARKS:].tolist()
    n = len(newest)
    scale = f"0 to {tables.duration(max(newest))}, the newest {f'{n} evaluations' if n > 1 else 'evaluation'}"
    return [sparkline(newest, n, ascii_only), scale]


def _members(stage: Stage, nodes: Sequence[NodeInfo]) -> list[str]:
    keys = {node.key or node.name for node in nodes}
    mine = [row for row in rows(stage) if row.key in keys]
    width = max(len(printable_line(row.key)) for row in mine)
    lines = [
        f"{printable_line(row.key):{width}}  {tables.duration(row.time.mean):>8}  {tables.percent(row.share):>6}"
        for row in mine[:_MEMBERS]
    ]
    return lines + ([f"and {len(mine) - _MEMBERS} more"] if len(mine) > _MEMBERS else [])


class NodeDetails(Dialog):
    """Shows what `told` returns, anew while the run goes on; where that is None it stays as it was."""

    KEYS = "up and down scroll   Esc closes"
    DEFAULT_CSS = """
    NodeDetails > .box { width: 88; padding: 0 2; }
    NodeDetails .title { display: none; }
    NodeDetails .keys { margin: 0; }
    NodeDetails VerticalScroll { height: auto; max-height: 75vh; margin: 1 0; scrollbar-size-vertical: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "dismiss", "close", show=False)]

    def __init__(self, live: Live, send: Send, told: Callable[[], Text | None]) -> None:
        super().__init__(live, send)
        self._told = told
        self._drawn = time.monotonic()

    def content(self) -> ComposeResult:
        with VerticalScroll():
            yield Static(self._told() or Text(), markup=False)

    def follow(self) -> None:
        now = time.monotonic()
        if now - self._drawn < _DRAWN:
            return
        self._drawn = now
        text = self._told()
        if text is not None:
            self.query_one(VerticalScroll).query_one(Static).update(text)
