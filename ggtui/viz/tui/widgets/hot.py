"""Which nodes take the time now, as figures and as lines of text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from ggtui.viz.text import printable_line

if TYPE_CHECKING:
    from ggtui.perf.stage import Stage


LEAST_LOST = 0.005  # of the lanes' time: less is not shown


class HotNode(NamedTuple):
    """A node's share of an evaluation, its bytes a second, and what part of its limit it reaches, where known."""

    name: str
    share: float
    bytes_per_s: float
    of_limit: float | None


class Hot(NamedTuple):
    """The nodes that take longest, the first of them first, and the shares of their time that lanes wait for each
    other, and that they lose because a thread is not scheduled. `threads`: whether all lanes are threads."""

    nodes: tuple[HotNode, ...]
    wait: float
    lost: float
    threads: bool = True


def hottest(stages: Iterable[Stage], n: int) -> Hot | None:
    """The `n` hottest nodes of generation; None where nothing was recorded."""
    from ggtui.perf.table import rows  # not before there is something to add up

    stage = next((s for s in stages if s.name == "generation"), None)
    if stage is None:
        return None
    hot = [HotNode(printable_line(r.key), r.share, r.bytes_per_s, r.of_limit) for r in rows(stage)[:n]]
    threads = all(lane.is_thread for lane in stage.graph.lanes)
    return Hot(tuple(hot), stage.part("wait"), stage.part("lost") + stage.part("held"), threads)


def clip(text: str, width: int) -> str:
    """The text in exactly so many characters; ~ where it was cut."""
    return text.ljust(width) if len(text) <= width else f"{text[: width - 1]}~"


def percent(part: float) -> str:
    return f"{part:4.0%}"


def hot_line(hot: Hot | None, width: int) -> str:
    """The three hottest on one line; as many of their figures as there is room for."""
    if hot is None:
        return ""
    line = ""
    for most, detailed, of_limit in ((3, 3, True), (3, 1, True), (3, 1, False), (3, 0, False), (2, 0, False)):
        fields = [_field(node, n < detailed, of_limit) for n, node in enumerate(hot.nodes[:most])]
        busy = [f"lost{percent(hot.lost)}"] if hot.lost >= LEAST_LOST else []
        line = f" hot: {' | '.join([*fields, f'wait{percent(hot.wait)}', *busy])}"
        if len(line) < width:
            break
    return clip(line, width).rstrip()


def _field(node: HotNode, speed: bool, of_limit: bool) -> str:
    field = f"{node.name}{percent(node.share)}"
    if speed:
        field += f" {node.bytes_per_s / 1e9:.1f}GB/s"
    if speed and of_limit and node.of_limit is not None:
        field += f"{percent(node.of_limit)}roof"
    return field


def hot_table(hot: Hot | None, width: int, n: int) -> list[str]:
    """A heading and `n` rows, empty ones where there are less."""
    known = hot is not None and any(node.of_limit is not None for node in hot.nodes)
    name = width - 6 - 11 - (7 if known else 0)
    lines = [f"{clip('hot nodes', name)}{'share':>6}{'GB/s':>11}{'roof' if known else '':>{7 if known else 0}}"]
    for node in hot.nodes[:n] if hot is not None else ():
        limit = "" if not known else f"{percent(node.of_limit) if node.of_limit is not None else '':>7}"
        lines.append(f"{clip(node.name, name)}{node.share:6.1%}{node.bytes_per_s / 1e9:11.1f}{limit}")
    lines += [""] * (n + 1 - len(lines))
    lines.append(
        f"{clip('threads wait' if hot.threads else 'lanes wait', name)}{hot.wait:6.1%}" if hot is not None else ""
    )
    lost = hot is not None and hot.lost >= LEAST_LOST
    lines.append(f"{clip('not scheduled', name)}{hot.lost:6.1%}" if hot is not None and lost else "")
    return lines
