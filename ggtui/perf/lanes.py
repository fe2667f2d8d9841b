"""The lanes of graphs: which of them are one, and what they are called."""

from __future__ import annotations

from collections.abc import Sequence

from ggtui.core.runtime.record import GraphInfo, Lane, NodeInfo


def lanes_of(graphs: Sequence[GraphInfo]) -> tuple[tuple[Lane, ...], tuple[tuple[int, ...], ...]]:
    """The lanes of all graphs, each once, and of each graph the numbers that its own have among these. Graphs of a run
    need not share all lanes, so what shows several of them goes by a lane's device and name."""
    numbers: dict[tuple[str, str], int] = {}
    found: list[Lane] = []
    for lane in (lane for graph in graphs for lane in graph.lanes):
        if numbers.setdefault((lane.device, lane.name), len(found)) == len(found):
            found.append(lane)
    return tuple(found), tuple(tuple(numbers[lane.device, lane.name] for lane in graph.lanes) for graph in graphs)


def calling(lanes: Sequence[Lane]) -> int:
    """The number of the lane whose work the caller does: the first thread. The first lane where none is a thread."""
    return next((i for i, lane in enumerate(lanes) if lane.is_thread), 0)


def in_words(lanes: Sequence[Lane]) -> str:
    """How many threads, and the names of the others: 2 threads, vulkan queue."""
    n = sum(lane.is_thread for lane in lanes)
    threads = [f"{n} thread{'s' * (n > 1)}"] if n else []
    return ", ".join([*threads, *(lane.name for lane in lanes if not lane.is_thread)])


def others(lanes: Sequence[Lane]) -> str:
    """What a lane waits for."""
    return "other threads" if all(lane.is_thread for lane in lanes) else "other lanes"


def whose(lanes: Sequence[Lane]) -> str:
    """Whose time shares are of."""
    return "the threads' time" if all(lane.is_thread for lane in lanes) else "the lanes' time"


def on_device(node: NodeInfo) -> str:
    """Which device runs it, as the end of a list of facts; nothing where that is the CPU."""
    return f", on {node.device}" if node.device not in ("", "cpu") else ""
